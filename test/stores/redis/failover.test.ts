/** Another server than before may have forgotten invalidations: what it holds is not served, unless it is trusted. */
import { afterEach, describe, expect, test } from 'vitest'
import { createCache, RedisConnectionError, type CacheManager, type RedisConfig } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { Connections, KINDS, type Kind } from '../../helpers/connections.ts'
import { startRedis, type RedisServer, type RedisServerOptions } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const META = 'cache:{#0}m'
const servers: RedisServer[] = []
const caches: CacheManager[] = []
const clients = new Connections()
const proxies: FaultProxy[] = []

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await clients.closeAll()
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()))
  await Promise.all(servers.splice(0).map((server) => server.stop()))
})

async function start(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  servers.push(server)
  return server
}

function open(server: RedisServer, redis: RedisConfig = {}): CacheManager {
  const cache = createCache({ redis: { url: server.url, ...redis }, logger: SILENT })
  caches.push(cache)
  return cache
}

/** Over a client of each kind; a user's is connected whatever the server then says. */
function openOver(kind: Kind, server: RedisServer, redis: RedisConfig = {}): CacheManager {
  if (kind === 'own') return open(server, redis)
  const client = kind === 'ioredis' ? clients.ioredis(server, { enableReadyCheck: false }) : clients.nodeRedis(server)
  const cache = createCache({ redis: { client, ...redis }, logger: SILENT })
  caches.push(cache)
  return cache
}

/** As a replica that takes over: the same data, another server. */
async function copyOf(server: RedisServer): Promise<RedisServer> {
  const copy = await start()
  await server.call('CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
  await copy.call('REPLICAOF', server.host, String(server.port))
  await expect
    .poll(async () => String(await copy.call('INFO', 'replication')), { timeout: 10_000 })
    .toContain('master_link_status:up')
  await copy.call('REPLICAOF', 'NO', 'ONE')
  return copy
}

describe('a replica that takes over', () => {
  test("with 'invalidate', the default, is not trusted: its entries are misses, and new ones are hits", async () => {
    const first = await start()
    await open(first).set('k', 'old')
    const cache = open(await copyOf(first))
    expect(await cache.get('k')).toBeUndefined()
    await cache.set('k', 'new')
    expect(await cache.get('k')).toBe('new')
    expect(await open(servers.at(-1)!).get('k')).toBe('new')
  })

  test("with 'trust' keeps the cache warm", async () => {
    const first = await start()
    await open(first).set('k', 'old')
    expect(await open(await copyOf(first), { onFailover: 'trust' }).get('k')).toBe('old')
  })

  test('is not trusted though it is full and keeps no note of who it is', async () => {
    const first = await start()
    await open(first).set('k', 'old')
    const copy = await copyOf(first)
    await copy.call('CONFIG', 'SET', 'maxmemory', '1mb')
    for (const attempt of ['first', 'later']) {
      expect(await open(copy).get('k'), attempt).toBeUndefined()
    }
  })

  test('is not trusted though something else stands where it is noted who it is', async () => {
    const first = await start()
    await open(first).set('k', 'old')
    const copy = await copyOf(first)
    await copy.call('SET', META, 'garbage')
    const cache = open(copy)
    expect(await cache.get('k')).toBeUndefined()
    await cache.set('k', 'new')
    expect(await open(copy).get('k')).toBe('new')
  })
})

test.each(KINDS)('%s: a server that still loads its dump is greeted again before anything is read', async (kind) => {
  const server = await start({ args: ['--key-load-delay', '200', '--loading-process-events-interval-bytes', '1024'] })
  const cache = openOver(kind, server)
  await cache.set('k', 'old')
  for (let n = 0; n < 20; n++) await server.call('SET', `filler ${n}`, 'x'.repeat(100_000))
  await server.call('SAVE')
  await cache.delete('k')
  const restarted = server.restart()
  const seen = new Set<unknown>()
  const read = async (): Promise<unknown> => {
    const value = await cache.get('k').catch(() => 'unreachable')
    seen.add(value)
    return value
  }
  await expect.poll(read, { interval: 5, timeout: 10_000 }).toBeUndefined()
  expect([...seen]).not.toContain('old')
  await restarted
})

describe.each(KINDS)('%s: a server that was demoted to a replica', (kind) => {
  test('serves nobody any more, once it has refused a write, and serves again when it takes writes', async () => {
    const server = await start()
    const cache = openOver(kind, server)
    await cache.set('k', 'old')
    await server.call('REPLICAOF', server.host, '1')
    for (const call of [() => cache.set('a', 1), () => cache.get('k'), () => cache.exists('k')]) {
      await expect(call()).rejects.toBeInstanceOf(RedisConnectionError)
    }
    await expect(openOver(kind, server).get('k')).rejects.toThrow(/READONLY/)
    expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded')
    await server.call('REPLICAOF', 'NO', 'ONE')
    await expect.poll(() => cache.get('k').catch(() => 'unreachable'), { timeout: 5000 }).toBe('old')
  })
})

test('a server that was demoted in silence is found out by the health check', async () => {
  const server = await start()
  const cache = open(server, { healthCheckInterval: '100ms' })
  await cache.set('k', 'old')
  await server.call('REPLICAOF', server.host, '1')
  await expect.poll(() => cache.get('k').catch(() => 'unreachable')).toBe('unreachable')
})

test('who was led to the new primary is served by it, also from memory, though the old one keeps its connections', async () => {
  const [old, next] = [await start(), await start()]
  const target = { host: old.host, port: old.port }
  const proxy = await startFaultProxy({ target })
  const near = { redis: { host: proxy.host, port: proxy.port }, cache: { l1: true }, logger: SILENT }
  const cache = createCache(near)
  caches.push(cache)
  await cache.set('k', 'old')
  await expect.poll(() => cache.get('k')).toBe('old')
  await old.call('REPLICAOF', old.host, '1')
  target.port = next.port
  await cache.set('k', 'lost').catch(() => undefined)
  await expect.poll(() => cache.get('k').catch(() => 'unreachable'), { timeout: 5000 }).toBeUndefined()
  await open(next).set('k', 'new')
  await expect.poll(() => cache.get('k')).toBe('new')
  await open(next).set('k', 'newer')
  await expect.poll(() => cache.get('k')).toBe('newer')
  await proxy.close()
})

test('the same server on a new connection keeps its entries', async () => {
  const server = await start()
  const cache = open(server)
  await cache.set('k', 1)
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await expect.poll(() => cache.get('k').catch(() => undefined)).toBe(1)
})

describe('an address that passes to another server and back, though the old one lives on', () => {
  interface Address {
    readonly cache: CacheManager
    passTo(server: RedisServer): Promise<void>
  }

  async function openAt(server: RedisServer, redis: RedisConfig = {}): Promise<Address> {
    const target = { host: server.host, port: server.port }
    const proxy = await startFaultProxy({ target })
    proxies.push(proxy)
    const cache = createCache({ redis: { host: proxy.host, port: proxy.port, ...redis }, logger: SILENT })
    caches.push(cache)
    const passTo = async ({ port }: RedisServer): Promise<void> => {
      target.port = port
      proxy.cut()
      await expect.poll(() => cache.ping().catch(() => false), { timeout: 5000 }).toBe(true)
    }
    return { cache, passTo }
  }

  test('brings nothing back that was invalidated on the other', async () => {
    const [first, second] = [await start(), await start()]
    const { cache, passTo } = await openAt(first)
    for (let round = 0; round < 3; round++) {
      await cache.set('k', round, { tags: ['t'] })
      await passTo(second)
      await cache.invalidateTags(['t'])
      await passTo(first)
      expect(await cache.get('k'), `round ${round}`).toBeUndefined()
    }
  })

  test('what is stored after the first has come back stays when the next ones do', async () => {
    const [first, second] = [await start(), await start()]
    const all = [await openAt(first), await openAt(first), await openAt(first)] as const
    for (const { passTo } of all) await passTo(second)
    await all[1].cache.delete('k')
    await all[0].passTo(first)
    await all[0].cache.set('k', 'new')
    await all[1].passTo(first)
    await all[2].passTo(first)
    for (const { cache } of all) expect(await cache.get('k')).toBe('new')
  })

  test('but what somebody has invalidated who stayed longer is not there when he comes', async () => {
    const [first, second] = [await start(), await start()]
    const early = await openAt(first)
    const late = await openAt(first)
    for (const { passTo } of [early, late]) await passTo(second)
    await early.passTo(first)
    await early.cache.set('k', 'old')
    await late.cache.delete('k')
    await late.passTo(first)
    expect(await late.cache.get('k')).toBeUndefined()
    expect(await early.cache.get('k')).toBeUndefined()
  })

  test("with 'trust' what the first holds is served", async () => {
    const [first, second] = [await start(), await start()]
    const { cache, passTo } = await openAt(first, { onFailover: 'trust' })
    await cache.set('k', 'old')
    await passTo(second)
    await cache.delete('k')
    await passTo(first)
    expect(await cache.get('k')).toBe('old')
  })
})
