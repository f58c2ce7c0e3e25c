/** The errors tidemark throws: one class per kind of fault, each with a stable `code`. */

/** What every exception can say of the call it belongs to. */
export interface CacheExceptionOptions extends ErrorOptions {
  /** The key the caller used, without prefix. */
  key?: string | undefined
  namespace?: string | undefined
}

/**
 * The base of every error that tidemark throws; `instanceof CacheException` tells them from errors of your own code.
 *
 * A message names keys and settings, never a password and never a cached value.
 *
 * @example
 * try { await cache.get('user_1') } catch (error) { if (error instanceof CacheException) log.warn(error.code) }
 */
export class CacheException extends Error {
  /** Stable, for programs: `ERR_CACHE_...`. The message is for people and may change. */
  readonly code: string = 'ERR_CACHE'
  declare readonly key?: string
  declare readonly namespace?: string

  constructor(message: string, options: CacheExceptionOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = new.target.name
    if (options.key !== undefined) this.key = options.key
    if (options.namespace !== undefined) this.namespace = options.namespace
  }
}

/** One thing that is wrong in a configuration. */
export interface ConfigurationFault {
  /** Where: `redis.port`, `cache.defaultTtl`, or the environment variable it came from. */
  readonly path: string
  readonly expected: string
  /** What was found, shortened; `***` in place of a secret. */
  readonly got: string
}

/** The configuration was refused; `faults` lists everything that is wrong with it, not only the first. */
export class CacheConfigurationError extends CacheException {
  override readonly code = 'ERR_CACHE_CONFIGURATION'
  readonly faults: readonly ConfigurationFault[]

  constructor(faults: readonly ConfigurationFault[], subject = 'tidemark configuration') {
    super(`invalid ${subject}:\n${faults.map((f) => `  ${f.path}: expected ${f.expected}, got ${f.got}`).join('\n')}`)
    this.faults = faults
  }
}

/** Redis could not be reached, or did not answer within the deadline of one command (`redis.socketTimeout`). */
export class RedisConnectionError extends CacheException {
  override readonly code = 'ERR_CACHE_REDIS_CONNECTION'
}

/**
 * Redis is there and refused a command: it is full (`OOM`), may not write (`MISCONF`, `NOREPLICAS`), or does not permit
 * it to this user (`NOPERM`). Nothing was done.
 */
export class RedisReplyError extends CacheException {
  override readonly code = 'ERR_CACHE_REDIS_REPLY'
  /** The first word of Redis's answer. */
  readonly replyCode: string

  constructor(message: string, replyCode: string, options?: CacheExceptionOptions) {
    super(message, options)
    this.replyCode = replyCode
  }
}

/** A key, namespace or tag that cannot be used: empty, not a string, or not well-formed Unicode. */
export class CacheKeyError extends CacheException {
  override readonly code = 'ERR_CACHE_KEY'
}

/** A value that cannot be stored; the message names the path to the part that is to blame. */
export class CacheSerializationError extends CacheException {
  override readonly code = 'ERR_CACHE_SERIALIZATION'
}

/** Stored bytes that cannot be read back. Reads turn it into a miss and an `error` event. */
export class CacheDeserializationError extends CacheException {
  override readonly code = 'ERR_CACHE_DESERIALIZATION'
}

/** A value could not be compressed. */
export class CacheCompressionError extends CacheException {
  override readonly code = 'ERR_CACHE_COMPRESSION'
}

/** Stored bytes could not be decompressed, or were larger than they declared. */
export class CacheDecompressionError extends CacheException {
  override readonly code = 'ERR_CACHE_DECOMPRESSION'
}

/** A loader took longer than `hardTimeout`, and there was no stale value to answer with. */
export class LoadTimeoutError extends CacheException {
  override readonly code = 'ERR_CACHE_LOAD_TIMEOUT'
}

/** A rate limit was exceeded; `retryAfterMs` is the wait until the next hit is allowed. */
export class RateLimitError extends CacheException {
  override readonly code = 'ERR_CACHE_RATE_LIMIT'
  /** Read by Fastify and others when the error reaches their error handler. */
  readonly statusCode = 429
  readonly retryAfterMs: number

  constructor(message: string, retryAfterMs: number) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

/** Whom an exception concerns. */
export type Concern = Pick<CacheExceptionOptions, 'key' | 'namespace'>

/**
 * An exception that says whose call it belongs to. One command may serve many callers, who then share its failure: the
 * first of them is written into it, the others get copies.
 */
export function concerning(error: unknown, { key, namespace }: Concern): unknown {
  if (!(error instanceof CacheException)) return error
  if (error.key === undefined && error.namespace === undefined) {
    return Object.assign(error, key !== undefined && { key }, namespace !== undefined && { namespace })
  }
  const isTheirs = error.key === key && error.namespace === namespace
  if (isTheirs || !(error instanceof RedisConnectionError)) return error
  return new RedisConnectionError(error.message, { cause: error.cause, key, namespace })
}

/** A value of the caller's as an error message shows it: short, on one line. Not for values that may be secret. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`
  if (Array.isArray(value)) return describeList(value)
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'function') return 'a function'
  return String(value)
}

/** A short list of words and numbers is shown, so that it can be seen which of them is the wrong one. */
function describeList(list: readonly unknown[]): string {
  const isPlain = list.every((item) => typeof item === 'string' || typeof item === 'number')
  return isPlain && list.length > 0 && list.length <= 5 ? `[${list.map(describe).join(', ')}]` : 'an array'
}

/** What was thrown, on one line and short. */
export function describeError(thrown: unknown): string {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : describe(thrown)
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text).slice(1, -1)
}
