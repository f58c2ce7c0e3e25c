/**
 * Settings of a client that the user brought which send a command later, after its caller has been told that it failed, or
 * which are in the way of ours.
 *
 * A `set` that was given up must not come to life when Redis is back: by then its key may have been deleted.
 */
import { isClusterClient } from './cluster-client.ts'
import { isIoredis } from './ioredis.ts'
import { isNodeRedis } from './node-redis.ts'

const LATER = 'writes that were given up are sent when Redis is back, though their keys may have been deleted meanwhile'
const SHORTER = 'leave it out, and say redis.socketTimeout'

/**
 * What to tell the operator of, in words; none for a client that has nothing of the kind.
 *
 * @param timeoutMs our deadline of one command
 */
export function hazardsOf(client: unknown, timeoutMs: number): readonly string[] {
  // What is read off it are nodes and login; nothing is sent over it.
  if (isClusterClient(client)) return []
  if (isIoredis(client)) {
    const { autoResendUnfulfilledCommands, commandTimeout = Infinity } = client.options ?? {}
    const hazards: string[] = []
    // The default of ioredis and of iovalkey.
    if (autoResendUnfulfilledCommands !== false)
      hazards.push(`redis.client: make it with autoResendUnfulfilledCommands: false: ${LATER}`)
    if (commandTimeout < timeoutMs)
      hazards.push(
        `redis.client: its commandTimeout of ${commandTimeout} ms counts, not redis.socketTimeout: ${SHORTER}`,
      )
    return hazards
  }
  if (isNodeRedis(client) && client.options?.disableOfflineQueue !== true) {
    return [`redis.client: make it with disableOfflineQueue: true: ${LATER}`]
  }
  return []
}
