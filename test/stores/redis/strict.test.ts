/** A strict invalidation waits for memories in front (L1) it cannot see, also right after Redis forgot that there are any. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
/** It keeps entries near, and will hear nothing. */
let deaf: CacheManager
/** It keeps nothing near, and knows of those who do only from Redis. */
let plain: CacheManager

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
  deaf = createCache({
    redis: { host: proxy.host, port: proxy.port, socketTimeout: '500ms', healthCheckInterval: 0 },
    // As far behind as it may be.
    cache: { l1: { maxStaleness: '2s' } },
    logger: SILENT,
  })
  plain = createCache({ redis: { url: server.url }, logger: SILENT })
  await plain.set('k', 'old', { tags: ['t'] })
  await servedFromMemory()
})
afterEach(async () => {
  await Promise.all([deaf.close(), plain.close()])
  await proxy.close()
  await server.stop()
})

/** Waits until a hit asks Redis for nothing. */
async function servedFromMemory(): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    await server.resetStats()
    await deaf.get('k')
    if ((await server.commandStats())['mget'] === undefined) return
    await sleep(10)
  }
  throw new Error('k is never served from memory')
}

test.each([
  ['all of Redis is flushed', () => server.flush()],
  ['the watermark is deleted', () => server.call('DEL', 'cache:{#0}w')],
  ['the stamps are deleted', () => server.call('DEL', 'cache:{#0}t')],
  ['what is known of servers is deleted', () => server.call('DEL', 'cache:{#0}m')],
])('after %s, nobody serves it from memory any more when it resolves', async (_what, lose) => {
  proxy.stall()
  await lose()
  expect(await deaf.get('k')).toBe('old')
  await plain.invalidateTags('t', { strict: true })
  expect(await deaf.get('k').catch(() => 'unreachable')).toBe('unreachable')
})

test('while an epoch is older than a moment and nobody keeps anything near, it does not wait', async () => {
  await deaf.close()
  await server.flush()
  await plain.clear()
  await sleep(2100)
  const beganAt = performance.now()
  await plain.invalidateTags('t', { strict: true })
  expect(performance.now() - beganAt).toBeLessThan(300)
})
