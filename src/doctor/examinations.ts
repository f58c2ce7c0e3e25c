/** What is looked at of a server: pure where INFO tells it, one or two commands where it does not. */
import type { Clock } from '../clock.ts'
import type { RedisConnection } from '../stores/redis/connection.ts'
import type { Finding } from './finding.ts'

type Info = ReadonlyMap<string, string>

/** What scripts and commands need: GETRANGE and ZADD GT inside of scripts, PEXPIRE of what SETRANGE changed. */
const OLDEST = { redis: [6, 2], valkey: [7, 2] } as const

/** Freshness goes by the clocks of processes, stamps by the server's; beyond this entries live noticeably too long. */
const MAX_SKEW_MS = 1000

export function examineServer(info: Info, isCluster: boolean): Finding[] {
  if (info.size === 0) {
    const found = 'INFO is not allowed, so a restart or failover of Redis cannot be noticed'
    const remedy = "allow it (ACL +info), or say redis.onFailover: 'trust'"
    return [{ check: 'version', level: 'warning', found, remedy }]
  }
  return [examineVersion(info), examineRole(info), ...examineTopology(info, isCluster)]
}

function examineVersion(info: Info): Finding {
  const name = info.has('valkey_version') ? 'valkey' : 'redis'
  const version = info.get(`${name}_version`) ?? '0'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor, leastMinor] = OLDEST[name]
  const check = 'version'
  const found = `${name} ${version}`
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) return { check, level: 'ok', found }
  return { check, level: 'problem', found, remedy: `${name} ${leastMajor}.${leastMinor} or newer` }
}

export function readOnly(found: string): Finding {
  const remedy = 'connect to the primary: a replica refuses writes, and lags behind invalidations'
  return { check: 'role', level: 'problem', found, remedy }
}

function examineRole(info: Info): Finding {
  if (info.get('role') === 'slave') return readOnly('a read-only replica')
  return { check: 'role', level: 'ok', found: `a primary with ${info.get('connected_slaves') ?? '0'} replicas` }
}

/** A node of a cluster, asked as if it were all there is, serves its own slots and sends the rest away. */
function examineTopology(info: Info, isCluster: boolean): Finding[] {
  const check = 'cluster'
  const isNode = info.get('cluster_enabled') === '1'
  if (isNode && !isCluster) {
    const remedy = 'name its nodes in redis.cluster instead: what other nodes hold is refused here'
    return [{ check, level: 'problem', found: 'a node of a Redis Cluster', remedy }]
  }
  if (!isNode) return []
  const [major = 0] = (info.get('redis_version') ?? '0').split('.').map(Number)
  if (major >= 7) return [{ check, level: 'ok', found: 'a node of a Redis Cluster' }]
  const remedy = 'Redis 7: before it a cluster has no messages of slots, so cache.l1 serves nothing and waiters poll'
  return [{ check, level: 'warning', found: 'a node of a Redis Cluster before Redis 7', remedy }]
}

export function examineMemory(info: Info): Finding[] {
  const policy = info.get('maxmemory_policy')
  if (policy === undefined) return []
  const limit = Number(info.get('maxmemory'))
  const used = Number(info.get('used_memory'))
  const check = 'memory'
  if (limit === 0) {
    const found = `${mebibytes(used)} used, without a limit`
    return [{ check, level: 'warning', found, remedy: 'set maxmemory, or Redis grows until the machine ends it' }]
  }
  const found = `${mebibytes(used)} of ${mebibytes(limit)} used`
  if (used >= limit && policy === 'noeviction') {
    const remedy = 'raise maxmemory, or let it make room: maxmemory-policy volatile-lru'
    return [{ check, level: 'problem', found: `full: ${found}`, remedy }, examineEviction(policy, used / limit)]
  }
  return [{ check, level: 'ok', found }, examineEviction(policy, used / limit)]
}

function examineEviction(policy: string, share: number): Finding {
  const check = 'eviction'
  const found = `maxmemory-policy ${policy}`
  if (policy === 'noeviction') {
    const remedy = 'set volatile-lru: a full server refuses to store anything until entries expire by themselves'
    return { check, level: share > 0.9 ? 'problem' : 'warning', found, remedy }
  }
  if (policy.startsWith('volatile-')) return { check, level: 'ok', found }
  // The stamps bear no expiry; without them everything is invalid (the loss rule).
  const remedy = 'set volatile-lru: this policy may evict the stamps, and then the whole cache starts anew'
  return { check, level: 'warning', found, remedy }
}

export const DUMP_REMEDY =
  "look into Redis's log and at its disk, or turn dumps off: save '' and stop-writes-on-bgsave-error no"

export function examinePersistence(info: Info): Finding[] {
  const isAppending = info.get('aof_enabled')
  if (isAppending === undefined) return []
  const check = 'persistence'
  if (info.get('loading') === '1') {
    const found = 'Redis is loading its dump, and answers nobody'
    return [{ check, level: 'problem', found, remedy: 'wait, or run a cache without persistence' }]
  }
  if (info.get('rdb_last_bgsave_status') === 'err') {
    const found = 'the last dump failed, and until one succeeds Redis may refuse writes (MISCONF)'
    return [{ check, level: 'problem', found, remedy: DUMP_REMEDY }]
  }
  if (isAppending === '0') return [{ check, level: 'ok', found: 'no append-only file' }]
  const remedy = 'a cache needs none: after a restart its entries are invalid anyway (redis.onFailover)'
  return [{ check, level: 'warning', found: 'every write goes to the append-only file', remedy }]
}

export async function examineClock(connection: RedisConnection, clock: Clock): Promise<Finding> {
  const check = 'clock'
  try {
    const sentAt = clock.now()
    const [seconds, micros] = (await connection.send(['TIME'])) as readonly [Buffer, Buffer]
    const answeredAt = clock.now()
    const server = Number(seconds.toString()) * 1000 + Number(micros.toString()) / 1000
    const skewMs = Math.round((sentAt + answeredAt) / 2 - server)
    const found = `this process is ${Math.abs(skewMs)} ms ${skewMs < 0 ? 'behind' : 'ahead of'} Redis`
    if (Math.abs(skewMs) <= MAX_SKEW_MS) return { check, level: 'ok', found }
    const remedy = 'let both follow NTP: invalidations are safe from it, but entries live too long or too short'
    return { check, level: 'warning', found, remedy }
  } catch (error) {
    return { check, level: 'warning', found: (error as Error).message, remedy: 'allow TIME (ACL +time)' }
  }
}

/** How many connections there are, of all clients and of tidemark. */
export async function examineClients(connection: RedisConnection, info: Info): Promise<Finding> {
  const check = 'connections'
  const connected = Number(info.get('connected_clients') ?? Number.NaN)
  const most = Number(info.get('maxclients') ?? Number.NaN)
  const own = await ownConnections(connection)
  const share = Number.isNaN(connected) ? 'an unknown number of clients' : `${connected} clients of at most ${most}`
  const found = own === undefined ? share : `${share}, ${own} of them connections of tidemark`
  if (!(connected > 0.8 * most)) return { check, level: 'ok', found }
  const remedy = 'raise maxclients, or lower redis.maxConnections: who comes too late is refused'
  return { check, level: 'warning', found, remedy }
}

/** Undefined where CLIENT LIST is not allowed. */
async function ownConnections(connection: RedisConnection): Promise<number | undefined> {
  try {
    const list = String(await connection.send(['CLIENT', 'LIST']))
    return list.split('\n').filter((line) => /\bname=tidemark\b/.test(line)).length
  } catch {
    return undefined
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
