/** The hook that invalidates what a route makes out of date. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheException, CacheKeyError } from '../../exceptions.ts'
import { statusOf } from './exchange.ts'
import type { CacheBustingRouteOptions, CacheSpec, OfRequest, RouteRequest } from './route-options.ts'
import { tellUndelivered } from './undelivered.ts'

type Names = string | readonly string[] | OfRequest<string | readonly string[]> | undefined

/** What has become of a request whose handler changes data. */
const progress = new WeakMap<FastifyRequest, 'handled' | 'busted'>()

export interface BustingHooks {
  /** The handler has returned something, and not said that it failed. */
  readonly preSerialization: (request: FastifyRequest, reply: FastifyReply, payload: unknown) => Promise<unknown>
  /** Nobody has the answer yet, so whoever gets it finds nothing outdated. */
  readonly onSend: (request: FastifyRequest, reply: FastifyReply, payload: unknown) => Promise<unknown>
  /** The answer went out another way (hijacked), or failed after the handler had succeeded: better late than never. */
  readonly onResponse: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
}

/**
 * The hooks of a route that changes data.
 *
 * When Redis is out of reach the write has happened all the same: the answer goes out, and the fault is reported;
 * with `onError: 'throw'` it takes the place of the answer.
 */
export function bustingHooks(spec: CacheSpec<CacheBustingRouteOptions>): BustingHooks {
  const bust = busting(spec)
  return {
    preSerialization: async (request, reply, payload) => {
      if (reply.statusCode < 400) progress.set(request, 'handled')
      return payload
    },
    onSend: async (request, reply, payload) => {
      if (statusOf(reply, payload) < 400 || progress.get(request) === 'handled') await bust(request)
      return payload
    },
    onResponse: async (request, reply) => {
      const hasSucceeded = progress.get(request) === 'handled' || reply.raw.statusCode < 400
      if (hasSucceeded && progress.get(request) !== 'busted') await bust(request)
    },
  }
}

function busting({ cache, options }: CacheSpec<CacheBustingRouteOptions>) {
  return async (request: FastifyRequest): Promise<void> => {
    progress.set(request, 'busted')
    const { namespace = cache.ownNamespace } = options
    const named: Partial<Record<'keys' | 'tags', readonly string[]>> = {}
    const by = async (
      what: 'keys' | 'tags',
      deliver: (names: readonly string[]) => Promise<unknown>,
    ): Promise<void> => {
      const names = namesFor(options[what], request)
      named[what] = names
      await deliver(names)
    }
    // Both are tried even if one fails, or cannot say its names: the less remains stale the better.
    const outcomes = await Promise.allSettled([
      by('keys', (keys) => cache.delete(keys, { namespace })),
      by('tags', (tags) => cache.invalidateTags(tags)),
    ])
    const faults = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    if (faults.length === 0) return
    const [err] = faults
    tellUndelivered(request, cache, { err, ...named, namespace })
    for (const fault of faults) rethrow(fault, cache)
  }
}

/** All but a fault of the store, which has been reported: a key or tag that is none is the author's to see. */
function rethrow(error: unknown, { parts }: CacheManager): void {
  if (parts.isStrict || !(error instanceof CacheException) || error instanceof CacheKeyError) throw error
}

function namesFor(names: Names, request: FastifyRequest): readonly string[] {
  // What a function leaves undefined is a mistake, of which `delete` or `invalidateTags` tells.
  return typeof names === 'function' ? [names(request as RouteRequest)].flat() : [names ?? []].flat()
}
