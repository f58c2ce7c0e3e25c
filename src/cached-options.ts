/** The options of `cached` and `cacheBusting`, and what is checked of them before anything is wrapped. */
import type { NamesFunction, Unannotated } from './decorator.ts'
import { CacheConfigurationError, type ConfigurationFault } from './exceptions.ts'
import { BOOLEAN, DURATION, noCache, optionFaults, SHARE, TTL, type Check, type Elsewhere } from './option-checks.ts'
import type { GetOrSetOptions } from './options.ts'

/** A function of the arguments. */
export type KeyFunction = (this: Unannotated, ...args: Unannotated[]) => string

/** What belongs to one call and not to a function is left out. */
type Settings = Omit<GetOrSetOptions, 'tags' | 'forceRefresh' | 'signal'>

/** How results are kept. Windows and timeouts are those of `cache.getOrSet`. */
export interface CachedOptions<
  Key extends KeyFunction = KeyFunction,
  Tags extends NamesFunction = NamesFunction,
> extends Settings {
  /**
   * The key, or a function of the arguments that returns it; `this` is the instance. It must tell apart whatever the
   * result depends on. Default: the function's name and its arguments, `Users.find(42)`.
   *
   * @example
   * cached(cache, { namespace: 'users', key: (id) => `user_${id}` })
   */
  key?: string | Key | undefined
  /**
   * The tags by which results are invalidated, or a function of the arguments and, last, of the result; `this` is the
   * instance. Default: none.
   *
   * @example
   * cached(cache, { tags: (id: number, user: User) => [`user:${id}`, `team:${user.teamId}`] })
   */
  tags?: string | readonly string[] | Tags | undefined
}

/** What a function that changes data makes out of date. At least one of `keys` and `tags`. */
export interface CacheBustingOptions<
  Keys extends NamesFunction = NamesFunction,
  Tags extends NamesFunction = NamesFunction,
> {
  /** The namespace of `keys`. Default: that of the cache. Tags belong to no namespace. */
  namespace?: string | undefined
  /**
   * Keys to delete, or a function of the arguments and, last, of the result; `this` is the instance. Default: none.
   *
   * @example
   * cacheBusting(cache, { namespace: 'users', keys: (id) => ['users_list', `user_${id}`] })
   */
  keys?: string | readonly string[] | Keys | undefined
  /** Tags to invalidate, or a function of the arguments and, last, of the result. Default: none. */
  tags?: string | readonly string[] | Tags | undefined
}

const NAMESPACE: Check = {
  expected: 'a string of well-formed Unicode',
  accepts: (value) => typeof value === 'string' && value.isWellFormed(),
}
const KEY: Check = {
  expected: 'a non-empty string, or a function that returns one',
  accepts: (value) => typeof value === 'function' || isName(value),
}
const NAMES: Check = {
  expected: 'a non-empty string, an array of them, or a function that returns either',
  accepts: (value) => KEY.accepts(value) || (Array.isArray(value) && value.every(isName)),
}

const CACHED_CHECKS: Record<keyof CachedOptions, Check> = {
  ttl: TTL,
  namespace: NAMESPACE,
  key: KEY,
  tags: NAMES,
  swr: DURATION,
  grace: DURATION,
  softTimeout: DURATION,
  hardTimeout: DURATION,
  negativeTtl: DURATION,
  compress: BOOLEAN,
  earlyRefresh: BOOLEAN,
  jitter: SHARE,
}

/** For functions, as faults tell the two `cached` apart. */
export const FUNCTION_OPTIONS: Elsewhere = {
  names: Object.keys(CACHED_CHECKS),
  of: "cached of 'tidemark', which wraps functions",
}

/** Those of routes that are none of functions. */
const ROUTE_OPTIONS: Elsewhere = {
  names: [
    'policy',
    'vary',
    'query',
    'user',
    'auth',
    'hosts',
    'strict',
    'methods',
    'statuses',
    'maxBodyBytes',
    'cdnCacheControl',
    'allowRefresh',
  ],
  of: "cached of 'tidemark/fastify', which is for routes",
}

const CACHE_BUSTING_CHECKS: Record<keyof CacheBustingOptions, Check> = {
  namespace: NAMESPACE,
  keys: NAMES,
  tags: NAMES,
}

/** @throws {CacheConfigurationError} that lists everything that is wrong */
export function assertCachedOptions(cache: unknown, options: unknown): void {
  const faults = [...cacheFaults(cache, ['getOrSet']), ...optionFaults(options, CACHED_CHECKS, ROUTE_OPTIONS)]
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'options of cached')
}

/** @throws {CacheConfigurationError} that lists everything that is wrong */
export function assertCacheBustingOptions(cache: unknown, options: unknown): void {
  const faults = [...cacheFaults(cache, ['delete', 'invalidateTags']), ...optionFaults(options, CACHE_BUSTING_CHECKS)]
  const { keys, tags } = Object(options) as CacheBustingOptions
  if (listOf(keys ?? []).length + listOf(tags ?? []).length === 0) {
    faults.push({ path: 'keys', expected: 'at least one of keys and tags', got: 'neither' })
  }
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'options of cacheBusting')
}

/** What is no array becomes one even if it is no string: whoever asked for names then refuses it by name. */
export function listOf<T>(names: T | readonly T[]): readonly T[] {
  return Array.isArray(names) ? (names as readonly T[]) : [names as T]
}

/** A stand-in for a cache has the methods that are called. */
function cacheFaults(cache: unknown, methods: readonly string[]): ConfigurationFault[] {
  const isThere = methods.every((method) => typeof (Object(cache) as Record<string, unknown>)[method] === 'function')
  return isThere ? [] : [noCache(cache)]
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.isWellFormed()
}
