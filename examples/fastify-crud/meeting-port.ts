/** Where instances find each other that share a Redis but were not given a PostgreSQL to share. */
import { createHash } from 'node:crypto'
import type { Config } from 'tidemark'

/**
 * A shared cache in front of two databases would serve one's rows to the users of the other. So instances on one Redis
 * use one database, and its port follows from the Redis: whoever names the same Redis comes to the same port.
 */
export function meetingPort({ redis, cache }: Config): number | undefined {
  if (redis === undefined || redis.client !== undefined) return undefined
  const place = JSON.stringify([redis.host, redis.port, redis.path, redis.db, cache.keyPrefix])
  return 20_000 + (createHash('sha256').update(place).digest().readUInt16BE() % 10_000)
}
