/** Servers as they are set up in life: full under each policy, commands renamed, older ones, replicas, TLS, RESP3. */
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import { createCache, doctor, RedisConnectionError, RedisReplyError, type CacheManager } from 'tidemark'
import { afterEach, describe, expect, test } from 'vitest'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis, type RedisServer, type RedisServerOptions } from '../../helpers/redis.ts'
import { useAll } from '../../helpers/use-all.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function start(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedis(options)
  closers.push(() => server.stop())
  return server
}

function open(server: RedisServer, redis: object = {}): CacheManager {
  const cache = createCache({ redis: { url: server.url, ...redis }, logger: SILENT })
  closers.push(() => cache.close())
  return cache
}

const POLICIES = ['allkeys-lru', 'allkeys-lfu', 'allkeys-random'].concat([
  'volatile-lru',
  'volatile-lfu',
  'volatile-random',
  'volatile-ttl',
])

describe('maxmemory', () => {
  const KEYS = Array.from({ length: 600 }, (_, i) => `key${i}`)
  /** 600 of them are twice as much as there is room for. */
  const LARGE = 'x'.repeat(10_000)

  async function startFull(policy: string): Promise<RedisServer> {
    const server = await start({ args: ['--maxmemory-policy', policy] })
    const [, used] = /used_memory:(\d+)/.exec(String(await server.call('INFO', 'memory')))!
    await server.call('CONFIG', 'SET', 'maxmemory', String(Number(used) + 3_000_000))
    return server
  }

  async function evicted(server: RedisServer): Promise<number> {
    return Number(/evicted_keys:(\d+)/.exec(String(await server.call('INFO', 'stats')))![1])
  }

  test.each(POLICIES)('%s: entries go, and nothing that was invalidated comes back', async (policy) => {
    const server = await startFull(policy)
    const [cache, other] = [open(server), open(server)]
    for (let version = 1; version <= 3; version++) {
      await Promise.all(
        KEYS.map(async (key) => {
          const loaded = await cache.getOrSet(key, () => `${version}${LARGE}`, { tags: ['t'] })
          expect(loaded[0]).toBe(String(version))
        }),
      )
      for (const key of KEYS) expect([undefined, String(version)]).toContain((await other.get<string>(key))?.[0])
      await other.invalidateTags('t')
      expect(await cache.exists(KEYS)).toBe(0)
    }
    expect(await evicted(server)).toBeGreaterThan(0)
  })

  test.each(POLICIES.filter((policy) => policy.startsWith('volatile-')))('%s: the stamps stay', async (policy) => {
    const server = await startFull(policy)
    const cache = open(server)
    await cache.set('first', 1)
    const epoch = String(await server.call('GET', 'cache:{#0}w')).split(' ')[0]
    await Promise.all(KEYS.map((key) => cache.set(key, LARGE)))
    expect(await evicted(server)).toBeGreaterThan(0)
    expect(String(await server.call('GET', 'cache:{#0}w')).split(' ')[0]).toBe(epoch)
  })

  test('noeviction: nothing is stored, what is there is read, and invalidations are taken', async () => {
    const server = await startFull('noeviction')
    const [cache, other] = [open(server), open(server)]
    await cache.set('early', 1, { tags: ['t'] })
    const outcomes = await Promise.allSettled(KEYS.map((key) => cache.set(key, LARGE)))
    const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    expect(refusals.length).toBeGreaterThan(100)
    for (const refusal of refusals) {
      expect(refusal).toBeInstanceOf(RedisReplyError)
      expect(refusal).toMatchObject({ replyCode: 'OOM' })
    }
    expect(await other.get('early')).toBe(1)
    expect(await cache.getOrSet('late', () => LARGE)).toBe(LARGE)
    await cache.invalidateTags('t')
    expect(await other.get('early')).toBeUndefined()
    await cache.clear()
    expect(await other.exists(KEYS)).toBe(0)
  })
})

/** Arguments for a server on which these commands do not exist. */
function without(commands: readonly string[]): string[] {
  return commands.flatMap((command) => ['--rename-command', command, ''])
}

describe('commands that are renamed away', () => {
  const ADMIN = ['CONFIG', 'CLIENT', 'KEYS', 'SCAN', 'FLUSHALL', 'FLUSHDB', 'DEBUG', 'SCRIPT', 'MONITOR', 'SHUTDOWN']

  test('those that administer a server are not needed', async () => {
    const server = await start({
      args: without([...ADMIN, 'ACL', 'COMMAND', 'SAVE', 'BGSAVE', 'SLAVEOF', 'REPLICAOF']),
    })
    await useAll({ url: server.url })
  })

  test('without INFO a restart cannot be noticed, which the doctor says, or nothing with onFailover: trust', async () => {
    const server = await start({ args: without([...ADMIN, 'INFO']) })
    const cache = open(server, { onFailover: 'trust' })
    expect(await cache.getOrSet('a', () => 1)).toBe(1)
    await expect.poll(() => cache.get('a')).toBe(1)
    const findings = await doctor(cache)
    expect(findings.find(({ check }) => check === 'version')).toMatchObject({ level: 'warning' })
    const errors: unknown[] = []
    const wary = open(server).on('error', ({ error }) => errors.push(error))
    await wary.set('b', 1)
    expect(errors.map(String)).toEqual([expect.stringContaining('cannot tell whether Redis was restarted')])
  })
})

describe('a server of 6.2: without any command that is newer', () => {
  /** Redis says itself since when there is which. */
  async function newer(): Promise<string[]> {
    const server = await start()
    const docs = (await server.call('COMMAND', 'DOCS')) as readonly (string | readonly unknown[])[]
    const since = (facts: readonly unknown[]): number => Number.parseFloat(String(facts[facts.indexOf('since') + 1]))
    return docs.flatMap((name, i) => (i % 2 === 0 && since(docs[i + 1] as unknown[]) >= 7 ? [String(name)] : []))
  }

  test('does all that a cache wants', async () => {
    const names = await newer()
    expect(names).toContain('spublish')
    const server = await start({ args: without(names) })
    await useAll({ url: server.url })
  })

  test('in a cluster serves nothing from memory in front, and all the rest', async () => {
    const cluster = await startRedisCluster({ args: without(['SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE']) })
    closers.push(() => cluster.stop())
    const isHeard = false
    await useAll({ cluster: cluster.nodes }, { isHeard })
  })
})

test('a replica serves nobody: set rejects, loads go on, and the doctor says where to go', async () => {
  const primary = await start({ args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await start({ args: ['--replicaof', primary.host, String(primary.port)] })
  const link = async (): Promise<string> => String(await replica.call('INFO', 'replication'))
  await expect.poll(link, { timeout: 10_000 }).toContain('link_status:up')
  await open(primary).set('a', 'of the primary')
  const cache = open(replica)
  await expect(cache.set('a', 1)).rejects.toThrow(RedisConnectionError)
  await expect(cache.get('a')).rejects.toThrow(/READONLY/)
  expect(await cache.getOrSet('a', () => 'loaded')).toBe('loaded')
  expect(await doctor(cache)).toContainEqual(expect.objectContaining({ level: 'problem', check: 'role' }))
})

describe('TLS', () => {
  test.each(['own', 'ioredis', 'iovalkey', 'node-redis'])('%s', async (kind) => {
    const { host, port, ca = '' } = await start({ tls: true })
    if (kind === 'own') return useAll({ host, port, ssl: { ca } })
    if (kind === 'node-redis') {
      const client = createClient({ socket: { host, port, tls: true, ca }, disableOfflineQueue: true })
      client.on('error', () => undefined)
      closers.push(() => client.destroy())
      return useAll({ client })
    }
    const options = { host, port, tls: { ca }, autoResendUnfulfilledCommands: false }
    const client = kind === 'ioredis' ? new Redis(options) : new Valkey(options)
    closers.push(() => client.disconnect())
    return useAll({ client })
  })
})

describe.each([2, 3] as const)('RESP%i', (version) => {
  test('over ioredis', async () => {
    const { host, port } = await start()
    const client = new Redis({ host, port, protocol: version, autoResendUnfulfilledCommands: false })
    closers.push(() => client.disconnect())
    await useAll({ client })
  })

  test('over node-redis', async () => {
    const { host, port } = await start()
    const client = createClient({ socket: { host, port }, RESP: version, disableOfflineQueue: true })
    client.on('error', () => undefined)
    closers.push(() => client.destroy())
    await useAll({ client })
  })
})
