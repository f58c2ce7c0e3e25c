import { describe, expect, test } from 'vitest'
import { freshness, lifeOf, softened, type Entry } from '../src/entry.ts'

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
