/** The hook that invalidates what a route makes out of date. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheException, CacheKeyError } from '../../exceptions.ts'
import { statusOf } from './exchange.ts'
import type { CacheBustingRouteOptions, CacheSpec, OfRequest, RouteRequest } from './route-options.ts'

type Names = string | readonly string[] | OfRequest<string | readonly string[]> | undefined

/**
 * An onSend hook: the handler has succeeded, and nobody has its answer yet, so whoever gets it finds nothing outdated.
 *
 * When Redis is out of reach the write has happened all the same: the answer goes out, and the fault is reported;
 * with `onError: 'throw'` it takes the place of the answer.
 */
export function bustingHook({ cache, options }: CacheSpec<CacheBustingRouteOptions>) {
  return async (request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> => {
    if (statusOf(reply, payload) >= 400) return payload
    const { namespace } = options
    const keys = namesFor(options.keys, request)
    const tags = namesFor(options.tags, request)
    // Both are tried even if one fails: the less remains stale the better.
    const outcomes = await Promise.allSettled([cache.delete(keys, { namespace }), cache.invalidateTags(tags)])
    for (const outcome of outcomes) if (outcome.status === 'rejected') rethrow(outcome.reason, cache)
    return payload
  }
}

/** All but a fault of the store, which has been reported: a key or tag that is none is the author's to see. */
function rethrow(error: unknown, { parts }: CacheManager): void {
  if (parts.isStrict || !(error instanceof CacheException) || error instanceof CacheKeyError) throw error
}

function namesFor(names: Names, request: FastifyRequest): readonly string[] {
  const given = typeof names === 'function' ? names(request as RouteRequest) : names
  return [given ?? []].flat()
}
