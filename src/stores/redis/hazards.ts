/**
 * Settings of a client that the user brought which send a command later, after its caller has been told that it failed.
 *
 * A `set` that was given up must not come to life when Redis is back: by then its key may have been deleted.
 */
import { isIoredis } from './ioredis.ts'
import { isNodeRedis } from './node-redis.ts'

const LATER = 'writes that were given up are sent when Redis is back, though their keys may have been deleted meanwhile'

/** What to tell the operator of, in words; none for a client that has nothing of the kind. */
export function hazardsOf(client: unknown): readonly string[] {
  if (isIoredis(client)) {
    // The default of ioredis and of iovalkey.
    if (client.options?.autoResendUnfulfilledCommands === false) return []
    return [`redis.client: make it with autoResendUnfulfilledCommands: false: ${LATER}`]
  }
  if (isNodeRedis(client) && client.options?.disableOfflineQueue !== true) {
    return [`redis.client: make it with disableOfflineQueue: true: ${LATER}`]
  }
  return []
}
