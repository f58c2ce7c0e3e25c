/** `setupCache`: puts a cache in front of the routes that ask for it, and leaves all others as they are. */
import type { FastifyInstance, FastifyPluginCallback, RouteOptions } from 'fastify'
import { CacheManager } from '../../cache-manager.ts'
import type { ApplicationConfig } from '../../config/application-config.ts'
import { createCache } from '../../create-cache.ts'
import { bustingHook } from './busting.ts'
import { capturing, isRefreshing, lookingUp, prepareReplies } from './lookup.ts'
import { rateLimitHook } from './rate-limit.ts'
import { assertCacheBusting, type CacheBustingRouteOptions, type CacheRouteOptions, type CacheSpec } from './route-options.ts'
import { announceCache, claim } from './unclaimed.ts'

/**
 * Puts a cache in front of an application: its own, made from a configuration and closed with the application, or a
 * manager of yours, which is not. Routes registered after it may be `cached`, `cacheBusting` and `rateLimit`ed.
 *
 * @throws {CacheConfigurationError} that lists everything that is wrong with the configuration
 * @example
 * const cache = setupCache(app, { cache: { defaultTtl: '5m' } })
 */
export function setupCache(app: FastifyInstance, configOrManager?: ApplicationConfig | CacheManager): CacheManager {
  const isManager = configOrManager instanceof CacheManager
  const cache = isManager ? configOrManager : createCache(withLogger(app, configOrManager))
  app.decorate('cache', cache)
  prepareReplies(app)
  announceCache(app)
  app.addHook('onRoute', (route) => serve(app, cache, route))
  if (!isManager) app.addHook('onClose', () => cache.close())
  return cache
}

/** The options of `app.register(tidemark, ...)`: a configuration, or a manager of yours. */
export type CachePluginOptions = ApplicationConfig & { manager?: CacheManager }

/**
 * `setupCache` as a plugin; wait for it before you register routes.
 *
 * @example
 * await app.register(tidemark, { cache: { defaultTtl: '5m' } })
 * app.get('/items', cached(app.cache, { ttl: 600 }), async () => db.items())
 */
export const plugin: FastifyPluginCallback<CachePluginOptions> = (app, options, done) => {
  // Fastify's own options of `register` are among them.
  const { manager, prefix: _, logLevel: __, logSerializers: ___, ...config } = options as CachePluginOptions & OwnOptions
  setupCache(app, manager ?? config)
  done()
}

interface OwnOptions {
  prefix?: string
  logLevel?: string
  logSerializers?: unknown
}

// The cache belongs to the application that registers the plugin, not to a scope of its own.
Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'tidemark' })

function withLogger(app: FastifyInstance, config: ApplicationConfig | undefined): ApplicationConfig {
  return config?.logger === undefined ? { ...config, logger: app.log } : config
}

/** Gives a route the hooks it asks for. */
function serve(app: FastifyInstance, cache: CacheManager, route: RouteOptions): void {
  const cacheSpec = route.cache ?? specOf<CacheRouteOptions>(cache, route.config?.cache)
  const bustingSpec = route.cacheBusting ?? specOf<CacheBustingRouteOptions>(cache, route.config?.cacheBusting)
  const { rateLimit } = route
  const specs = [cacheSpec, bustingSpec, rateLimit].filter((spec) => spec !== undefined)
  if (specs.length === 0 || specs.some((spec) => spec.cache.parts !== cache.parts) || !claim(route)) return

  if (cacheSpec !== undefined) {
    // Last before the handler, so that whoever may not see the answer has been turned away.
    route.preHandler = [...listOf(route.preHandler), lookingUp(app, route, cacheSpec)]
    // First on the way out, so that what is stored is what the handler made.
    route.onSend = [capturing, ...listOf(route.onSend)]
  }
  if (bustingSpec !== undefined) {
    assertCacheBusting(route, bustingSpec)
    route.onSend = [bustingHook(bustingSpec), ...listOf(route.onSend)]
  }
  if (rateLimit !== undefined) {
    const { stage, hook } = rateLimitHook(rateLimit, route)
    // A refresh behind the caller's back is nobody's request.
    const exempting: typeof hook = async (request, reply) => (isRefreshing() ? undefined : hook(request, reply))
    route[stage] = [...listOf(route[stage]), exempting]
  }
}

function specOf<Options>(cache: CacheManager, options: Options | undefined): CacheSpec<Options> | undefined {
  return options === undefined ? undefined : { cache, options }
}

function listOf<Hook>(hooks: Hook | Hook[] | undefined): Hook[] {
  return hooks === undefined ? [] : [hooks].flat() as Hook[]
}
