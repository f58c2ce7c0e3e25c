import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { createCache } from '../src/create-cache.ts'
import { freshness, lifeOf, softened, type Entry } from '../src/entry.ts'
import { entryId } from '../src/key.ts'

const NOW = 1_000_000

function entry(windows = { ttlMs: 100, swrMs: 20, graceMs: 3 }): Entry {
  return {
    value: 1,
    shareable: true,
    plain: true,
    bytes: 0,
    entryId: '0123456789abcdef',
    parentId: undefined,
    epoch: '',
    seq: 0,
    loadMs: 0,
    tags: [],
    negative: false,
    ...lifeOf(windows, NOW),
  }
}

test('the windows add up', () => {
  expect(lifeOf({ ttlMs: 100, swrMs: 20, graceMs: 3 }, NOW)).toEqual({
    storedAt: NOW,
    freshUntil: NOW + 100,
    staleUntil: NOW + 120,
    graceUntil: NOW + 123,
  })
})

test.each([
  [0, 'fresh'],
  [99, 'fresh'],
  [100, 'stale'],
  [119, 'stale'],
  [120, 'grace'],
  [122, 'grace'],
  [123, 'expired'],
])('%d ms after it was stored an entry is %s', (age, state) => {
  expect(freshness(entry(), NOW + age)).toBe(state)
})

test('without stale windows an entry expires when it is no longer fresh', () => {
  expect(freshness(entry({ ttlMs: 100, swrMs: 0, graceMs: 0 }), NOW + 100)).toBe('expired')
})

describe('after a soft invalidation', () => {
  test('what was fresh is stale, as long as it would have been fresh', () => {
    const soft = softened(entry({ ttlMs: 100, swrMs: 0, graceMs: 0 }))
    expect(freshness(soft, NOW)).toBe('stale')
    expect(freshness(soft, NOW + 99)).toBe('stale')
    expect(freshness(soft, NOW + 100)).toBe('expired')
  })

  test('what was kept for a failure alone is not served any sooner', () => {
    const soft = softened(entry())
    expect(freshness(soft, NOW + 119)).toBe('stale')
    expect(freshness(soft, NOW + 120)).toBe('grace')
    expect(freshness(soft, NOW + 123)).toBe('expired')
  })
})

describe('all entries have one shape, so that what reads them is fast', () => {
  setFlagsFromString('--allow-natives-syntax')
  const haveSameMap = runInThisContext('(a, b) => %HaveSameMap(a, b)') as (a: object, b: object) => boolean

  test.each(['filled', 'set', 'filled by hand', 'prolonged', 'invalidated softly'])('%s', async (how) => {
    const cache = createCache({ redis: false, clock: { now: () => NOW } })
    const read = async (key: string): Promise<Entry> => (await cache.parts.store.read(entryId('', key)))!
    await cache.getOrSet('first', () => 1, { ttl: 60, swr: 60, tags: ['t'] })
    // Until V8 has optimized how entries are made: only then they would begin to differ.
    for (let i = 0; i < 2000; i++) await cache.getOrSet(`early ${i}`, () => i)
    await cache.getOrSet('other', () => 'text', { ttl: 1, grace: 0.5 })
    if (how === 'set') await cache.set('other', [1], { ttl: 60, compress: true })
    if (how === 'filled by hand') await (await cache.begin('other')).set(new Date(0))
    if (how === 'prolonged') {
      await cache.set('other', 1)
      await cache.expire('other', 10)
    }
    if (how === 'invalidated softly') {
      await cache.set('other', 1, { swr: 60, tags: ['t'] })
      await cache.invalidateTags('t', { soft: true })
    }
    expect(haveSameMap(await read('first'), await read('other'))).toBe(true)
    await cache.close()
  })
})
