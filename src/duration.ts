/** Durations as people write them: a bare number is seconds, a string carries its unit. */
import { CacheConfigurationError, describe } from './exceptions.ts'

/** `300`, `'300s'`, `'5m'` and `'5 m'` are five minutes. Units: `ms`, `s`, `m`, `h`, `d`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const PATTERN = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/

/** What a duration may look like, for error messages. */
export const DURATION_FORMAT = "seconds as a number, or a string such as '250ms', '30s', '5m', '1h', '7d'"

/** Milliseconds of a duration, or `undefined` if it is none. Zero is a duration, a negative number is not. */
export function parseDuration(duration: unknown): number | undefined {
  if (typeof duration === 'number') return Number.isFinite(duration) && duration >= 0 ? duration * 1000 : undefined
  if (typeof duration !== 'string') return undefined
  const [, amount, unit] = PATTERN.exec(duration.trim()) ?? []
  return amount === undefined || unit === undefined ? undefined : Number(amount) * UNIT_MS[unit]!
}

/**
 * Milliseconds of a duration that must be longer than zero.
 *
 * @throws {CacheConfigurationError} that names the option, what was expected and what was got
 * @example
 * toMs('5m', 'ttl') // 300_000
 */
export function toMs(duration: unknown, option: string): number {
  const ms = parseDuration(duration)
  if (ms !== undefined && ms > 0) return ms
  const expected = `a duration above zero (${DURATION_FORMAT})`
  throw new CacheConfigurationError([{ path: option, expected, got: describe(duration) }], 'options')
}
