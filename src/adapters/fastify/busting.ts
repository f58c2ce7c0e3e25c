/** The hook that invalidates what a route makes out of date. */
import type { FastifyReply, FastifyRequest } from 'fastify'
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
    if (reply.statusCode >= 400) return payload
    const { namespace } = options
    try {
      const keys = namesFor(options.keys, request)
      const tags = namesFor(options.tags, request)
      await Promise.all([cache.delete(keys, { namespace }), cache.invalidateTags(tags)])
    } catch (error) {
      if (cache.parts.isStrict) throw error
    }
    return payload
  }
}

function namesFor(names: Names, request: FastifyRequest): readonly string[] {
  const given = typeof names === 'function' ? names(request as RouteRequest) : names
  return [given ?? []].flat()
}
