/**
 * Routes that ask to be cached while no `setupCache` sees them: they would silently not be.
 *
 * Fastify tells of each new application on a diagnostics channel, before it has routes, so even those registered before
 * `setupCache` are seen. What nobody has claimed when the application starts is refused.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { CacheConfigurationError } from '../../exceptions.ts'
import { nameOf } from './route-options.ts'

interface Application {
  hasCache: boolean
  readonly routes: Set<RouteOptions>
}

/** By server, because an application and its encapsulated parts share one. */
const applications = new WeakMap<object, Application>()
const claimed = new WeakSet<RouteOptions>()

subscribe('fastify.initialization', (message) => {
  const { fastify } = message as { fastify: FastifyInstance }
  const application: Application = { hasCache: false, routes: new Set() }
  applications.set(fastify.server, application)
  fastify.addHook('onRoute', (route) => {
    if (isOurs(route) || isPlain(route)) application.routes.add(route)
  })
  fastify.addHook('onReady', async () => {
    refuseUnclaimed(application)
  })
})

/** Says that the routes of this application may be claimed. */
export function announceCache(app: FastifyInstance): void {
  const application = applications.get(app.server)
  if (application !== undefined) application.hasCache = true
}

/** Says that a route is taken care of; false if it already was. */
export function claim(route: RouteOptions): boolean {
  if (claimed.has(route)) return false
  claimed.add(route)
  return true
}

function refuseUnclaimed({ hasCache, routes }: Application): void {
  // `config.cache` may be another plugin's word, unless this application has our cache.
  const forgotten = [...routes].filter((route) => !claimed.has(route) && (isOurs(route) || hasCache))
  routes.clear()
  if (forgotten.length === 0) return
  const expected = 'setupCache(app) with the same cache, before the route is registered'
  const got = hasCache ? 'a route from before it, or with another cache' : 'no setupCache'
  throw new CacheConfigurationError(
    forgotten.map((route) => ({ path: nameOf(route), expected, got })),
    'cached routes',
  )
}

function isOurs(route: RouteOptions): boolean {
  return route.cache !== undefined || route.cacheBusting !== undefined || route.rateLimit !== undefined
}

function isPlain({ config }: RouteOptions): boolean {
  return config?.cache !== undefined || config?.cacheBusting !== undefined
}
