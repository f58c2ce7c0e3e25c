/** `rateLimit` for Fastify: a route option, and the hook that keeps it. */
import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyReply,
  FastifyRequest,
  // Under a name of its own: where @fastify/swagger adds to FastifySchema, that one hides it inside of `declare module`.
  FastifySchema as RouteSchema,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteGenericInterface,
  RouteOptions,
} from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import type { CacheParts } from '../../cache-parts.ts'
import {
  CacheConfigurationError,
  CacheKeyError,
  describe,
  describeError,
  RateLimitError,
  RedisReplyError,
  CacheException,
  type ConfigurationFault,
} from '../../exceptions.ts'
import { assertCache, optionFaults, type Check } from '../../option-checks.ts'
import {
  clientNetwork,
  parseRateLimit,
  RateLimiter,
  type RateLimitResult,
  type RateLimitWindow,
} from '../../rate-limit.ts'
import { nameOf, type OfRequest, type RouteRequest } from './route-options.ts'

export interface RateLimitOptions {
  /**
   * Who is counted. Default: the client's address, `request.ip`, which honours Fastify's `trustProxy`; of an IPv6
   * address its /64 network. So is who has no key: the function fails, or returns anything but a non-empty string.
   *
   * @example
   * rateLimit(cache, '1000/day', { key: (request) => String(request.headers['x-api-key']) })
   */
  key?: OfRequest<string | undefined> | undefined
  /** Requests for which this is true are neither counted nor refused. Default: none. */
  skip?: OfRequest<boolean> | undefined
  /**
   * `'hits'`: every request counts, before anything else is done for it. `'misses'`: those that are answered from the
   * cache are free; the limit then stands behind the cache, and behind authentication and validation. Default: `'hits'`.
   */
  count?: 'hits' | 'misses' | undefined
  /** Routes with the same name and the same limit share one count. Default: each route counts for itself. */
  name?: string | undefined
}

/** A limit as it stands on a route. */
export interface RateLimitSpec extends Readonly<RateLimitOptions> {
  readonly cache: CacheManager
  readonly windows: readonly RateLimitWindow[]
}

/** The hook that keeps a limit, and where it belongs: `preHandler` has to stand behind the cache's lookup. */
export interface RateLimitHook {
  readonly stage: 'onRequest' | 'preHandler'
  readonly hook: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
  /** For `onReady`: waits for the first answer of Redis, a second at most, so that no request has to. */
  readonly ready: () => Promise<void>
}

type Route = Pick<RouteOptions, 'method' | 'url'>

declare module 'fastify' {
  // TypeScript merges interfaces only if their type parameters are the same to the letter.
  interface RouteShorthandOptions<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
    ContextConfig = ContextConfigDefault,
    SchemaCompiler extends RouteSchema = RouteSchema,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
  > {
    /** Made by `rateLimit()`. */
    rateLimit?: RateLimitSpec
  }
}

const OPTIONS: Readonly<Record<keyof RateLimitOptions, Check>> = {
  key: { expected: 'a function of the request', accepts: (value) => typeof value === 'function' },
  skip: { expected: 'a function of the request', accepts: (value) => typeof value === 'function' },
  count: { expected: "'hits' or 'misses'", accepts: (value) => value === 'hits' || value === 'misses' },
  name: { expected: 'a non-empty string', accepts: (value) => typeof value === 'string' && value !== '' },
}

/**
 * A limit for a route, as route options under a key of its own: how often one client may ask.
 *
 * It counts in the cache's Redis, so all processes together grant `limit` once; without Redis, and while Redis fails,
 * each process counts for itself. A request too many is answered 429 with `Retry-After`; every answer carries
 * `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.
 *
 * @param limit `'100/minute'`, `'5 per 10 seconds'`, `'10/second; 500/hour'`
 * @throws {CacheConfigurationError} if the limit or an option cannot be read, and without a cache
 * @example
 * app.get('/items', { ...rateLimit(cache, '100/minute'), ...cached(cache, { ttl: 60 }) }, handler)
 */
export function rateLimit(
  cache: CacheManager,
  limit: string,
  options: RateLimitOptions = {},
): { rateLimit: RateLimitSpec } {
  assertCache(cache, 'rate limit')
  const faults = optionFaults(options, OPTIONS)
  const windows = windowsOf(limit, faults)
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'rate limit')
  return { rateLimit: { ...options, cache, windows } }
}

function windowsOf(limit: string, faults: ConfigurationFault[]): readonly RateLimitWindow[] {
  try {
    return parseRateLimit(limit)
  } catch (error) {
    if (!(error instanceof CacheConfigurationError)) throw error
    faults.unshift(...error.faults)
    return []
  }
}

/** The hook for one route, to be given to Fastify by the `onRoute` hook of `setupCache`. */
export function rateLimitHook(spec: RateLimitSpec, route: Route): RateLimitHook {
  const limiter = limiterOf(spec, route)
  const { count, cache } = spec
  const { keyOf, isSkipped } = askers(spec, nameOf(route))
  const hook = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const seen = request as RouteRequest
    if (isSkipped(seen)) return
    const result = await limiter.consume(keyOf(seen))
    setHeaders(reply, result, cache.parts.clock.now())
    if (!result.allowed) refuse(reply, result)
  }
  return { stage: count === 'misses' ? 'preHandler' : 'onRequest', hook, ready: () => limiter.ready() }
}

interface Askers {
  readonly keyOf: (request: RouteRequest) => string
  readonly isSkipped: (request: RouteRequest) => boolean
}

/**
 * The functions among the options, which fail no request, and open no way around the limit: who has no key is counted by
 * the address, and who may perhaps be skipped is not.
 */
function askers({ cache, key, skip }: RateLimitSpec, route: string): Askers {
  const report = (error: CacheKeyError): void => cache.parts.telemetry.report(error, { route })
  const ask = (name: 'key' | 'skip', asked: OfRequest<unknown>, request: RouteRequest): unknown => {
    try {
      return asked(request)
    } catch (cause) {
      report(new CacheKeyError(`rateLimit ${name} of ${route} failed: ${describeError(cause)}`, { cause }))
      return FAILED
    }
  }
  const keyOf = (request: RouteRequest): string => {
    if (key === undefined) return addressOf(request)
    const name = ask('key', key, request)
    if (typeof name === 'string' && name !== '') return name
    const got = describe(name)
    if (name !== FAILED) {
      report(
        new CacheKeyError(`rateLimit key of ${route}: expected a non-empty string, got ${got}; the address counts`),
      )
    }
    return addressOf(request)
  }
  return { keyOf, isSkipped: (request) => skip !== undefined && ask('skip', skip, request) === true }
}

/** In the place of what a function that failed would have returned. */
const FAILED = Symbol('failed')

const limiters = new WeakMap<CacheParts, Map<string, RateLimiter>>()

/** Routes that share a name, and a route with the HEAD route that Fastify makes of it, share a limiter. */
function limiterOf({ cache: { parts }, name, windows }: RateLimitSpec, route: Route): RateLimiter {
  const ofCache = limiters.get(parts) ?? new Map<string, RateLimiter>()
  limiters.set(parts, ofCache)
  const keyPrefix = `${parts.keyPrefix}rl:${name ?? routeName(route)}`
  const id = JSON.stringify([keyPrefix, windows])
  const { connection, clock } = parts
  const onOutage = (error: Error): void => reportOutage(parts, error, routeName(route))
  const limiter = ofCache.get(id) ?? new RateLimiter(windows, { connection, keyPrefix, clock, onOutage })
  ofCache.set(id, limiter)
  return limiter
}

/** No `RedisConnectionError`, whatever the cause: such a one is not logged beside the outage that it belongs to. */
function reportOutage({ telemetry }: CacheParts, cause: Error, route: string): void {
  const message = `rate limits are counted in memory until Redis serves them again: ${cause.message} (first at ${route})`
  const error =
    cause instanceof RedisReplyError
      ? new RedisReplyError(message, cause.replyCode, { cause })
      : new CacheException(message, { cause })
  telemetry.report(error, { route })
}

function routeName({ method, url }: Route): string {
  const methods = [method].flat()
  return `${methods.length === 1 && methods[0] === 'HEAD' ? 'GET' : methods.join('|')} ${url}`
}

function addressOf(request: FastifyRequest): string {
  // On a unix socket there is no address, unless a proxy that is trusted tells one.
  return clientNetwork(request.ip ?? 'local')
}

function setHeaders(reply: FastifyReply, { limit, remaining, resetMs }: RateLimitResult, now: number): void {
  reply.header('x-ratelimit-limit', limit)
  reply.header('x-ratelimit-remaining', remaining)
  reply.header('x-ratelimit-reset', Math.ceil((now + resetMs) / 1000))
}

function refuse(reply: FastifyReply, { retryAfterMs }: RateLimitResult): never {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  reply.header('retry-after', seconds)
  throw new RateLimitError(`rate limit exceeded, retry in ${seconds} s`, retryAfterMs)
}
