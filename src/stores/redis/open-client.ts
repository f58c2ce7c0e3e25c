/** Which port stands over which client. */
import { CacheConfigurationError } from '../../exceptions.ts'
import type { RedisPort, SubscriberPort } from './client.ts'
import { isClusterClient } from './cluster-client.ts'
import { adoptIoredis, duplicateIoredisSubscriber, isIoredis } from './ioredis.ts'
import { adoptNodeRedis, duplicateNodeRedisSubscriber, isNodeRedis } from './node-redis.ts'

const ANY = 'an ioredis client or a node-redis client'
const NO_SENTINEL =
  'an ioredis, iovalkey or node-redis client of one server or of a cluster; Sentinel is redis.sentinel: { name, nodes }'

/**
 * A port over a client that the user brought.
 *
 * @throws {CacheConfigurationError} if it is neither an ioredis (iovalkey) nor a node-redis client
 */
export function adoptClient(client: unknown): RedisPort {
  if (isClusterClient(client)) throw refused('a client of one server', nameOf(client))
  if (isIoredis(client)) {
    if (client.options?.stringNumbers) throw refused('an ioredis client without stringNumbers', 'stringNumbers: true')
    // It would be put in front of keys but not of what scripts and channels make of them; ours is cache.keyPrefix.
    if (client.options?.keyPrefix) throw refused('an ioredis client without keyPrefix', 'a keyPrefix')
    return adoptIoredis(client)
  }
  if (isNodeRedis(client)) return adoptNodeRedis(client)
  if (isSentinelClient(client)) throw refused(NO_SENTINEL, 'a sentinel client of node-redis (createSentinel)')
  throw refused(ANY, nameOf(client))
}

/** A connection that listens, beside a client that the user brought. */
export function duplicateClient(client: unknown, connectTimeoutMs: number): SubscriberPort {
  if (isIoredis(client)) return duplicateIoredisSubscriber(client, connectTimeoutMs)
  if (isNodeRedis(client)) return duplicateNodeRedisSubscriber(client, connectTimeoutMs)
  throw refused(ANY, nameOf(client))
}

/** That of node-redis, which is none of one server. */
function isSentinelClient(client: unknown): boolean {
  return typeof client === 'object' && client !== null && 'getSentinelNode' in client
}

function refused(expected: string, got: string): CacheConfigurationError {
  return new CacheConfigurationError([{ path: 'redis.client', expected, got }])
}

/** A URL has a password in it. */
function nameOf(client: unknown): string {
  if (typeof client !== 'object' || client === null) return client === null ? 'null' : `a ${typeof client}`
  return `an object of class ${client.constructor?.name ?? 'null'}`
}
