/** L1: memory in front of Redis, no older than it says, and never kept on the strength of a doubt. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../helpers/redis.ts'
import { Wire } from '../helpers/wire.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let wire: Wire
const caches: CacheManager[] = []

beforeAll(async () => {
  server = await startRedis()
  wire = await Wire.tap(server)
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await server.flush()
})
afterAll(async () => {
  wire.close()
  await server.stop()
})

function open(config: ApplicationConfig['cache'] = {}, at: { host: string; port: number } = server): CacheManager {
  const cache = createCache({
    redis: { host: at.host, port: at.port, socketTimeout: '500ms' },
    cache: { l1: true, ...config },
    logger: SILENT,
  })
  caches.push(cache)
  return cache
}

/** Waits until hits of `key` come from memory: they send nothing. */
async function warm(cache: CacheManager, key: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    await cache.get(key)
    if (!(await wire.during(() => cache.get(key))).includes('MGET')) return
    await sleep(10)
  }
  throw new Error(`${key} is never served from memory`)
}

/** Waits until `cache` reads `value`. */
async function reads(cache: CacheManager, key: string, value: unknown): Promise<void> {
  const withinMs = 2000
  const until = performance.now() + withinMs
  while ((await cache.get(key)) !== value) {
    if (performance.now() > until) throw new Error(`${key} is not ${String(value)} within ${withinMs} ms`)
    await sleep(1)
  }
}

test('what is kept near is bounded by what it takes in memory, not in Redis', async () => {
  const writer = open({ l1: false })
  const cache = open({ memory: { maxBytes: '1mb' } })
  // 300 KB in Redis, 6 MB here.
  await writer.set(
    'large',
    Array.from({ length: 100_000 }, () => ({})),
  )
  await writer.set('small', 1)
  await warm(cache, 'small')
  expect(await cache.get('large')).toHaveLength(100_000)
  expect(cache.getStatistics().evictions).toBe(1)
})

describe('a hit', () => {
  test('from memory sends no command, whatever the number of its tags', async () => {
    const cache = open()
    await cache.set('k', 'value', { tags: Array.from({ length: 10 }, (_, n) => `tag ${n}`) })
    await warm(cache, 'k')
    expect(await wire.during(async () => expect(await cache.get('k')).toBe('value'))).not.toContain('MGET')
  })

  test('from memory is what Redis would have given: bytes are not shared, objects are frozen', async () => {
    const cache = open()
    await cache.set('bytes', Buffer.from('abc'))
    await cache.set('object', { list: [1] })
    await warm(cache, 'bytes')
    await warm(cache, 'object')
    ;(await cache.get<Buffer>('bytes'))!.fill(0)
    expect(await cache.get('bytes')).toEqual(Buffer.from('abc'))
    expect(Object.isFrozen((await cache.get<{ list: number[] }>('object'))!.list)).toBe(true)
  })

  test('is kept near when it was loaded here', async () => {
    const cache = open()
    await cache.set('other', 1)
    await warm(cache, 'other')
    await cache.getOrSet('k', () => 'loaded')
    await sleep(20)
    expect(await wire.during(() => cache.getOrSet('k', () => 'again'))).not.toContain('MGET')
  })
})

describe('what another process invalidates', () => {
  test.each([
    ['by key', (cache: CacheManager) => cache.delete('k')],
    ['by tag', (cache: CacheManager) => cache.invalidateTags('t')],
    ['by namespace', (cache: CacheManager) => cache.clear({ namespace: '' })],
    ['with everything', (cache: CacheManager) => cache.clear()],
  ] as const)('%s is not served from memory any more', async (_how, invalidate) => {
    const [here, there] = [open(), open()]
    await there.set('k', 'old', { tags: ['t'] })
    await warm(here, 'k')
    await invalidate(there)
    await reads(here, 'k', undefined)
    expect(await here.getOrSet('k', () => 'new')).toBe('new')
  })

  test('softly is served once more as a stale copy, while it is refreshed', async () => {
    const [here, there] = [open(), open()]
    await there.set('k', 'old', { tags: ['t'] })
    await warm(here, 'k')
    await there.invalidateTags('t', { soft: true })
    await reads(here, 'k', undefined)
    expect(await here.getOrSet('k', () => 'new')).toBe('old')
    await reads(here, 'k', 'new')
  })

  test.each([
    ['set', (cache: CacheManager) => cache.set('k', 'new')],
    ['forceRefresh', (cache: CacheManager) => cache.getOrSet('k', () => 'new', { forceRefresh: true })],
  ] as const)('or replaces by %s is not served from memory any more', async (_how, replace) => {
    const [here, there] = [open(), open()]
    await there.set('k', 'old')
    await warm(here, 'k')
    await replace(there)
    await reads(here, 'k', 'new')
  })

  test('or expires is not served past its new end', async () => {
    const [here, there] = [open(), open()]
    await there.set('k', 'old')
    await warm(here, 'k')
    await there.expire('k', '1ms')
    await reads(here, 'k', undefined)
  })

  test('with strict is served by nobody once it has resolved, even to a process that hears nothing', async () => {
    await using proxy = await startFaultProxy({ target: server })
    const [deaf, there] = [open({ l1: { maxStaleness: '300ms' } }, proxy), open()]
    await there.set('k', 'old', { tags: ['t'] })
    await warm(deaf, 'k')
    proxy.stall()
    await there.invalidateTags('t', { strict: true })
    expect(await deaf.get('k').catch(() => 'unreachable')).toBe('unreachable')
  })
})

describe('what this process invalidates', () => {
  test('is gone before the promise resolves, and its own message takes nothing else', async () => {
    const cache = open()
    for (const invalidate of [() => cache.delete('k'), () => cache.invalidateTags('t'), () => cache.clear()]) {
      await cache.set('k', 'old', { tags: ['t'] })
      await warm(cache, 'k')
      await invalidate()
      expect(await cache.get('k')).toBeUndefined()
    }
  })

  test('by set leaves the new value near', async () => {
    const cache = open()
    await cache.set('k', 1)
    await warm(cache, 'k')
    await cache.set('k', 2)
    expect(await cache.get('k')).toBe(2)
    await warm(cache, 'k')
    expect(await cache.get('k')).toBe(2)
  })
})

describe('a connection that is lost', () => {
  async function through(maxStaleness: '250ms'): Promise<{ proxy: FaultProxy; cache: CacheManager }> {
    const proxy = await startFaultProxy({ target: server })
    const cache = open({ l1: { maxStaleness } }, proxy)
    await cache.set('k', 'value')
    await warm(cache, 'k')
    return { proxy, cache }
  }

  test('without a word ends the service from memory within maxStaleness', async () => {
    const { proxy, cache } = await through('250ms')
    proxy.stall()
    const stalledAt = performance.now()
    let servedUntil = stalledAt
    while (performance.now() - stalledAt < 600) {
      const value = await Promise.race([cache.get('k').catch(() => undefined), sleep(5)])
      if (value === 'value') servedUntil = performance.now()
      await sleep(5)
    }
    expect(servedUntil - stalledAt).toBeLessThan(250 + 50)
    await proxy.close()
  })

  test('and found again starts with an empty memory, and is served from it again', async () => {
    const { proxy, cache } = await through('250ms')
    const there = open()
    proxy.cut()
    await there.delete('k')
    await there.set('k', 'new')
    await reads(cache, 'k', 'new')
    await warm(cache, 'k')
    expect(await cache.get('k')).toBe('new')
    await proxy.close()
  })
})

describe('the races of keeping', () => {
  test('an entry that was removed while it was on its way is not kept', async () => {
    await using proxy = await startFaultProxy({ target: server })
    const [here, there] = [open({}, proxy), open()]
    await there.set('other', 1)
    await warm(here, 'other')
    await there.set('k', 'old')
    await sleep(20)
    // The reply of the read is held back behind the message of the removal, which comes by another connection.
    proxy.delay({ down: 60 })
    const read = here.get('k')
    await sleep(20)
    await there.delete('k')
    expect(['old', undefined]).toContain(await read)
    proxy.delay(0)
    await sleep(100)
    expect(await here.get('k')).toBeUndefined()
  })

  test('FLUSHALL takes nothing back to life: what is stored and invalidated after it is told as before', async () => {
    const [here, there] = [open(), open()]
    await there.set('k', 'before', { tags: ['t'] })
    await warm(here, 'k')
    await server.flush()
    await there.invalidateTags('t')
    await reads(here, 'k', undefined)
    await there.set('k', 'after', { tags: ['t'] })
    await reads(here, 'k', 'after')
    await warm(here, 'k')
    await there.invalidateTags('t')
    await reads(here, 'k', undefined)
  })
})

test('what cannot be kept for room is evicted, and read from Redis again', async () => {
  const cache = open({ memory: { maxEntries: 2 } })
  for (const key of ['a', 'b', 'c']) await cache.set(key, key)
  await warm(cache, 'a')
  for (const key of ['b', 'c', 'a']) expect(await cache.get(key)).toBe(key)
  expect(cache.getStatistics().evictions).toBeGreaterThan(0)
})
