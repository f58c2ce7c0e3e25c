/** What an option may be, in one check for each, and everything that is wrong with a set of them. */
import { closest } from './closest.ts'
import { DURATION_FORMAT, parseDuration } from './duration.ts'
import { CacheConfigurationError, describe, type ConfigurationFault } from './exceptions.ts'

/** What one option accepts; `undefined` is as good as left out and is not asked about. */
export interface Check {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

export type Checks = Readonly<Record<string, Check>>

export const TTL: Check = {
  expected: `a duration above zero (${DURATION_FORMAT})`,
  accepts: (value) => (parseDuration(value) ?? 0) > 0,
}
/** `0` is as good as left out. */
export const DURATION: Check = { ...TTL, accepts: (value) => value === 0 || TTL.accepts(value) }
export const BOOLEAN: Check = { expected: 'true or false', accepts: (value) => typeof value === 'boolean' }
export const SHARE: Check = {
  expected: 'a number from 0 to 1',
  accepts: (value) => typeof value === 'number' && value >= 0 && value <= 1,
}

/** A fault for what stands in the place of a cache. */
export function noCache(got: unknown): ConfigurationFault {
  return { path: 'cache', expected: 'a CacheManager, as createCache() or setupCache() returns it', got: describe(got) }
}

/** What adapters take: they ask it for its parts. */
export function isCache(value: unknown): boolean {
  const { parts } = Object(value) as { readonly parts?: unknown }
  return typeof parts === 'object' && parts !== null
}

/** @throws {CacheConfigurationError} that says what was expected in the place of a cache */
export function assertCache(cache: unknown, subject: string): void {
  if (!isCache(cache)) throw new CacheConfigurationError([noCache(cache)], subject)
}

/** Options that somebody else takes, whom people take for this one. */
export interface Elsewhere {
  readonly names: readonly string[]
  /** Who takes them, as a fault says it. */
  readonly of: string
}

/** A fault for an option that does not exist. */
export function unknownOption(path: string, names: readonly string[], elsewhere?: Elsewhere): ConfigurationFault {
  const isElsewhere = elsewhere?.names.includes(path) === true
  const meant = isElsewhere ? undefined : closest(path, names)
  return {
    path,
    expected: meant === undefined ? `one of ${names.join(', ')}` : `a known option (did you mean '${meant}'?)`,
    got: isElsewhere ? `an option of ${elsewhere.of}` : 'an unknown option',
  }
}

/** Everything that is wrong with `options`, names that do not exist included. */
export function optionFaults(options: unknown, checks: Checks, elsewhere?: Elsewhere): ConfigurationFault[] {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    return [{ path: 'options', expected: 'an object', got: describe(options) }]
  }
  const faults: ConfigurationFault[] = []
  // Not Object.entries: most options are right, and nothing is made for them.
  for (const name in options) {
    const value = (options as Readonly<Record<string, unknown>>)[name]
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      faults.push(unknownOption(name, Object.keys(checks), elsewhere))
    } else if (value !== undefined && !check.accepts(value)) {
      faults.push({ path: name, expected: check.expected, got: describe(value) })
    }
  }
  return faults.length === 0 ? timeoutFaults(options) : faults
}

/** A soft timeout that comes after the hard one would never be heard of. */
function timeoutFaults({
  softTimeout,
  hardTimeout,
}: {
  softTimeout?: unknown
  hardTimeout?: unknown
}): ConfigurationFault[] {
  if (!softTimeout || !hardTimeout || parseDuration(softTimeout)! <= parseDuration(hardTimeout)!) return []
  const expected = `at most hardTimeout (${describe(hardTimeout)})`
  return [{ path: 'softTimeout', expected, got: describe(softTimeout) }]
}
