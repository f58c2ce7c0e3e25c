/** What could not be invalidated is not served from memory in front of Redis (L1) either, before its replay or after it. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, RedisConnectionError, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
let cache: CacheManager

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
  cache = createCache({
    redis: { host: proxy.host, port: proxy.port, socketTimeout: '1s' },
    cache: { l1: { maxStaleness: '2s' } },
    logger: SILENT,
  })
})
afterEach(async () => {
  await cache.close()
  await proxy.close()
  await server.stop()
})

test.each([
  ['delete', () => cache.delete('k')],
  ['invalidateTags', () => cache.invalidateTags('t')],
])('a load that a %s which rejected had overtaken, and that was stored after it', async (_how, invalidate) => {
  await cache.set('other', 1)
  let finish: (value: string) => void = () => {}
  const load = cache.getOrSet('k', () => new Promise<string>((resolve) => (finish = resolve)), { tags: ['t'] })
  await expect.poll(() => server.call('EXISTS', 'cache:{#0}l::k')).toBe(1)
  const isStored = new Promise((resolve) => cache.on('fill', resolve))

  // The connection for commands is lost while the invalidation is on its way; the one that listens is not.
  proxy.delay({ up: 100 })
  const rejected = expect(invalidate()).rejects.toBeInstanceOf(RedisConnectionError)
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
  await rejected
  proxy.delay(0)
  finish('old')
  await load
  await isStored
  for (let i = 0; i < 100; i++) {
    expect(await cache.get('k').catch(() => undefined)).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
})
