/** `cached` and `cacheBusting` for routes: options that stand where a decorator would, under a key of their own. */
import type { CacheManager } from '../../cache-manager.ts'
import type { FastifyRequest, RouteGenericInterface, RouteOptions } from 'fastify'
import { CacheConfigurationError, describe } from '../../exceptions.ts'
import { assertCache, isCache } from '../../option-checks.ts'
import {
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
 * @throws {CacheConfigurationError} at once, without a cache
 * @example
 * app.get('/items', cached(cache, { ttl: '10m', namespace: 'items', key: 'items_list' }), async () => db.items())
 */
export function cached<Route extends RouteGenericInterface = RouteParts>(
  cache: CacheManager,
  options: CacheRouteOptions<FastifyRequest<Route>, OneOrMore>,
): { cache: CacheSpec<CacheRouteOptions<RouteRequest, OneOrMore>> } {
  assertCache(cache, 'options of cached')
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

/** Options that stand in the place of what is made of them. @throws {CacheConfigurationError} that says what belongs there */
export function assertMade(route: RouteOptions): void {
  const faults = Object.entries(MAKERS).flatMap(([path, maker]) => {
    const spec: unknown = route[path as keyof typeof MAKERS]
    if (spec === undefined || isCache((Object(spec) as { cache?: unknown }).cache)) return []
    return [{ path, expected: `to be made by ${maker}(): { ...${maker}(cache, …), schema }`, got: describe(spec) }]
  })
  if (faults.length > 0) throw new CacheConfigurationError(faults, `options of ${nameOf(route)}`)
}
