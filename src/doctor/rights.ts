/**
 * Whether the user of a connection may do all that tidemark does: each command is tried once, on keys of the prefix that
 * are gone afterwards. A server whose commands were renamed shows here too.
 */
import { defineScript, type RedisConnection, type Script } from '../stores/redis/connection.ts'
import type { Finding } from './finding.ts'

/** KEYS string zset hash channel. Replies the commands that were refused, and why. */
const TRY: Script = defineScript(`
local s, z, h, x = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local refused = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then refused[#refused + 1] = ({...})[1] .. ': ' .. reply.err end
end
try('SET', s, 'x', 'PX', 1000)
try('GET', s)
try('GETRANGE', s, 0, 0)
try('SETRANGE', s, 0, 'y')
try('PEXPIRE', s, 1000)
try('PTTL', s)
try('ZADD', z, 'GT', 1, 'a')
try('ZSCORE', z, 'a')
try('ZCARD', z)
try('ZRANGE', z, 0, 0, 'WITHSCORES')
try('ZRANGEBYSCORE', z, '-inf', '+inf', 'WITHSCORES')
try('ZREM', z, 'b')
try('ZREMRANGEBYSCORE', z, '-inf', 0)
try('HSET', h, 'a', '1')
try('HGET', h, 'a')
try('TIME')
try(string.sub(x, -2) == ':s' and 'SPUBLISH' or 'PUBLISH', x, '')
try('DEL', s, z, h)
return refused
`)

/** Before Redis 7 there is none, which is no fault of the user's rights. */
const NO_MESSAGES = /^SPUBLISH: .*unknown/i

/** It refuses what takes room, and no user. */
const OUT_OF_MEMORY = /\bOOM\b/

/** It cannot write its dump, and refuses whatever changes something. */
const NO_WRITES = /\bMISCONF\b/

/** Where a server may be asked to put something. */
export interface Place {
  readonly keyPrefix: string
  /** The hash tags of what it serves; none: nothing of ours is there. */
  readonly tags: readonly string[]
  readonly isCluster: boolean
}

export async function examineRights(
  connection: RedisConnection,
  { keyPrefix, tags, isCluster }: Place,
): Promise<Finding> {
  const check = 'rights'
  const [tag] = tags
  if (tag === undefined) return { check, level: 'ok', found: 'no shard is there, so nothing is asked of it' }
  const channel = isCluster ? 'channel:s' : 'channel'
  const keys = ['string', 'zset', 'hash', channel].map((name) => `${keyPrefix}${tag}doctor:${name}`)
  const refused: string[] = []
  try {
    // The second time by its hash.
    for (let i = 0; i < 2; i++) {
      const reply = (await connection.run(TRY, keys, [])) as readonly Buffer[]
      if (i === 0) refused.push(...reply.map(String))
    }
    await connection.send(['MGET', keys[0]!])
  } catch (error) {
    refused.push((error as Error).message)
  }
  if (refused.length === 0) return { check, level: 'ok', found: 'all that tidemark does is allowed' }
  if (refused.every((one) => NO_MESSAGES.test(one))) {
    const remedy =
      'Redis 7, and SPUBLISH not renamed: without messages of slots cache.l1 serves nothing and waiters poll'
    return { check, level: 'warning', found: 'there is no SPUBLISH', remedy }
  }
  if (refused.some((one) => OUT_OF_MEMORY.test(one))) {
    return { check, level: 'warning', found: 'not examined: Redis is full', remedy: 'make room, and examine it again' }
  }
  if (refused.some((one) => NO_WRITES.test(one))) {
    const found = 'not examined: Redis refuses all writes'
    return { check, level: 'warning', found, remedy: 'mend its dumps (persistence), and examine it again' }
  }
  const remedy = 'allow them to this user on keys and channels of the prefix (docs/redis.md has the whole line)'
  return { check, level: 'problem', found: refused.join('; '), remedy }
}
