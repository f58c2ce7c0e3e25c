/** A soft invalidation: stale copies are served while one load refreshes them, for as long as they would have lived. */
import type { CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { cachesOver, STORES } from './helpers/caches.ts'

describe.each(STORES)('what was invalidated softly, over %s', (kind) => {
  const { create } = cachesOver(kind)
  let clock: ManualClock
  let cache: CacheManager

  beforeEach(() => {
    clock = new ManualClock()
    cache = create({ clock })
  })

  const fails = (): Promise<never> => Promise.reject(new Error('down'))

  test('is served by getOrSet, not by get, until its own ttl and swr are over', async () => {
    await cache.set('k', 'old', { ttl: 60, swr: 60, tags: ['t'] })
    await cache.invalidateTags('t', { soft: true })
    expect(await cache.get('k')).toBeUndefined()
    for (const seconds of [1, 58, 60]) {
      clock.advance(seconds)
      expect(await cache.getOrSet('k', fails)).toBe('old')
    }
    clock.advance(1)
    await expect(cache.getOrSet('k', fails)).rejects.toThrow('down')
  })

  test('is served until a load has replaced it', async () => {
    await cache.set('k', 'old', { ttl: 60, tags: ['t'] })
    await cache.invalidateTags('t', { soft: true })
    expect(await cache.getOrSet('k', () => 'new')).toBe('old')
    await expect.poll(() => cache.get('k')).toBe('new')
  })

  test('is served in its grace only if a load fails', async () => {
    await cache.set('k', 'old', { ttl: 60, grace: 60, tags: ['t'] })
    await cache.invalidateTags('t', { soft: true })
    clock.advance(61)
    expect(await cache.getOrSet('k', fails)).toBe('old')
    expect(await cache.getOrSet('k', () => 'new')).toBe('new')
  })

  test('with holdFor is not replaced before the hold is over', async () => {
    const real = create()
    await real.set('k', 'old', { ttl: 60, tags: ['t'] })
    const heldAt = performance.now()
    await real.invalidateTags('t', { soft: true, holdFor: '300ms' })
    const load = (): Promise<unknown> => real.getOrSet('k', () => 'new', { tags: ['t'] })
    await expect.poll(load, { timeout: 5000, interval: 10 }).toBe('new')
    expect(performance.now() - heldAt).toBeGreaterThanOrEqual(299)
    expect(real.getStatistics().fences).toBeGreaterThan(0)
  })
  test.each([false, true])('a hold, soft: %s, does not keep set from storing', async (soft) => {
    await cache.invalidateTags('t', { soft, holdFor: '1m' })
    await cache.set('k', 'set', { tags: ['t'] })
    expect(await cache.get('k')).toBe('set')
    expect(await (await cache.begin('b')).set(1, { tags: ['t'] })).toBe(false)
  })
})
