/** An invalidation that could not be delivered rejects, is not forgotten, and until it is delivered nothing is served. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCache, RedisConnectionError, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
let cut: CacheManager
let whole: CacheManager

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
  cut = createCache({ redis: { host: proxy.host, port: proxy.port, socketTimeout: '200ms' }, logger: SILENT })
  whole = createCache({ redis: { url: server.url }, logger: SILENT })
  await whole.set('k', 'old', { tags: ['t'] })
  await cut.get('k')
})
afterEach(async () => {
  await Promise.all([cut.close(), whole.close()])
  await proxy.close()
  await server.stop()
})

function cutOff(): void {
  proxy.refuse()
  proxy.cut()
}

const INVALIDATIONS = [
  ['delete', () => cut.delete('k')],
  ['invalidateTags', () => cut.invalidateTags('t')],
  ['soft invalidateTags', () => cut.invalidateTags('t', { soft: true })],
  ['clear', () => cut.clear()],
] as const

describe.each(INVALIDATIONS)('%s', (_how, invalidate) => {
  test('rejects, and is delivered to all when Redis is back, without another call', async () => {
    cutOff()
    await expect(invalidate()).rejects.toBeInstanceOf(RedisConnectionError)
    expect(await whole.get('k')).toBe('old')
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
  })

  test('comes before the first read of this process', async () => {
    cutOff()
    await invalidate().catch(() => undefined)
    await proxy.accept()
    let value: unknown = 'unreachable'
    while (value === 'unreachable') value = await cut.get('k').catch(() => 'unreachable')
    expect(value).toBeUndefined()
  })

  test('keeps getOrSet of this process from the stored entry as long as it lasts', async () => {
    cutOff()
    await invalidate().catch(() => undefined)
    expect(await cut.getOrSet('k', () => 'loaded')).toBe('loaded')
  })
})

test('thousands of them are one: everything', async () => {
  cutOff()
  await Promise.allSettled(
    Array.from({ length: 12 }, (_, n) => cut.delete(Array.from({ length: 500 }, (_x, i) => `${n}-${i}`))),
  )
  await cut.delete('another').catch(() => undefined)
  await proxy.accept()
  await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
})
