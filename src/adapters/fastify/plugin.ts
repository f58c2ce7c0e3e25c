/** `setupCache`: puts a cache in front of the routes that ask for it, and leaves all others as they are. */
import type { FastifyInstance, FastifyPluginAsync, RouteOptions } from 'fastify'
import { CacheManager } from '../../cache-manager.ts'
import type { ApplicationConfig } from '../../config/application-config.ts'
import { withLogger } from '../../config/load-config.ts'
import { createCache } from '../../create-cache.ts'
import { CacheConfigurationError, describe } from '../../exceptions.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'
import { optionFaults, type Check } from '../../option-checks.ts'
import { holdEntries, releaseEntries } from './applications.ts'
import { bustingHooks } from './busting.ts'
import { invalidateBeside, noteCached } from './invalidating.ts'
import { capturing, giveUpLead, leadOf, lookingUp, prepareMessages, sealing } from './lookup.ts'
import { narrowing } from './narrowing.ts'
import { listOf, pin } from './pinned-hooks.ts'
import { rateLimitHook, type RateLimitHook } from './rate-limit.ts'
import { isRefreshing } from './refresh.ts'
import { bypassing, withCheckedFunctions } from './route-functions.ts'
import {
  assertCacheBusting,
  isName,
  isUncachedHead,
  routePolicy,
  withLists,
  type CacheBustingRouteOptions,
  type CacheSpec,
  type FastifyApplication,
} from './route-options.ts'
import { assertMade } from './route-spec.ts'
import { announceCache, claim } from './unclaimed.ts'

/**
 * Puts a cache in front of an application: its own, made from a configuration and closed with the application, or a
 * manager of yours, which is not. A cache of its own logs to `app.log`, unless the configuration names a logger. Routes
 * registered after it may be `cached`, `cacheBusting` and `rateLimit`ed. With `redis.failFast` the application does not
 * become ready, and so does not listen, if Redis cannot be reached.
 *
 * @throws {CacheConfigurationError} that lists everything that is wrong with the configuration; for an application that
 * has a cache already
 * @example
 * const cache = setupCache(app, { cache: { defaultTtl: '5m' } })
 */
export function setupCache(
  application: FastifyApplication,
  configOrManager?: ApplicationConfig | CacheManager,
  options: CacheSetupOptions = {},
): CacheManager {
  const app = application as FastifyInstance
  const name = nameIn(options)
  refuseSecond(app)
  const isManager = configOrManager instanceof CacheManager
  const cache = isManager ? configOrManager : createCache(withLogger(configOrManager, app.log))
  app.decorate('cache', cache)
  prepareMessages(app)
  announceCache(app)
  app.addHook('onRoute', function serveRoute(route) {
    invalidateBeside(app.server, route)
    serve(this, { cache, name }, route)
  })
  app.addHook('onReady', () => cache.ready())
  app.addHook('onClose', async () => releaseEntries(cache, app.server))
  if (!isManager) app.addHook('onClose', () => cache.close())
  return cache
}

/** What is said of an application, not of its cache. */
export interface CacheSetupOptions {
  /**
   * Tells applications apart that are given the same manager: those of one name share their entries, those of different
   * names do not. Default: none, which one application of a process may have that answers a route's pattern.
   *
   * @example
   * setupCache(admin, cache, { name: 'admin' })
   */
  name?: string | undefined
}

/** The options of `app.register(tidemark, ...)`: a configuration, or a manager of yours. */
export type CachePluginOptions = ApplicationConfig & CacheSetupOptions & { manager?: CacheManager }

/**
 * `setupCache` as a plugin; wait for it before you register routes.
 *
 * @example
 * await app.register(tidemark, { cache: { defaultTtl: '5m' } })
 * app.get('/items', cached(app.cache, { ttl: 600 }), async () => db.items())
 */
// Async, because what a plugin of the other kind throws at once is nobody's to catch.
export const plugin: FastifyPluginAsync<CachePluginOptions> = async (app, options) => {
  // Fastify's own options of `register` are among them.
  const {
    manager,
    name,
    prefix: _,
    logLevel: __,
    logSerializers: ___,
    ...config
  } = options as CachePluginOptions & OwnOptions
  setupCache(app, manager ?? config, { name })
}

interface OwnOptions {
  prefix?: string
  logLevel?: string
  logSerializers?: unknown
}

// The cache belongs to the application that registers the plugin, not to a scope of its own.
Object.assign(plugin, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'tidemark' })

const SETUP_CHECKS: Readonly<Record<keyof CacheSetupOptions, Check>> = {
  name: { expected: 'a non-empty string', accepts: isName },
}

function nameIn(options: CacheSetupOptions): string | undefined {
  const faults = optionFaults(options, SETUP_CHECKS)
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'cache setup')
  return options.name
}

/** Before a cache is made, that nobody would close. A part of an application inherits `app.cache`, and may have its own. */
function refuseSecond(app: FastifyInstance): void {
  if (!Object.hasOwn(app, 'cache')) return
  const isOurs = (app.cache as unknown) instanceof CacheManager
  const expected = isOurs
    ? 'one setupCache for an application: use its app.cache, or set up another one in a part of it (app.register)'
    : 'to be free for setupCache: decorate the application with another name, or set up the cache in a part of it'
  const got = isOurs ? 'a second setupCache' : describe(app.cache)
  throw new CacheConfigurationError([{ path: 'app.cache', expected, got }], 'cache setup')
}

interface CacheOfApplication {
  readonly cache: CacheManager
  readonly name: string | undefined
}

/** Gives a route of `app`, or of a part of it, the hooks it asks for. */
function serve(app: FastifyInstance, { cache, name }: CacheOfApplication, route: RouteOptions): void {
  assertMade(route)
  // Plain config means the cache that is nearest.
  const config = app.cache.parts === cache.parts ? route.config : undefined
  const cacheSpec = route.cache ?? specOf(cache, config?.cache)
  const bustingSpec = route.cacheBusting ?? specOf<CacheBustingRouteOptions>(cache, config?.cacheBusting)
  const { rateLimit } = route
  const specs = [cacheSpec, bustingSpec, rateLimit].filter((spec) => spec !== undefined)
  if (specs.length === 0 || specs.some((spec) => spec.cache.parts !== cache.parts) || !claim(route)) return

  if (bustingSpec !== undefined) {
    assertCacheBusting(route, bustingSpec)
    const { preSerialization, onSend, onResponse } = bustingHooks(bustingSpec)
    route.preSerialization = [preSerialization, ...listOf(route.preSerialization)]
    route.onSend = [onSend, ...listOf(route.onSend)]
    route.onResponse = [...listOf(route.onResponse), onResponse]
  }
  const isCached = cacheSpec !== undefined && !isUncachedHead(route, cacheSpec.options)
  const behindLookup: RateLimitHook['hook'][] = []
  if (rateLimit !== undefined) {
    const { stage, hook, ready } = rateLimitHook(rateLimit, route)
    app.addHook('onReady', ready)
    const exempting: RateLimitHook['hook'] = async (request, reply) => {
      // A refresh behind the caller's back is nobody's request.
      if (isRefreshing(request)) return
      try {
        await hook(request, reply)
      } catch (error) {
        giveUpLead(reply)
        throw error
      }
    }
    if (stage === 'preHandler' && isCached) behindLookup.push(exempting)
    else route[stage] = [...listOf(route[stage]), exempting]
  }
  if (isCached) {
    const spec = withCheckedFunctions(route, withLists(cacheSpec))
    noteCached(app.server, route.url, spec)
    // Last before the handler, so that whoever may not see the answer has been turned away.
    const policy = ofApplication(name, routePolicy(route, spec, cache.parts))
    holdEntries({ app, cache, name }, policy)
    const lookup = bypassing(lookingUp({ app, route, spec, policy }), route, spec)
    const narrow = spec.options.strict === true ? [narrowing(route, { spec, policy, leadOf })] : []
    pin(route, 'preHandler', { last: [lookup, ...behindLookup, ...narrow] })
    // First on the way out, so that what is stored is what the handler made; last, to see what became of its head.
    pin(route, 'onSend', { first: [capturing], last: [sealing] })
  }
}

/** No pattern of a route looks like JSON. */
function ofApplication(name: string | undefined, policy: RoutePolicy): RoutePolicy {
  return name === undefined ? policy : { ...policy, pattern: JSON.stringify([name, policy.pattern]) }
}

function specOf<Options>(cache: CacheManager, options: Options | undefined): CacheSpec<Options> | undefined {
  return options === undefined ? undefined : { cache, options }
}
