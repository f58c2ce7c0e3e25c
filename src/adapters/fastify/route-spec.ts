/** `cached` and `cacheBusting` for routes: options that stand where a decorator would, under a key of their own. */
import type { CacheManager } from '../../cache-manager.ts'
import type { FastifyRequest, RouteGenericInterface } from 'fastify'
import type {
  CacheBustingRouteOptions,
  CacheRouteOptions,
  CacheSpec,
  OneOrMore,
  RouteParts,
  RouteRequest,
} from './route-options.ts'

/**
 * Caches the responses of a route. The options are checked when the route is registered.
 *
 * @typeParam Route what the route's requests are made of, as in `app.get<Route>`. Default: params that are strings
 * @example
 * app.get('/items', cached(cache, { ttl: '10m', namespace: 'items', key: 'items_list' }), async () => db.items())
 */
export function cached<Route extends RouteGenericInterface = RouteParts>(
  cache: CacheManager,
  options: CacheRouteOptions<FastifyRequest<Route>, OneOrMore>,
): { cache: CacheSpec<CacheRouteOptions<RouteRequest, OneOrMore>> } {
  return { cache: { cache, options: options as CacheRouteOptions<RouteRequest, OneOrMore> } }
}

/**
 * Invalidates what a route makes out of date: after its handler has succeeded, before its answer is sent.
 *
 * @example
 * app.post('/items', cacheBusting(cache, { keys: ['items_list'], namespace: 'items' }), async (request) => db.add(request.body))
 */
export function cacheBusting<Route extends RouteGenericInterface = RouteParts>(
  cache: CacheManager,
  options: CacheBustingRouteOptions<FastifyRequest<Route>>,
): { cacheBusting: CacheSpec<CacheBustingRouteOptions> } {
  return { cacheBusting: { cache, options: options as CacheBustingRouteOptions } }
}
