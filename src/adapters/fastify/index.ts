/** tidemark for Fastify. */
export { setupCache, plugin as default } from './plugin.ts'
export type { CachePluginOptions, CacheSetupOptions } from './plugin.ts'
export { cached, cacheBusting } from './route-spec.ts'
export { rateLimit } from './rate-limit.ts'
export type { RateLimitOptions } from './rate-limit.ts'
export { addCacheRoutes } from './cache-routes.ts'
export type { CacheRoutesOptions } from './cache-routes.ts'
export { cacheTransform } from './cache-transform.ts'
export type { TransformedRoute } from './cache-transform.ts'
export { createCacheErrorHandler } from './error-handler.ts'
export type {
  CacheBustingRouteOptions,
  CacheRouteOptions,
  CacheSpec,
  FastifyApplication,
  OfRequest,
  OneOrMore,
  RouteRequest,
} from './route-options.ts'
export type { RequestCache } from './lookup.ts'
export type { PreviousResponse } from '../../http/validation.ts'
