/** `health()`: the facts of readiness, from memory, one server and a cluster. */
import { createCache, RedisConnectionError, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startRedisCluster } from './helpers/redis-cluster.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
let server: RedisServer
let proxy: FaultProxy
let cache: CacheManager

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

test('memory answers, and has neither breaker nor queue', async () => {
  await using memory = createCache({ redis: false })
  expect(await memory.health()).toEqual({ ok: true, latencyMs: expect.any(Number) })
})

describe.each([false, true])('one server, with a tier of memory in front: %s', (l1) => {
  beforeEach(async () => {
    proxy = await startFaultProxy({ target: server })
    const { host, port } = proxy
    cache = createCache({ redis: { host, port, socketTimeout: '300ms' }, cache: { l1 }, logger: SILENT })
  })
  afterEach(async () => {
    await cache.close()
    await proxy.close()
  })

  test('is there', async () => {
    proxy.delay(20)
    const health = await cache.health()
    expect(health).toEqual({ ok: true, latencyMs: expect.any(Number), breaker: 'closed', undelivered: 0 })
    expect(health.latencyMs).toBeGreaterThanOrEqual(40)
  })

  test('is away, with what waits for it, and is back when that was delivered', async () => {
    await cache.ping()
    proxy.refuse()
    proxy.cut()
    await expect.poll(async () => (await cache.health()).breaker).toBe('open')
    for (const what of ['a', 'b']) await expect(cache.delete(what)).rejects.toThrow(RedisConnectionError)
    await expect(cache.invalidateTags(['a', 'b'])).rejects.toThrow(RedisConnectionError)
    expect(await cache.health()).toEqual({ ok: false, breaker: 'open', undelivered: 3 })
    await proxy.accept()
    const back = { ok: true, latencyMs: expect.any(Number), breaker: 'closed', undelivered: 0 }
    await expect.poll(() => cache.health(), { timeout: 10_000 }).toEqual(back)
  })

  test('is half-open while it is connected again and has not yet taken the greeting', async () => {
    await cache.ping()
    proxy.stall()
    await expect(cache.get('a')).rejects.toThrow(RedisConnectionError)
    expect(await cache.health()).toMatchObject({ ok: false, breaker: 'open' })
    proxy.resume()
    // Answers are held back, so that the greeting is under way for a while.
    proxy.delay({ down: 40 })
    await expect.poll(() => cache.parts.store.health?.().breaker, { interval: 2, timeout: 10_000 }).toBe('half-open')
    await expect.poll(() => cache.parts.store.health?.().breaker, { timeout: 10_000 }).toBe('closed')
  })

  test('is not ok once the cache is closed', async () => {
    await cache.close()
    expect(await cache.health()).toMatchObject({ ok: false, breaker: 'open' })
  })
})

test('of a cluster the worst node counts, and every shard counts what waits for it', async () => {
  const cluster = await startRedisCluster()
  const redis = { cluster: cluster.nodes, socketTimeout: '300ms' } as const
  const clustered = createCache({ redis, logger: SILENT })
  try {
    expect(await clustered.health()).toMatchObject({ ok: true, breaker: 'closed', undelivered: 0 })
    await cluster.masters[0]!.kill()
    await expect(clustered.invalidateTags('red')).rejects.toThrow(RedisConnectionError)
    const health = await clustered.health()
    expect(health).toMatchObject({ ok: false, breaker: 'open' })
    expect(health.undelivered).toBeGreaterThan(0)
    expect(health.undelivered).toBeLessThan(16)
  } finally {
    await clustered.close()
    await cluster.stop()
  }
})
