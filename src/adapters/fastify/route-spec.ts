/** `cached` and `cacheBusting` for routes: options that stand where a decorator would, under a key of their own. */
import type { CacheManager } from '../../cache-manager.ts'
import type { FastifyRequest, RouteGenericInterface, RouteOptions } from 'fastify'
import { isCachedFunction } from '../../cached.ts'
import { decoratorLabel } from '../../decorator.ts'
import { CacheConfigurationError, describe, type ConfigurationFault } from '../../exceptions.ts'
import { assertCache, isCache } from '../../option-checks.ts'
import {
  mixUps,
  nameOf,
  type CacheBustingRouteOptions,
  type CacheRouteOptions,
  type CacheSpec,
  type OneOrMore,
  type RouteParts,
  type RouteRequest,
} from './route-options.ts'

/**
 * Caches the responses of a route. The options are checked when the route is registered.
 *
 * @typeParam Route what the route's requests are made of, as in `app.get<Route>`. Default: params that are strings
 * @throws {CacheConfigurationError} at once, without a cache, and for options of the `cached` that wraps functions
 * @example
 * app.get('/items', cached(cache, { ttl: '10m', namespace: 'items', key: 'items_list' }), async () => db.items())
 */
export function cached<Route extends RouteGenericInterface = RouteParts>(
  cache: CacheManager,
  options: CacheRouteOptions<FastifyRequest<Route>, OneOrMore>,
): { cache: CacheSpec<CacheRouteOptions<RouteRequest, OneOrMore>> } {
  assertCache(cache, 'options of cached')
  const faults = mixUps(options)
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'options of cached')
  return { cache: { cache, options: options as CacheRouteOptions<RouteRequest, OneOrMore> } }
}

/**
 * Invalidates what a route makes out of date: after its handler has succeeded, before its answer is sent.
 *
 * @throws {CacheConfigurationError} at once, without a cache
 * @example
 * app.post('/items', cacheBusting(cache, { keys: ['items_list'], namespace: 'items' }), async (request) => db.add(request.body))
 */
export function cacheBusting<Route extends RouteGenericInterface = RouteParts>(
  cache: CacheManager,
  options: CacheBustingRouteOptions<FastifyRequest<Route>>,
): { cacheBusting: CacheSpec<CacheBustingRouteOptions> } {
  assertCache(cache, 'options of cacheBusting')
  return { cacheBusting: { cache, options: options as CacheBustingRouteOptions } }
}

const MAKERS = { cache: 'cached', cacheBusting: 'cacheBusting', rateLimit: 'rateLimit' } as const

/**
 * Options that stand in the place of what is made of them, and what is made of them in other places.
 *
 * @throws {CacheConfigurationError} that says what belongs there
 */
export function assertMade(route: RouteOptions): void {
  const faults = [...takenForFunctions(route), ...takenForConfig(route)]
  for (const [path, maker] of Object.entries(MAKERS)) {
    const spec: unknown = route[path as keyof typeof MAKERS]
    if (spec === undefined || isMade(spec) || decoratorLabel(spec) !== undefined) continue
    faults.push({
      path,
      expected: `to be made by ${maker}(): { ...${maker}(cache, …), schema }`,
      got: describe(spec),
    })
  }
  if (faults.length > 0) throw new CacheConfigurationError(faults, `options of ${nameOf(route)}`)
}

function isMade(spec: unknown): boolean {
  return isCache((Object(spec) as { cache?: unknown }).cache)
}

/** What wraps functions has the same names as what is for routes; taken for it, it would cache nothing, or fail each request. */
function takenForFunctions(route: RouteOptions): ConfigurationFault[] {
  const { cache, cacheBusting: busting } = Object(route.config) as Partial<Record<keyof typeof MAKERS, unknown>>
  const places = { ...route, 'config.cache': cache, 'config.cacheBusting': busting }
  const faults = Object.entries(places).flatMap(([path, value]) => {
    const label = [value].flat().map(decoratorLabel).find(Boolean)
    return label === undefined ? [] : [{ path, expected: ofRoutes(label), got: ofFunctions(label) }]
  })
  if (isCachedFunction(route.handler)) {
    // Of all who wait for one load only the first one's reply is the handler's, and what it sets of it is not kept.
    faults.push({
      path: 'handler',
      expected: `one that is not wrapped, and ${ofRoutes('cached')}`,
      got: `one wrapped by ${ofFunctions('cached')}`,
    })
  }
  return faults
}

function ofRoutes(label: string): string {
  return `${label} of 'tidemark/fastify' (app.get(url, ${label}(cache, …), handler))`
}

function ofFunctions(label: string): string {
  return `${label} of 'tidemark', which wraps functions`
}

/** Plain config has the options alone. */
function takenForConfig({ config }: RouteOptions): ConfigurationFault[] {
  return (['cache', 'cacheBusting'] as const).flatMap((name) => {
    const value: unknown = config?.[name]
    const inner: unknown = (Object(value) as Readonly<Record<string, unknown>>)[name]
    if (!isMade(value) && !isMade(inner)) return []
    const expected = `options alone, or { ...${MAKERS[name]}(cache, …) } beside config`
    return [{ path: `config.${name}`, expected, got: `what ${MAKERS[name]}() made` }]
  })
}
