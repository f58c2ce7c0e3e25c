/** `cached` and `cacheBusting` for routes: options that stand where a decorator would, under a key of their own. */
import type { CacheManager } from '../../cache-manager.ts'
import type { CacheBustingRouteOptions, CacheRouteOptions, CacheSpec, RouteRequest } from './route-options.ts'

/**
 * Caches the responses of a route. The options are checked when the route is registered.
 *
 * @example
 * app.get('/items', cached(cache, { ttl: '10m', namespace: 'items', key: 'items_list' }), async () => db.items())
 */
export function cached<Request = RouteRequest>(
  cache: CacheManager,
  options: CacheRouteOptions<Request>,
): { cache: CacheSpec<CacheRouteOptions> } {
  return { cache: { cache, options: options as CacheRouteOptions } }
}

/**
 * Invalidates what a route makes out of date: after its handler has succeeded, before its answer is sent.
 *
 * @example
 * app.post('/items', cacheBusting(cache, { keys: ['items_list'], namespace: 'items' }), async (request) => db.add(request.body))
 */
export function cacheBusting<Request = RouteRequest>(
  cache: CacheManager,
  options: CacheBustingRouteOptions<Request>,
): { cacheBusting: CacheSpec<CacheBustingRouteOptions> } {
  return { cacheBusting: { cache, options: options as CacheBustingRouteOptions } }
}
