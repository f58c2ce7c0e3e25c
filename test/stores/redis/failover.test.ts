/** Another server than before may have forgotten invalidations: what it holds is not served, unless it is trusted. */
import { afterEach, describe, expect, test } from 'vitest'
import { createCache, type CacheManager, type RedisConfig } from 'tidemark'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const servers: RedisServer[] = []
const caches: CacheManager[] = []

afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await Promise.all(servers.splice(0).map((server) => server.stop()))
})

async function start(): Promise<RedisServer> {
  const server = await startRedis()
  servers.push(server)
  return server
}

function open(server: RedisServer, redis: RedisConfig = {}): CacheManager {
  const cache = createCache({ redis: { url: server.url, ...redis }, logger: SILENT })
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
})

test('the same server on a new connection keeps its entries', async () => {
  const server = await start()
  const cache = open(server)
  await cache.set('k', 1)
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await expect.poll(() => cache.get('k').catch(() => undefined)).toBe(1)
})
