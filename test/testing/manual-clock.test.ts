/** A clock for tests moves when it is told to, and a cache that has it goes by it. */
import { expect, test } from 'vitest'
import { CacheConfigurationError, createCache } from 'tidemark'
import { ManualClock } from 'tidemark/testing'

test('it stands still until it is moved; a bare number is seconds', () => {
  const clock = new ManualClock(1000)
  expect([clock.now(), clock.now()]).toEqual([1000, 1000])
  clock.advance(2)
  expect(clock.now()).toBe(3000)
  clock.advance('250ms')
  expect(clock.now()).toBe(3250)
})

test('it begins with the year 2026', () => {
  expect(new Date(new ManualClock().now()).toISOString()).toBe('2026-01-01T00:00:00.000Z')
})

test.each([0, -1, Number.NaN, '5 minutes' as '5m'])('it is not moved by %s', (duration) => {
  const clock = new ManualClock()
  const before = clock.now()
  expect(() => clock.advance(duration)).toThrow(CacheConfigurationError)
  expect(clock.now()).toBe(before)
})

test('a cache goes by the clock it is given', async () => {
  const clock = new ManualClock()
  const cache = createCache({ redis: false, clock })
  await cache.set('a', 1, { ttl: '5m' })
  clock.advance('299s')
  expect(await cache.ttl('a')).toBe(1)
  clock.advance('1s')
  expect(await cache.get('a')).toBeUndefined()
})
