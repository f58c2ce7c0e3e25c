/** The options of a call, and what becomes of them. */
import { parseDuration, toMs, type Duration } from './duration.ts'
import type { Windows } from './entry.ts'
import { CacheConfigurationError, describe } from './exceptions.ts'
import { assertTag, namespaceStamp, tagStamp } from './key.ts'
import { BOOLEAN, DURATION, optionFaults, SHARE, TTL, type Check, type Checks } from './option-checks.ts'
import type { InvalidationOptions } from './stores/store.ts'

export interface KeyOptions {
  /** A key belongs to one namespace; `''` is the default one. Default: that of the cache (`cache.namespace`). */
  namespace?: string | undefined
}

/** How long an entry lives and what invalidates it. The windows add up: ttl, then swr, then grace. */
export interface SetOptions extends KeyOptions {
  /** How long it is fresh; clamped to `cache.maxTtl`. Default: `cache.defaultTtl`. */
  ttl?: Duration | undefined
  /** Names by which `invalidateTags` reaches it, over all namespaces; one may stand alone. Default: none. */
  tags?: string | readonly string[] | undefined
  /** How long after its ttl it is still served, while it is refreshed behind; at most `cache.maxTtl`. Default: not at all. */
  swr?: Duration | undefined
  /** How long after that it is kept, to be served only if a load fails or is late; at most `cache.maxTtl`. Default: not at all. */
  grace?: Duration | undefined
  /** Shortens the ttl at random by up to this share of it, 0 to 1: what was stored together does not expire together. Default: 0. */
  jitter?: number | undefined
  /** Whether it is compressed in Redis, if it is large enough. Default: `cache.compressionEnabled`. */
  compress?: boolean | undefined
}

export interface GetOrSetOptions extends SetOptions {
  /** Load even if there is a fresh entry. Default: false. */
  forceRefresh?: boolean | undefined
  /** If the load takes longer and there is a stale entry, that is the answer; the load goes on. Default: none. */
  softTimeout?: Duration | undefined
  /** If the load takes longer, and there is no stale entry: `LoadTimeoutError`. Default: none. */
  hardTimeout?: Duration | undefined
  /** The ttl of a result that is `null` or `undefined`; clamped to `cache.maxTtl`. Default: `null` is a value like others, `undefined` is not stored. */
  negativeTtl?: Duration | undefined
  /**
   * Lets a caller of a hit refresh it behind before its ttl ends: the likelier the nearer the end is and the longer the
   * load takes. Default: false.
   */
  earlyRefresh?: boolean | undefined
  /** Ends this caller's wait, for Redis and for the load; the loader's own signal aborts when nobody waits any more. */
  signal?: AbortSignal | undefined
}

export interface InvalidateOptions {
  /**
   * Keep what is invalidated as stale copies: `getOrSet` serves them while one load refreshes them, until their own ttl
   * and swr are over; `get` finds them no more. Default: false.
   */
  soft?: boolean | undefined
  /**
   * Resolve only when no process serves it from its memory (`cache.l1`) either: that takes as long as the memory may
   * lag, half a second by default. Without `cache.l1` anywhere it is always so. Default: false.
   */
  strict?: boolean | undefined
  /**
   * For so long, a day at most, no load and no token that bears one of the tags is stored; `set` still is. For databases
   * that show the old state for a while: a replica that lags, or a transaction that has not been committed yet. Default:
   * not at all.
   */
  holdFor?: Duration | undefined
}

export interface TtlLimits {
  readonly defaultTtlMs: number
  readonly maxTtlMs: number
}

/** The options of a load, checked. */
export interface LoadSettings {
  /** The stamps known before the load: the namespace's, then those of its tags. */
  readonly tags: readonly string[]
  readonly windows: Windows
  /** The ttl of a result that is null or undefined; undefined: null is a value like others, undefined is not stored. */
  readonly negativeTtlMs?: number | undefined
  readonly compress?: boolean | undefined
  readonly softTimeoutMs?: number | undefined
  readonly hardTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Load whatever is stored and whoever is loading. */
  readonly isForced?: boolean | undefined
}

/**
 * The windows that options ask for, each clamped to the longest ttl.
 *
 * @throws {CacheConfigurationError} that names the option
 */
export function windowsOf(options: Pick<SetOptions, 'ttl' | 'swr' | 'grace' | 'jitter'>, limits: TtlLimits): Windows {
  const { ttl, swr, grace, jitter = 0 } = options
  const { defaultTtlMs, maxTtlMs } = limits
  const ttlMs = ttl === undefined ? defaultTtlMs : Math.min(toMs(ttl, 'ttl'), maxTtlMs)
  return {
    ttlMs: ttlMs * (1 - jitter * Math.random()),
    swrMs: Math.min(optionalMs(swr, 'swr') ?? 0, maxTtlMs),
    graceMs: Math.min(optionalMs(grace, 'grace') ?? 0, maxTtlMs),
  }
}

type ChecksOf<Options> = Readonly<Record<keyof Options, Check>>

/** Longer than any database lags behind: a hold for the time of a mistake in the unit keeps everything out. */
const LONGEST_HOLD_MS = 86_400_000

/** Refused as what they are, with a `CacheKeyError`, where they are used. */
const NAME: Check = { expected: '', accepts: () => true }
const TAGS: Check = {
  expected: 'a string or an array of strings',
  accepts: (value) => typeof value === 'string' || Array.isArray(value),
}
const SIGNAL: Check = { expected: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal }
const HOLD: Check = {
  expected: `${DURATION.expected}, of 1d at most`,
  accepts: (value) => DURATION.accepts(value) && parseDuration(value)! <= LONGEST_HOLD_MS,
}

const KEY_CHECKS: ChecksOf<KeyOptions> = { namespace: NAME }
const FILL_CHECKS: ChecksOf<Omit<SetOptions, 'namespace'>> = {
  ttl: TTL,
  tags: TAGS,
  swr: DURATION,
  grace: DURATION,
  jitter: SHARE,
  compress: BOOLEAN,
}
const SET_CHECKS: ChecksOf<SetOptions> = { ...KEY_CHECKS, ...FILL_CHECKS }
const LOAD_CHECKS: ChecksOf<GetOrSetOptions> = {
  ...SET_CHECKS,
  forceRefresh: BOOLEAN,
  softTimeout: DURATION,
  hardTimeout: DURATION,
  negativeTtl: DURATION,
  earlyRefresh: BOOLEAN,
  signal: SIGNAL,
}
const INVALIDATION_CHECKS: ChecksOf<InvalidateOptions> = { soft: BOOLEAN, strict: BOOLEAN, holdFor: HOLD }

/** A kind of call, by the options it has. */
export type CallKind = 'key' | 'set' | 'load' | 'fill' | 'invalidation'

const CHECKS: Readonly<Record<CallKind, Checks>> = {
  key: KEY_CHECKS,
  set: SET_CHECKS,
  load: LOAD_CHECKS,
  fill: FILL_CHECKS,
  invalidation: INVALIDATION_CHECKS,
}

/**
 * That options have the names which this kind of call knows: a misspelt one, or another call's, would silently mean
 * nothing. A hit can afford no more.
 *
 * @throws {CacheConfigurationError} that lists everything that is wrong, also with what they say
 */
export function assertOptions(options: unknown, kind: CallKind): void {
  const checks = CHECKS[kind]
  if (typeof options !== 'object' || options === null)
    throw new CacheConfigurationError(optionFaults(options, checks), 'options')
  for (const name in options) if (!Object.hasOwn(checks, name)) return assertValues(options, kind)
}

/** @throws {CacheConfigurationError} that lists everything that is wrong */
export function assertValues(options: object, kind: CallKind): void {
  const faults = optionFaults(options, CHECKS[kind])
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'options')
}

/** @throws {CacheConfigurationError} unless `list` is one, and no string */
export function assertList(list: unknown, name: string): void {
  const isList = typeof list === 'object' && list !== null && Symbol.iterator in list
  if (!isList) throw refused(name, 'a list', list)
}

/** @throws {CacheConfigurationError} unless `entry` is a key and its value */
export function pairOf<T>(entry: readonly [string, T], index: number): readonly [string, T] {
  if (!Array.isArray(entry) || entry.length < 2) throw refused(`entries[${index}]`, 'a key and its value', entry)
  return entry
}

/** The names an entry bears: its namespace's first, then those of its tags. */
export function stampsOf(namespace: string, tags: string | readonly string[] = []): readonly string[] {
  const names = typeof tags === 'string' ? [tags] : tags
  if (!Array.isArray(names)) throw refused('tags', 'a string or an array of strings', tags)
  names.forEach(assertTag)
  return [namespaceStamp(namespace), ...names.map(tagStamp)]
}

/**
 * What the options of `getOrSet` say of its load.
 *
 * @throws {CacheConfigurationError} that lists everything that is wrong
 */
export function loadSettingsOf(namespace: string, options: GetOrSetOptions, limits: TtlLimits): LoadSettings {
  assertValues(options, 'load')
  const { negativeTtl, softTimeout, hardTimeout, signal } = options
  const negativeTtlMs = optionalMs(negativeTtl, 'negativeTtl')
  return {
    tags: stampsOf(namespace, options.tags),
    windows: windowsOf(options, limits),
    negativeTtlMs: negativeTtlMs && Math.min(negativeTtlMs, limits.maxTtlMs),
    compress: options.compress,
    softTimeoutMs: optionalMs(softTimeout, 'softTimeout'),
    hardTimeoutMs: optionalMs(hardTimeout, 'hardTimeout'),
    signal,
    isForced: options.forceRefresh,
  }
}

/** @throws {CacheConfigurationError} that lists everything that is wrong */
export function invalidationOf(options: InvalidateOptions): InvalidationOptions {
  assertValues(options, 'invalidation')
  const { soft = false, strict = false, holdFor } = options
  return { soft, strict, holdMs: optionalMs(holdFor, 'holdFor') ?? 0 }
}

/** Milliseconds of a duration that may be left out; `0` counts as left out. */
function optionalMs(duration: Duration | undefined, option: string): number | undefined {
  return duration === undefined || duration === 0 ? undefined : toMs(duration, option)
}

function refused(path: string, expected: string, got: unknown): CacheConfigurationError {
  return new CacheConfigurationError([{ path, expected, got: describe(got) }], 'options')
}
