/** What a route says about caching, and the check of it when the route is registered. */
import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  FastifySchema,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteGenericInterface,
} from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { FUNCTION_OPTIONS } from '../../cached-options.ts'
import { DURATION_FORMAT, parseDuration, toMs, type Duration } from '../../duration.ts'
import { CacheConfigurationError, describe, type ConfigurationFault } from '../../exceptions.ts'
import {
  DEFAULT_MAX_BODY_BYTES,
  DEFAULT_STATUSES,
  mayStatusBeStored,
  type RoutePolicy,
} from '../../http/route-policy.ts'
import { BOOLEAN, optionFaults, unknownOption, type Check } from '../../option-checks.ts'
import { windowsOf, type TtlLimits } from '../../options.ts'
import { declaredQuery, patternOf } from './route-schema.ts'

/** Any Fastify application, over HTTP/1 or HTTP/2, whatever its logger and its type provider: what all of them have. */
export type FastifyApplication = Pick<FastifyInstance, 'version' | 'prefix' | 'hasDecorator' | 'printRoutes'>

/** What a request is made of, where nobody says it more exactly with `cached<Route>`. */
export interface RouteParts {
  Params: Record<string, string>
  Querystring: Record<string, unknown>
  Body: Record<string, unknown>
}

/** A request as the functions among the options see it. */
export type RouteRequest = FastifyRequest<RouteParts>

/** A function of the request; taken from a method, so that one written for a more exact request type fits as well. */
export type OfRequest<Result, Request = RouteRequest> = { of(request: Request): Result }['of']

/** One name, or several. */
export type OneOrMore = string | readonly string[]

/** How the responses of a route are cached. `Names` is what a list may be written as: one name may stand alone. */
export interface CacheRouteOptions<Request = RouteRequest, Names = readonly string[]> {
  /**
   * How long a response is fresh; the response itself may ask for less (`Cache-Control`, `Expires`). To be given, except
   * with `policy: 'rfc9111'`.
   */
  ttl?: Duration | undefined
  /**
   * `'route'`: these options decide how long a response is fresh, its headers may shorten it. `'rfc9111'`: its headers
   * alone decide, as in a reverse proxy; what it varies by is learnt from its Vary. Default: `'route'`.
   */
  policy?: 'route' | 'rfc9111' | undefined
  /** How long after its ttl it is still served, while one refresh runs behind. Default: not at all. No effect with `user`. */
  swr?: Duration | undefined
  /** How long after that it may stand in for a handler that throws, answers 5xx or is late (`softTimeout`). Default: not at all. */
  grace?: Duration | undefined
  /**
   * If the handler takes longer and something is in its `grace`, that is the answer; the handler goes on behind, with
   * nothing of the caller's but the headers in `vary`, and its answer is stored. Default: none. No effect with `user`.
   *
   * @example
   * cached(cache, { ttl: 60, grace: 3600, softTimeout: '2s' })
   */
  softTimeout?: Duration | undefined
  /** The namespace of its entries. Default: that of the cache. */
  namespace?: string | undefined
  /**
   * The name that `cacheBusting({ keys })` and `cache.delete(name, { namespace })` reach. A function of the request stands
   * for path and query; a request of which it makes no name is answered without the cache. A fixed string is one name for
   * all that the route answers. Default: the path.
   */
  key?: string | OfRequest<string | undefined, Request> | undefined
  /** Tags by which `cache.invalidateTags` reaches the response. Default: none. */
  tags?: Names | OfRequest<Names, Request> | undefined
  /** Request headers that tell responses apart. Default: none. */
  vary?: Names | undefined
  /**
   * Query parameters that tell responses apart. Default: those that the route's schema declares, if it has
   * `additionalProperties: false`; else all.
   */
  query?: Names | undefined
  /** Whose response it is: users never see each other's. Default: everybody's, and no request with `Authorization`. */
  user?: OfRequest<string | undefined, Request> | undefined
  /**
   * `'shared'`: the answer does not depend on who asks, so requests with `Authorization` share it, without a `public` in
   * each response. Who may ask at all is up to the hooks before. Default: such requests pass by the cache.
   */
  auth?: 'shared' | undefined
  /**
   * Hosts that are answered from the cache, with a port or for all ports; requests for others pass by. Default: all, each
   * with its own entries.
   *
   * @example
   * cached(cache, { ttl: 60, hosts: ['www.example.com'] })
   */
  hosts?: readonly string[] | undefined
  /**
   * The handler may read only those header fields, cookies and query parameters that are in the key: with any other its
   * response is not stored, and in the environment `development` the read throws. Default: false.
   */
  strict?: boolean | undefined
  /**
   * Methods that are answered from the cache. `QUERY` (RFC 10008) has its body in the key; older versions of
   * Fastify learn of it by `app.addHttpMethod('QUERY', { hasBody: true })`. Default: GET and HEAD.
   */
  methods?: readonly ('GET' | 'HEAD' | 'QUERY')[] | undefined
  /** Statuses that are stored; never 206, 304, 428, 429, 431 or 5xx. Default: 200 203 204 301 308 404 410. */
  statuses?: readonly number[] | undefined
  /** Larger bodies are not stored, in bytes. Default: 1 MiB. */
  maxBodyBytes?: number | undefined
  /** CDN-Cache-Control counts in the place of Cache-Control, too (RFC 9213). Default: false. */
  cdnCacheControl?: boolean | undefined
  /** Who may have an entry refreshed by `Cache-Control: no-cache`, at most once a second. Default: nobody. */
  allowRefresh?: OfRequest<boolean, Request> | undefined
}

/** What a route that changes data makes out of date, once its handler has succeeded. At least one of `keys` and `tags`. */
export interface CacheBustingRouteOptions<Request = RouteRequest> {
  /** Names given by `key`, or keys of the manager. */
  keys?: OneOrMore | OfRequest<OneOrMore, Request> | undefined
  tags?: OneOrMore | OfRequest<OneOrMore, Request> | undefined
  /** The namespace of `keys`. Default: that of the cache. Tags belong to no namespace. */
  namespace?: string | undefined
}

/** Options together with the cache they were given to. */
export interface CacheSpec<Options> {
  readonly cache: CacheManager
  readonly options: Options
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The cache that `setupCache` put in place. */
    cache: CacheManager
  }

  interface FastifyContextConfig {
    /** The same as `cached(cache, options)`, as plain route config. */
    cache?: CacheRouteOptions<RouteRequest, OneOrMore>
    /** The same as `cacheBusting(cache, options)`, as plain route config. */
    cacheBusting?: CacheBustingRouteOptions
  }

  // TypeScript merges interfaces only if their type parameters are the same to the letter.
  interface RouteShorthandOptions<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
    ContextConfig = ContextConfigDefault,
    SchemaCompiler extends FastifySchema = FastifySchema,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
  > {
    /** Made by `cached()`. */
    cache?: CacheSpec<CacheRouteOptions<RouteRequest, OneOrMore>>
    /** Made by `cacheBusting()`. */
    cacheBusting?: CacheSpec<CacheBustingRouteOptions>
  }
}

/** True for what can be a key or a tag. */
export const isName = (value: unknown): boolean => typeof value === 'string' && value !== '' && value.isWellFormed()
const isFunction = (value: unknown): boolean => typeof value === 'function'
const isHeaderName = (value: unknown): boolean => typeof value === 'string' && /^[\w!#$%&'+.^`|~-]+$/.test(value)
const isHost = (value: unknown): boolean =>
  typeof value === 'string' && /^(?:[\w.-]+|\[[\da-f.:]+\])(?::\d{1,5})?$/i.test(value)
const isListOf = (accepts: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.every(accepts)

const DURATION: Check = { expected: DURATION_FORMAT, accepts: (value) => parseDuration(value) !== undefined }
const NAMESPACE: Check = { expected: 'a string', accepts: (value) => value === '' || isName(value) }
const NAMES: Check = {
  expected: 'a non-empty string, an array of them, or a function of the request',
  accepts: (value) => isName(value) || isListOf(isName)(value) || isFunction(value),
}
const FUNCTION: Check = { expected: 'a function of the request', accepts: isFunction }
const isStatus = (value: unknown): boolean => Number.isInteger(value) && mayStatusBeStored(Number(value))

const CACHE_CHECKS: Readonly<Record<keyof CacheRouteOptions, Check>> = {
  ttl: { expected: `${DURATION_FORMAT}, above zero`, accepts: (value) => (parseDuration(value) ?? 0) > 0 },
  swr: DURATION,
  grace: DURATION,
  softTimeout: DURATION,
  namespace: NAMESPACE,
  key: {
    expected: 'a non-empty string or a function of the request',
    accepts: (value) => isName(value) || isFunction(value),
  },
  tags: NAMES,
  vary: { expected: 'a header name, or an array of them', accepts: isListOf(isHeaderName) },
  query: { expected: 'the name of a parameter, or an array of them', accepts: isListOf(isName) },
  user: FUNCTION,
  auth: { expected: "'shared'", accepts: (value) => value === 'shared' },
  hosts: {
    expected: 'an array of hosts, at least one',
    accepts: (value) => isListOf(isHost)(value) && String(value) !== '',
  },
  methods: {
    expected: "an array of 'GET', 'HEAD' and 'QUERY'",
    accepts: isListOf((it) => it === 'GET' || it === 'HEAD' || it === 'QUERY'),
  },
  statuses: {
    expected: 'an array of statuses from 200 to 499, without 206, 304, 428, 429 and 431',
    accepts: isListOf(isStatus),
  },
  maxBodyBytes: { expected: 'a whole number above zero', accepts: (it) => Number.isSafeInteger(it) && Number(it) > 0 },
  policy: { expected: "'route' or 'rfc9111'", accepts: (value) => value === 'route' || value === 'rfc9111' },
  cdnCacheControl: BOOLEAN,
  allowRefresh: FUNCTION,
  strict: BOOLEAN,
}

const BUSTING_CHECKS: Readonly<Record<keyof CacheBustingRouteOptions, Check>> = {
  keys: NAMES,
  tags: NAMES,
  namespace: NAMESPACE,
}

/** Lists as lists; what is none, and no string either, is left for the check to refuse. */
export function withLists({
  cache,
  options,
}: CacheSpec<CacheRouteOptions<RouteRequest, OneOrMore>>): CacheSpec<CacheRouteOptions> {
  const lists = Object.entries(Object(options) as object).filter(
    ([name, value]) => ['tags', 'vary', 'query'].includes(name) && typeof value === 'string',
  )
  if (lists.length === 0) return { cache, options: options as CacheRouteOptions }
  const asLists = Object.fromEntries(lists.map(([name, value]) => [name, [value]]))
  return { cache, options: { ...options, ...asLists } as CacheRouteOptions }
}

/** Faults that tell of the other `cached`, which wraps functions: no options, or some that only it has. */
export function mixUps(options: unknown): ConfigurationFault[] {
  if (options === undefined) {
    const expected = `an object with the options of a route (functions are wrapped by cached of 'tidemark')`
    return [{ path: 'options', expected, got: 'undefined' }]
  }
  const names = Object.keys(CACHE_CHECKS)
  return Object.keys(Object(options) as object)
    .filter((name) => FUNCTION_OPTIONS.names.includes(name) && !names.includes(name))
    .map((name) => unknownOption(name, names, FUNCTION_OPTIONS))
}

/** True for the HEAD route that Fastify adds to a GET route of which HEAD is not to be cached. */
export function isUncachedHead(route: Route, options: Pick<CacheRouteOptions, 'methods'>): boolean {
  const { methods } = Object(options) as typeof options
  if (!Array.isArray(methods) || methods.length === 0) return false
  return [route.method].flat().every((method) => method === 'HEAD') && !methods.includes('HEAD')
}

/** What the rules need to know of a route. @throws {CacheConfigurationError} that names the route and every fault */
export function routePolicy(
  route: Route,
  { cache, options }: CacheSpec<CacheRouteOptions>,
  limits: TtlLimits,
): RoutePolicy {
  const faults = optionFaults(options, CACHE_CHECKS, FUNCTION_OPTIONS)
  if (typeof options === 'object' && options !== null) faults.push(...ttlFaults(options))
  refuse(faults, 'cache options', route)
  const methods: ReadonlySet<string> = new Set(options.methods ?? ['GET', 'HEAD'])
  // Fastify gives each GET route a HEAD route of its own.
  if (![route.method].flat().some((method) => methods.has(method === 'HEAD' ? 'GET' : method) || methods.has(method))) {
    const fault = { path: 'methods', expected: `a route that answers ${[...methods].join(' or ')}`, got: nameOf(route) }
    refuse([fault], 'cache options', route)
  }
  const kind = options.policy ?? 'route'
  return {
    kind,
    pattern: patternOf(route),
    namespace: options.namespace ?? cache.ownNamespace,
    windows: windowsOf(kind === 'route' ? options : { ...options, ttl: limits.maxTtlMs / 1000 }, limits),
    softTimeoutMs: options.softTimeout === undefined ? undefined : toMs(options.softTimeout, 'softTimeout'),
    isNameComplete: typeof options.key === 'function',
    query: options.query ?? declaredQuery(route.schema),
    vary: (options.vary ?? []).map((name) => name.toLowerCase()),
    hasUser: options.user !== undefined,
    isAuthShared: options.auth === 'shared',
    hosts: options.hosts?.map((host) => host.toLowerCase()),
    methods,
    statuses: statusesOf(options, kind),
    maxBodyBytes: options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
    heedsCdn: options.cdnCacheControl === true,
  }
}

/** By 'rfc9111' any status may say how long it is fresh (RFC 9111 §3). */
function statusesOf({ statuses }: CacheRouteOptions, kind: RoutePolicy['kind']): RoutePolicy['statuses'] {
  if (statuses === undefined && kind === 'rfc9111') return undefined
  return new Set(statuses ?? DEFAULT_STATUSES)
}

/** A ttl says how long by 'route', and nothing by 'rfc9111'; `vary` is learnt then, and a response may say its grace. */
function ttlFaults({ policy, ttl, vary, grace, softTimeout }: Partial<CacheRouteOptions>): ConfigurationFault[] {
  if (policy !== 'rfc9111') {
    const faults: ConfigurationFault[] = []
    if (ttl === undefined) faults.push({ path: 'ttl', expected: CACHE_CHECKS.ttl.expected, got: 'undefined' })
    if (softTimeout !== undefined && grace === undefined)
      faults.push({ path: 'softTimeout', expected: 'nothing without grace', got: describe(softTimeout) })
    return faults
  }
  const unused = { ttl, vary }
  return Object.entries(unused).flatMap(([path, value]) =>
    value === undefined ? [] : [{ path, expected: "nothing, with policy: 'rfc9111'", got: describe(value) }],
  )
}

/** @throws {CacheConfigurationError} that names the route and every fault */
export function assertCacheBusting(route: Route, { options }: CacheSpec<CacheBustingRouteOptions>): void {
  const faults = optionFaults(options, BUSTING_CHECKS)
  if (faults.length === 0 && options.keys === undefined && options.tags === undefined) {
    faults.push({ path: 'keys', expected: 'keys or tags to invalidate', got: 'neither' })
  }
  refuse(faults, 'cacheBusting options', route)
}

/** The part of Fastify's route options that is looked at. */
export interface Route {
  readonly method: string | readonly string[]
  readonly url: string
  readonly schema?: FastifySchema | undefined
  readonly constraints?: Readonly<Record<string, unknown>> | undefined
}

/** A route as people know it: `GET /items/:id`. */
export function nameOf(route: Route): string {
  return `${[route.method].flat().join('|')} ${route.url}`
}

function refuse(faults: readonly ConfigurationFault[], subject: string, route: Route): void {
  if (faults.length > 0) throw new CacheConfigurationError(faults, `${subject} of ${nameOf(route)}`)
}
