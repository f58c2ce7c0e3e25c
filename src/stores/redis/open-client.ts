/** Which port stands over which client. */
import { CacheConfigurationError } from '../../exceptions.ts'
import type { RedisPort } from './client.ts'
import { adoptIoredis, isIoredis } from './ioredis.ts'
import { adoptNodeRedis, isNodeRedis } from './node-redis.ts'

/**
 * A port over a client that the user brought.
 *
 * @throws {CacheConfigurationError} if it is neither an ioredis (iovalkey) nor a node-redis client
 */
export function adoptClient(client: unknown): RedisPort {
  if (isIoredis(client)) return adoptIoredis(client)
  if (isNodeRedis(client)) return adoptNodeRedis(client)
  throw new CacheConfigurationError([
    { path: 'redis.client', expected: 'an ioredis client or a node-redis client', got: nameOf(client) },
  ])
}

function nameOf(client: unknown): string {
  if (typeof client !== 'object' || client === null) return String(client)
  return `an object of class ${client.constructor?.name ?? 'null'}`
}
