import type { CacheManager, Statistics } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { Counters } from '../src/statistics.ts'
import { cachesOver, STORES } from './helpers/caches.ts'
import { Loader } from './helpers/loader.ts'

const ZERO = { hits: 0, misses: 0, staleHits: 0, sets: 0, deletes: 0, loads: 0, coalesced: 0, fences: 0 }

test('what was counted in each namespace adds up', () => {
  const counters = new Counters(true)
  counters.of('').hits++
  counters.of('users').hits += 2
  counters.of('users').misses++
  counters.errors++
  expect(counters.statistics(1500)).toMatchObject({ hits: 3, misses: 1, errors: 1, uptime: 1.5 })
  expect({ ...counters.statistics(0).namespaces }).toEqual({
    '': { ...ZERO, hits: 1 },
    users: { ...ZERO, hits: 2, misses: 1 },
  })
})

test('the hit rate is what was served from the cache, fresh or stale, of all reads', () => {
  const counters = new Counters(true)
  expect(counters.statistics(0).hitRate).toBe(0)
  counters.of('').misses++
  expect(counters.statistics(0).hitRate).toBe(0)
  counters.of('').hits++
  counters.of('').staleHits += 2
  expect(counters.statistics(0).hitRate).toBe(0.75)
})

test('a snapshot does not change any more', () => {
  const counters = new Counters(true)
  counters.of('a').hits++
  const before = counters.statistics(0)
  counters.of('a').hits++
  expect([before.hits, before.namespaces['a']!.hits]).toEqual([1, 1])
})

test('a reset forgets all of it', () => {
  const counters = new Counters(true)
  counters.of('a').loads++
  counters.evictions++
  counters.bytesRead += 10
  counters.reset()
  expect(counters.statistics(0)).toMatchObject({ loads: 0, evictions: 0, bytesRead: 0 })
  expect(Object.keys(counters.statistics(0).namespaces)).toEqual([])
})

test('nothing is counted that nobody wants to know', () => {
  const counters = new Counters(false)
  counters.of('a').hits++
  counters.errors++
  expect(counters.statistics(0)).toMatchObject({ ...ZERO, errors: 0 })
  expect(Object.keys(counters.statistics(0).namespaces)).toEqual([])
})

test('namespaces made from user input do not fill the memory: beyond a thousand they are counted together', () => {
  const counters = new Counters(true)
  for (let i = 0; i < 1500; i++) counters.of(`tenant-${i}`).hits++
  counters.of('tenant-0').hits++
  const { hits, namespaces } = counters.statistics(0)
  expect(hits).toBe(1501)
  expect(Object.keys(namespaces)).toHaveLength(1001)
  expect(namespaces['tenant-0']!.hits).toBe(2)
  expect(namespaces['…']!.hits).toBe(500)
})

test.each(['__proto__', 'constructor', 'toString'])('a namespace may be called %s', (name) => {
  const counters = new Counters(true)
  counters.of(name).hits++
  expect(counters.statistics(0).namespaces[name]).toEqual({ ...ZERO, hits: 1 })
})

describe.each(STORES)('what a cache over %s counts', (kind) => {
  const { create, createTwo } = cachesOver(kind)
  let clock: ManualClock
  let cache: CacheManager
  let loader: Loader

  beforeEach(() => {
    clock = new ManualClock()
    cache = create({ clock })
    loader = new Loader()
  })

  const counted = (): Partial<Statistics> => {
    const { hits, misses, staleHits, sets, deletes, loads, coalesced, fences, errors, invalidations } =
      cache.getStatistics()
    const all = { hits, misses, staleHits, sets, deletes, loads, coalesced, fences, errors, invalidations }
    return Object.fromEntries(Object.entries(all).filter(([, count]) => count !== 0))
  }

  test('nothing, at first', () => {
    expect(counted()).toEqual({})
    expect(cache.getStatistics()).toMatchObject({ hitRate: 0, uptime: 0, evictions: 0, bytesRead: 0, bytesWritten: 0 })
  })

  test('get: a miss, then hits', async () => {
    await cache.get('a')
    await cache.set('a', 1)
    await cache.getMany(['a', 'a', 'b'])
    expect(counted()).toEqual({ misses: 2, sets: 1, hits: 2 })
    expect(cache.getStatistics().hitRate).toBe(0.5)
  })

  test('getOrSet: a miss and a load, then hits', async () => {
    await cache.getOrSet('a', () => 1)
    await cache.getOrSet('a', () => 1)
    await cache.getOrSet('a', () => 1, { forceRefresh: true })
    expect(counted()).toEqual({ misses: 2, loads: 2, hits: 1 })
  })

  test('callers who joined', async () => {
    const calls = Array.from({ length: 200 }, () => cache.getOrSet('a', loader.load))
    ;(await loader.started()).resolve(1)
    await Promise.all(calls)
    expect(counted()).toEqual({ misses: 200, loads: 1, coalesced: 199 })
  })

  test('a loader that fails was run; it is no fault of the cache', async () => {
    await expect(cache.getOrSet('a', () => Promise.reject(new Error('down')))).rejects.toThrow('down')
    expect(counted()).toEqual({ misses: 1, loads: 1 })
  })

  test('a stale entry that is served while it is refreshed', async () => {
    await cache.set('a', 1, { ttl: 1, swr: 60 })
    clock.advance('1s')
    await cache.getOrSet('a', loader.load)
    await loader.started()
    expect(counted()).toEqual({ sets: 1, staleHits: 1, loads: 1 })
    expect(cache.getStatistics().hitRate).toBe(1)
  })

  test('a stale entry that is served because the load failed: it was a miss at first', async () => {
    await cache.set('a', 1, { ttl: 1, grace: 60 })
    clock.advance('1s')
    await cache.getOrSet('a', () => Promise.reject(new Error('down')))
    expect(counted()).toEqual({ sets: 1, misses: 1, loads: 1, staleHits: 1, errors: 1 })
  })

  test('deletes of what was there, and invalidations', async () => {
    await cache.setMany([
      ['a', 1],
      ['b', 1],
    ])
    await cache.delete(['a', 'b', 'c'])
    await cache.invalidateTags(['red', 'blue'])
    await cache.clear()
    expect(counted()).toEqual({ sets: 2, deletes: 2, invalidations: 2 })
  })

  test('a load that was overtaken', async () => {
    await cache.getOrSet('a', () => cache.delete('a'))
    await expect.poll(counted).toEqual({ misses: 1, loads: 1, fences: 1 })
  })

  test('a token that stored, and one that was refused; not one that was given back', async () => {
    const [first, second] = [await cache.begin('a'), await cache.begin('b')]
    await cache.delete('b')
    await first.set(1)
    await second.set(1)
    await (await cache.begin('c')).release()
    expect(counted()).toEqual({ sets: 1, fences: 1 })
  })

  test('by namespace, and in all', async () => {
    await cache.get('a')
    await cache.namespace('users').set('a', 1)
    await cache.get('a', { namespace: 'users' })
    const { namespaces } = cache.namespace('users').getStatistics()
    expect({ ...namespaces }).toEqual({ '': { ...ZERO, misses: 1 }, users: { ...ZERO, sets: 1, hits: 1 } })
    expect(counted()).toEqual({ misses: 1, sets: 1, hits: 1 })
  })

  test('until a reset', async () => {
    await cache.get('a')
    clock.advance('5s')
    expect(cache.getStatistics().uptime).toBe(5)
    cache.resetStatistics()
    expect(counted()).toEqual({})
    expect(cache.getStatistics().uptime).toBe(0)
    await cache.get('a')
    expect(counted()).toEqual({ misses: 1 })
  })

  test('nothing, if it is not to', async () => {
    const quiet = create({ cache: { enableStatistics: false } })
    await quiet.getOrSet('a', () => 1)
    await quiet.delete('a')
    await quiet.clear()
    const { namespaces, ...totals } = quiet.getStatistics()
    expect(totals).toMatchObject({ ...ZERO, invalidations: 0, bytesWritten: 0 })
    expect(Object.keys(namespaces)).toEqual([])
  })

  test('of its own process alone', async () => {
    const [one, other] = createTwo()
    await one.set('a', 1)
    await other.get('a')
    expect(one.getStatistics()).toMatchObject({ sets: 1, hits: 0 })
    expect(other.getStatistics()).toMatchObject({ sets: 0, hits: 1 })
  })
})

describe('over Redis', () => {
  const { create } = cachesOver('Redis')

  test('bytes of entries that are written and read are counted', async () => {
    const cache = create()
    await cache.set('a', 'x'.repeat(1000))
    const { bytesWritten, bytesRead } = cache.getStatistics()
    expect(bytesWritten).toBeGreaterThan(1000)
    expect(bytesWritten).toBeLessThan(1150)
    expect(bytesRead).toBe(0)
    await cache.get('a')
    expect(cache.getStatistics().bytesRead).toBe(bytesWritten)
    await cache.get('nothing')
    expect(cache.getStatistics().bytesRead).toBe(bytesWritten)
  })
})

describe('in memory', () => {
  const { create } = cachesOver('memory')

  test('what was given up for room is counted', async () => {
    const cache = create({ cache: { memory: { maxEntries: 2 } } })
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1)
    expect(cache.getStatistics()).toMatchObject({ evictions: 1, bytesRead: 0, bytesWritten: 0 })
  })
})
