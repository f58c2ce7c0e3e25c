/** How long a response is fresh where its header fields alone say so; what the route's ttl does to it: policy.test.ts. */
import { describe, expect, test } from 'vitest'
import { controlOf } from '../../src/http/cache-control.ts'
import { keptWindows, lifetimeOf, type Arrival, type Lifetime } from '../../src/http/freshness.ts'
import type { Headers } from '../../src/http/message.ts'
import { makePolicy } from './facts.ts'

const NOW = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

const policy = makePolicy({
  kind: 'rfc9111',
  windows: { ttlMs: DAY_MS, swrMs: 10_000, graceMs: 20_000 },
  statuses: undefined,
})

function lifetime(headers: Headers, arrival: Partial<Arrival> = {}, status = 200): Lifetime {
  return lifetimeOf({ status, headers }, controlOf(headers), { policy, now: NOW, ...arrival })
}

const date = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()
const seconds = (headers: Headers, arrival?: Partial<Arrival>): number =>
  lifetime(headers, arrival).windows.ttlMs / 1000

describe('by its own words', () => {
  test.each<[Headers, number]>([
    [{}, 0],
    [{ 'cache-control': 'max-age=10' }, 10],
    [{ 'cache-control': 'max-age=10, s-maxage=20' }, 20],
    [{ 'cache-control': 'max-age=10', expires: date(5) }, 10],
    [{ expires: date(5), date: date(0) }, 5],
    [{ expires: date(5), date: date(-3) }, 5],
    [{ expires: [date(5), date(6)] }, 0],
    [{ 'tidemark-cache-control': 'max-age=7', 'cache-control': 'max-age=10', expires: date(5) }, 7],
    [{ 'tidemark-cache-control': 'public', expires: date(5) }, 0],
    [{ 'cache-control': 'no-cache, max-age=10' }, 0],
    [{ 'cache-control': 'no-cache="x-user", max-age=10' }, 10],
    [{ 'cache-control': 'no-cache, no-cache="x-user", max-age=10' }, 0],
    [{ 'cache-control': 'no-cache="", max-age=10' }, 0],
  ])('%j: %i s', (headers, expected) => {
    expect(seconds(headers)).toBe(expected)
  })

  test('never longer than maxTtl, which counts from now on and not from when it was made', () => {
    expect(seconds({ 'cache-control': 'max-age=31536000' })).toBe(86_400)
    expect(seconds({ 'cache-control': 'max-age=31536000', age: '172800' })).toBe(86_400)
  })

  test('without any, a tenth of the time since it was changed, a day at most', () => {
    expect(seconds({ 'last-modified': date(-1000) })).toBe(100)
    expect(seconds({ 'last-modified': date(-100), date: date(0) })).toBe(10)
    expect(seconds({ 'last-modified': date(100) })).toBe(0)
    expect(seconds({ 'last-modified': date(-31_536_000) })).toBe(86_400)
    expect(lifetime({ 'last-modified': date(-1000) }, {}, 201).windows.ttlMs).toBe(0)
    expect(lifetime({ 'last-modified': date(-1000), 'cache-control': 'public' }, {}, 201).windows.ttlMs).toBe(100_000)
  })
})

describe('its age (§4.2.3)', () => {
  const headers = { 'cache-control': 'max-age=100' }
  const age = (more: Headers, arrival: Partial<Arrival> = {}): [number, number] => {
    const { age: whole, windows } = lifetime({ ...headers, ...more }, arrival)
    return [whole, windows.ttlMs / 1000]
  }

  test('is what Age says and the time that its handler took, or what Date says if that is more', () => {
    expect(age({ age: '30' })).toEqual([30, 70])
    expect(age({ age: '30' }, { delayMs: 1500 })).toEqual([31, 68.5])
    expect(age({}, { delayMs: 1500 })).toEqual([1, 98.5])
    expect(age({ age: '30', date: date(-40) }, { delayMs: 1500 })).toEqual([40, 60])
    expect(age({ age: '30', date: date(40) })).toEqual([30, 70])
  })

  test('grows while its body comes', () => {
    expect(age({ age: '30', date: date(-20) }, { now: NOW, receivedAt: NOW - 20_000 })).toEqual([50, 50])
    expect(age({}, { receivedAt: NOW - 20_000, delayMs: 5000 })).toEqual([25, 75])
  })

  test('is the first of a list, and nothing if that is no number (§5.1)', () => {
    expect(age({ age: '30, 90' })).toEqual([30, 70])
    expect(age({ age: ['0', '90'] })).toEqual([0, 100])
    for (const none of ['x', '-1', '1.5', '30;a=b', '"30"', '']) expect(age({ age: none })).toEqual([0, 100])
    expect(age({ age: '9'.repeat(30) })[0]).toBe(2 ** 31)
  })
})

describe('past it', () => {
  test('the route’s windows hold unless the origin has its own (RFC 5861), both of which count from the same moment', () => {
    const windows = (field: string): object => lifetime({ 'cache-control': `max-age=1, ${field}` }).windows
    expect(windows('public')).toEqual({ ttlMs: 1000, swrMs: 10_000, graceMs: 20_000 })
    expect(windows('stale-while-revalidate=5')).toEqual({ ttlMs: 1000, swrMs: 5000, graceMs: 20_000 })
    expect(windows('stale-if-error=15')).toEqual({ ttlMs: 1000, swrMs: 10_000, graceMs: 5000 })
    expect(windows('stale-while-revalidate=5, stale-if-error=15')).toEqual({
      ttlMs: 1000,
      swrMs: 5000,
      graceMs: 10_000,
    })
    expect(windows('stale-while-revalidate=15, stale-if-error=5')).toEqual({ ttlMs: 1000, swrMs: 15_000, graceMs: 0 })
    expect(windows('stale-while-revalidate=x, stale-if-error=')).toEqual({ ttlMs: 1000, swrMs: 0, graceMs: 0 })
  })

  test.each(['must-revalidate', 'proxy-revalidate', 's-maxage=1', 'no-cache', 'no-cache="a"'])(
    'nothing may be sent with %s',
    (word) => {
      const { windows, mustValidate } = lifetime({ 'cache-control': `max-age=1, stale-if-error=5, ${word}` })
      expect([windows.swrMs, windows.graceMs, mustValidate]).toEqual([0, 0, true])
    },
  )

  test('it is kept for an hour to be confirmed, from now on if it came stale, no longer than maxTtl', () => {
    const keptMs = (headers: Headers, limited = policy): number => {
      const { ttlMs, swrMs, graceMs } = keptWindows(lifetime(headers), true, limited)
      return ttlMs + swrMs + graceMs
    }
    expect(keptMs({ 'cache-control': 'max-age=60' })).toBe(60_000 + HOUR_MS)
    expect(keptMs({ 'cache-control': 'no-cache' })).toBe(HOUR_MS)
    expect(keptMs({ 'cache-control': 'max-age=60', age: '100000' })).toBe(HOUR_MS)
    expect(keptMs({ 'cache-control': 'no-cache' }, { ...policy, windows: { ...policy.windows, ttlMs: 5000 } })).toBe(
      5000,
    )
    expect(keptWindows(lifetime({ 'cache-control': 'no-cache' }), false, policy)).toEqual({
      ttlMs: 0,
      swrMs: 0,
      graceMs: 0,
    })
  })
})
