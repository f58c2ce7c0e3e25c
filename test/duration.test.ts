import { expect, test } from 'vitest'
import { parseDuration, toMs } from '../src/duration.ts'
import { CacheConfigurationError } from '../src/exceptions.ts'

test.each([
  [300, 300_000],
  [0.25, 250],
  [0, 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
  ['1.5h', 5_400_000],
  [' 5m ', 300_000],
  ['5 m', 300_000],
  ['0s', 0],
])('%j is %d ms', (duration, ms) => {
  expect(parseDuration(duration)).toBe(ms)
})

test.each([
  [-1],
  [Number.NaN],
  [Infinity],
  ['5'],
  ['-5s'],
  ['5 m s'],
  ['5w'],
  ['5M'],
  ['1e3s'],
  ['.5s'],
  ['m'],
  [''],
  [null],
  [undefined],
  [true],
  [5n],
  [[5]],
])('%s is no duration', (duration) => {
  expect(parseDuration(duration)).toBeUndefined()
})

test.each([[0], ['0ms'], [-1], ['soon'], [null], [{}]])('an option that must be above zero refuses %j', (duration) => {
  expect(() => toMs(duration, 'ttl')).toThrow(CacheConfigurationError)
})

test('the refusal names the option, what was expected and what was got', () => {
  expect(() => toMs('soon', 'grace')).toThrow(
    expect.objectContaining({
      faults: [{ path: 'grace', expected: expect.stringMatching(/^a duration above zero .*'5m'/), got: "'soon'" }],
    }),
  )
})
