/** What had to be delivered first and the read behind it have the time of one command, not of two. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, RedisReplyError, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

const LATE = 'Redis did not answer all that was asked within 2000 ms'

let server: RedisServer
let proxy: FaultProxy
let cache: CacheManager

/** A cache with an invalidation to deliver that Redis refuses, over a network on which two commands in a row are late. */
beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
  await server.call('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all')
  const { host, port } = proxy
  cache = createCache({
    redis: { host, port, username: 'limited', password: 'secret', socketTimeout: '2s' },
    cache: { leaseTime: '1h' },
    logger: SILENT,
  })
  await cache.set('k', 1)
  await server.call('ACL', 'SETUSER', 'limited', '-zadd')
  await expect(cache.invalidateTags('t')).rejects.toBeInstanceOf(RedisReplyError)
  proxy.delay({ up: 1500 })
})
afterEach(async () => {
  proxy.delay(0)
  await cache.close()
  await proxy.close()
  await server.stop()
})

function outcomeOf(call: () => Promise<unknown>): () => Promise<string> {
  return () =>
    call().then(
      () => 'in time',
      (error: unknown) => (error as Error).message,
    )
}

test('a read behind invalidations that are delivered slowly ends within socketTimeout', async () => {
  await expect
    .poll(
      outcomeOf(() => cache.get('k')),
      { timeout: 25_000 },
    )
    .toBe(LATE)
})

test('a lease that comes too late for that is given back', async () => {
  const begin = async (): Promise<void> => (await cache.begin('loaded')).release()
  const isLeased = (): Promise<unknown> => server.call('EXISTS', 'cache:{#0}l::loaded')
  await expect.poll(outcomeOf(begin), { timeout: 25_000 }).toBe(LATE)
  await expect.poll(isLeased, { timeout: 5000, interval: 20 }).toBe(1)
  await expect.poll(isLeased, { timeout: 5000 }).toBe(0)
})
