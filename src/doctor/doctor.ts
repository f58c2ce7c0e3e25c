/** `doctor`: looks at a cache and at the Redis behind it, and says in plain words what should be different. */
import type { CacheManager } from '../cache-manager.ts'
import type { Clock } from '../clock.ts'
import { hashTag } from '../key.ts'
import { assertCache } from '../option-checks.ts'
import type { ClusterConnection } from '../stores/redis/cluster-connection.ts'
import { RedisReplyError } from '../exceptions.ts'
import { RedisConnection } from '../stores/redis/connection.ts'
import { NO_HANDSHAKE, replyCodeOf } from '../stores/redis/reply-error.ts'
import {
  DUMP_REMEDY,
  examineClients,
  examineClock,
  examineMemory,
  examinePersistence,
  examineServer,
  readOnly,
} from './examinations.ts'
import { parseInfo, type Finding } from './finding.ts'
import { examineRights, type Place } from './rights.ts'

export type { Finding } from './finding.ts'

/** PINGs that the latency is made of. */
const PINGS = 20

/**
 * Examines a cache: is Redis there, how far away, new enough, allowed what it takes, and set up as a cache?
 *
 * It takes a few dozen commands and leaves nothing behind. What cannot be found out is said, and fails nothing.
 *
 * @throws {CacheConfigurationError} for what is no cache
 * @returns findings, the worst first; `level` is 'ok', 'warning' or 'problem'
 * @example
 * for (const { level, check, found, remedy } of await doctor(cache)) console.log(level, check, found, remedy ?? '')
 */
export async function doctor(cache: CacheManager): Promise<Finding[]> {
  assertCache(cache, 'argument of doctor')
  const { connection, keyPrefix, clock } = cache.parts
  if (connection === undefined) {
    const found = 'entries are kept in the memory of this process'
    const remedy = 'set REDIS_URL if several processes are to share one cache'
    return [{ check: 'store', level: 'ok', found, remedy }]
  }
  const findings = await examineServers(connection, { keyPrefix, clock })
  const rank = { problem: 0, warning: 1, ok: 2 }
  return findings.toSorted((a, b) => rank[a.level] - rank[b.level])
}

interface Cache {
  readonly keyPrefix: string
  readonly clock: Clock
}

/** On Cluster every node that serves slots, and each finding says of which one it is. */
async function examineServers(connection: RedisConnection | ClusterConnection, cache: Cache): Promise<Finding[]> {
  if (connection instanceof RedisConnection) {
    return examineOne(connection, { ...cache, tags: [hashTag(0)], isCluster: false })
  }
  try {
    const findings = await Promise.all(
      (await connection.servers()).map(async (server) => {
        const tags = connection.hashTagsOf(server)
        const its = await examineOne(server, { ...cache, tags, isCluster: true })
        return its.map((finding) => ({ ...finding, found: `${server.name}: ${finding.found}` }))
      }),
    )
    return findings.flat()
  } catch (error) {
    const remedy =
      'start the nodes, or correct redis.cluster and the network between; routes and getOrSet load meanwhile'
    return [{ check: 'reach', level: 'problem', found: (error as Error).message, remedy }]
  }
}

async function examineOne(connection: RedisConnection, cache: Cache & Place): Promise<Finding[]> {
  const latency = await examineLatency(connection)
  if (latency.level === 'problem') return [latency]
  const info = await infoOf(connection)
  return [
    latency,
    ...examineServer(info, cache.isCluster),
    ...examineMemory(info),
    ...examinePersistence(info),
    await examineClock(connection, cache.clock),
    await examineRights(connection, cache),
    await examineClients(connection, info),
  ]
}

/** What INFO says; empty where it may not be asked, which is a finding of its own. */
async function infoOf(connection: RedisConnection): Promise<ReadonlyMap<string, string>> {
  try {
    return parseInfo(String(await connection.send(['INFO'])))
  } catch {
    return new Map()
  }
}

async function examineLatency(connection: RedisConnection): Promise<Finding> {
  const check = 'latency'
  const trips: number[] = []
  try {
    for (let i = 0; i < PINGS; i++) {
      const sentAt = performance.now()
      await connection.reach()
      trips.push(performance.now() - sentAt)
    }
  } catch (error) {
    return unanswered(error as Error)
  }
  trips.sort((a, b) => a - b)
  const median = trips[PINGS / 2]!
  const found = `${median.toFixed(2)} ms a round trip, ${trips.at(-1)!.toFixed(2)} ms at most, of ${PINGS}`
  if (median < 5) return { check, level: 'ok', found }
  const remedy = 'every hit takes one round trip: move Redis nearer, or put memory in front of it (cache.l1)'
  return { check, level: 'warning', found, remedy }
}

/** PING was not answered, or not with a PONG. */
function unanswered(error: Error): Finding {
  const found = error.message
  const level = 'problem'
  // It is left before it is asked anything.
  if (found.includes('READONLY')) return readOnly(found)
  const cause = error.cause instanceof Error ? error.cause : error
  const reply = [error, cause].find((one) => one instanceof RedisReplyError)
  const code = reply?.replyCode ?? replyCodeOf(cause)
  if (code === 'BUSY') return { check: 'latency', level, found, remedy: BUSY_REMEDY }
  // Of a prefix that is new there: it cannot even be begun.
  if (code === 'MISCONF') return { check: 'persistence', level, found, remedy: DUMP_REMEDY }
  if (code === 'NOPERM') return { check: 'rights', level, found, remedy: 'allow PING (ACL +ping)' }
  const remedy = REFUSALS.has(code ?? '') ? 'correct redis.username and redis.password, or redis.db' : remedyFor(error)
  return { check: 'reach', level, found, remedy: `${remedy}; routes and getOrSet load meanwhile` }
}

/** By what has happened: the names of servers and files in a message may say anything. */
function remedyFor(error: Error): string {
  const causes = causesOf(error)
  if (causes.some(({ message }) => ENDED_UNANSWERED.test(message))) return `${START_REMEDY}; or ${TLS_REMEDY}`
  const isOfTls = causes.some((one) => one.message.endsWith(NO_HANDSHAKE) || TLS_CODE.test(codeOf(one)))
  return isOfTls ? TLS_REMEDY : START_REMEDY
}

/** An error and what brought it about, a few deep. */
function causesOf(error: Error): Error[] {
  const causes = [error]
  for (let { cause } = error; cause instanceof Error && causes.length < 5; { cause } = cause) causes.push(cause)
  return causes
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : ''
}

/** What a proxy without a server behind it does as well as a port that wants TLS. */
const ENDED_UNANSWERED = /ended it without an answer; if this port wants TLS, use rediss:\/\/ or redis\.ssl\)$/

/** Codes of Node and of OpenSSL: an answer that is no TLS, and a certificate that is not accepted. */
const TLS_CODE =
  /^(EPROTO|ERR_(SSL|TLS|OSSL)_.*|.*CERT.*|.*_CRL.*|UNABLE_TO_VERIFY_LEAF_SIGNATURE|HOSTNAME_MISMATCH|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED)$/

const START_REMEDY = 'start Redis, or correct redis.url and the network between'
const TLS_REMEDY = 'correct redis.ssl, or rediss:// and redis:// in redis.url (docs/redis.md, TLS), if Redis is there'

const BUSY_REMEDY =
  'end the script that runs (SCRIPT KILL, FUNCTION KILL), and keep it short: nobody is served meanwhile'

/** Of a login, and of a database that is not there. */
const REFUSALS: ReadonlySet<string> = new Set(['NOAUTH', 'WRONGPASS', 'ERR'])
