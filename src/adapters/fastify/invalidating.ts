/**
 * A successful request by an unsafe method makes what is stored of its path out of date, and of the places its answer
 * names (RFC 9111 §4.4), whichever route answers it.
 *
 * Only routes that share a path with a cached one get the hook, wherever it was registered: who they are is known when
 * the application is ready, which is when Fastify takes the hooks over.
 */
import type { FastifyReply, FastifyRequest, onSendHookHandler, RouteOptions } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { isUnsafe, mayMeet, namedPaths } from '../../http/invalidation.ts'
import { RequestView, statusOf } from './exchange.ts'
import { pin } from './pinned-hooks.ts'
import type { CacheRouteOptions, CacheSpec } from './route-options.ts'
import { ours } from './shielding.ts'
import { tellUndelivered } from './undelivered.ts'

/** By server, because an application and its encapsulated parts share one; then by URL. */
const cachedRoutes = new WeakMap<object, Map<string, CacheSpec<CacheRouteOptions>[]>>()

/** Says that this route's responses are cached. */
export function noteCached(server: object, url: string, spec: CacheSpec<CacheRouteOptions>): void {
  const routes = cachedRoutes.get(server) ?? new Map<string, CacheSpec<CacheRouteOptions>[]>()
  cachedRoutes.set(server, routes.set(url, [...(routes.get(url) ?? []), spec]))
}

/** Gives a route that answers unsafe methods the hook, if there turns out to be a cached one that shares a path with it. */
export function invalidateBeside(server: object, route: RouteOptions): void {
  if (![route.method].flat().some(isUnsafe)) return
  let cached: Cached | undefined
  const hook = invalidating(() => (cached ??= cachedBeside(server, route.url)))
  pin(route, 'onSend', {
    first: () => {
      const { beside, meeting } = cachedBeside(server, route.url)
      return beside.length + meeting.length > 0 ? [hook] : []
    },
  })
}

function invalidating(cached: () => Cached): onSendHookHandler {
  return ours(function invalidate(request, reply, ...[payload, done]) {
    if (!isUnsafe(request.method) || statusOf(reply, payload) >= 400) return done(null, payload)
    deliver(namesOf(request, reply, cached()), request).then(() => done(null, payload), done)
  })
}

function cachedBeside(server: object, url: string): Cached {
  const routes = [...(cachedRoutes.get(server) ?? [])]
  const all = routes.flatMap(([, specs]) => specs)
  const beside = routes.flatMap(([other, specs]) => (other === url ? specs : []))
  const meeting = routes.flatMap(([other, specs]) => (other !== url && mayMeet(url, other) ? specs : []))
  return { beside, meeting: meeting.filter(isNamedByPath), all: all.filter(isNamedByPath) }
}

/** Under names that a function makes of another route's parameters nothing can be looked up. */
function isNamedByPath({ options }: CacheSpec<CacheRouteOptions>): boolean {
  return options.key === undefined
}

/** What is to be deleted of one namespace of one cache. */
interface Outdated {
  readonly cache: CacheManager
  readonly namespace: string
  readonly names: readonly string[]
}

interface Cached {
  /** Of the same URL. */
  readonly beside: readonly CacheSpec<CacheRouteOptions>[]
  /** Of another pattern that may have the same path, and named by it. */
  readonly meeting: readonly CacheSpec<CacheRouteOptions>[]
  /** Of the whole application, and named by their paths. */
  readonly all: readonly CacheSpec<CacheRouteOptions>[]
}

function namesOf(request: FastifyRequest, reply: FastifyReply, { beside, meeting, all }: Cached): readonly Outdated[] {
  const found = new Map<string, Outdated>()
  const add = ({ cache, options }: CacheSpec<CacheRouteOptions>, names: readonly string[]): void => {
    const namespace = options.namespace ?? cache.ownNamespace
    const id = `${namespace}\0${cache.parts.keyPrefix}`
    const before = found.get(id)?.names ?? []
    found.set(id, { cache, namespace, names: [...new Set([...before, ...names])] })
  }
  for (const spec of beside) add(spec, [nameFor(request, spec)])
  const view = new RequestView(request, {})
  for (const spec of meeting) add(spec, [view.path])
  const places = namedPaths(view, [reply.getHeader('location'), reply.getHeader('content-location')])
  if (places.length > 0) for (const spec of all) add(spec, places)
  return [...found.values()]
}

/** The name that a GET of this request's target is stored under; its path, if the route's `key` cannot tell. */
function nameFor(request: FastifyRequest, { options }: CacheSpec<CacheRouteOptions>): string {
  const view = new RequestView(request, options)
  try {
    const { name } = view
    return typeof name === 'string' && name !== '' ? name : view.path
  } catch {
    return view.path
  }
}

async function deliver(outdated: readonly Outdated[], request: FastifyRequest): Promise<void> {
  for (const { cache, namespace, names } of outdated) {
    try {
      await cache.delete(names, { namespace })
    } catch (error) {
      // The write has happened all the same. It was reported, and is delivered when Redis is back.
      tellUndelivered(request, cache, { err: error, keys: names, namespace })
      if (cache.parts.isStrict) throw error
    }
  }
}
