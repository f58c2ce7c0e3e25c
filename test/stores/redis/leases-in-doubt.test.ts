/** A lease whose end, or whose beginning, Redis did not confirm keeps nobody waiting once Redis answers again. */
import { createCache, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Loader } from '../../helpers/loader.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

/** Whoever had to wait for it would wait for longer than a test. */
const LEASE = '10m'
const quiet = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
let cache: CacheManager

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: { host: server.host, port: server.port } })
  const redis = { host: '127.0.0.1', port: proxy.port, socketTimeout: '300ms' } as const
  cache = createCache({ redis, cache: { leaseTime: LEASE, waitTime: LEASE }, logger: quiet })
  expect(await cache.getOrSet('warm', () => 1)).toBe(1)
})
afterEach(async () => {
  await cache.close()
  await proxy.close()
  await server.stop()
})

async function leases(): Promise<number> {
  const keys = (await server.call('KEYS', '*l::*')) as readonly unknown[]
  return keys.length
}

test('that of a load which ended while Redis was gone', async () => {
  const loader = new Loader()
  const call = cache.getOrSet('a', loader.load)
  const run = await loader.started()
  expect(await leases()).toBe(1)
  proxy.refuse()
  proxy.cut()
  const faults: { readonly key?: string | undefined }[] = []
  cache.on('error', (fault) => faults.push(fault))
  run.resolve('loaded')
  expect(await call).toBe('loaded')
  await expect.poll(() => faults.some(({ key }) => key === 'a')).toBe(true)
  await proxy.accept()
  await expect.poll(leases, { timeout: 10_000 }).toBe(0)
  expect(await cache.getOrSet('a', () => 'anew')).toBe('anew')
})

test('that which a silent Redis grants after its caller has given up', async () => {
  server.pause()
  expect(await cache.getOrSet('a', () => 'without', { forceRefresh: true })).toBe('without')
  server.resume()
  await expect.poll(async () => (await cache.health()).ok, { timeout: 10_000 }).toBe(true)
  await expect.poll(leases, { timeout: 10_000 }).toBe(0)
  expect(await cache.getOrSet('a', () => 'anew')).toBe('anew')
})
