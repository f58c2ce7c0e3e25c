/**
 * Applications that share a cache must not be sent each other's answers: a `Host` is the client's word, and what an
 * internal application lets administrators see is under the same path at the public one.
 *
 * Nobody can tell whether a second application in this process is another one or the same once more, so two that would
 * use the same entries are refused until they are named. Those in other processes cannot be seen from here: most often
 * they are this one again, which is what a shared cache is for.
 */
import type { FastifyInstance } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import type { CacheParts } from '../../cache-parts.ts'
import { CacheConfigurationError } from '../../exceptions.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'

interface Holder {
  readonly server: object
  readonly hosts: RoutePolicy['hosts']
}

/** Who answers from the entries of a pattern, by namespace and pattern. */
const holders = new WeakMap<CacheParts, Map<string, Holder[]>>()

interface Applicant {
  readonly app: FastifyInstance
  readonly cache: CacheManager
  /** Undefined: it was given none. */
  readonly name: string | undefined
}

/** @throws {CacheConfigurationError} if a live application answers from the same entries, and was not named like it */
export function holdEntries({ app, cache, name }: Applicant, { namespace, pattern, hosts }: RoutePolicy): void {
  const ofCache = holders.get(cache.parts) ?? new Map<string, Holder[]>()
  holders.set(cache.parts, ofCache)
  const id = JSON.stringify([namespace, pattern])
  const { server } = app
  const others = ofCache.get(id) ?? []
  const isHeldBy = (holder: Holder): boolean => holder.server !== server && mayMeet(holder.hosts, hosts)
  // Of one name are those that are meant to share: it is in their pattern.
  if (name === undefined && others.some(isHeldBy)) {
    throw new CacheConfigurationError([fault(pattern)], 'applications of one cache')
  }
  ofCache.set(id, [...others, { server, hosts }])
}

/** A closed application answers nobody. */
export function releaseEntries({ parts }: CacheManager, server: object): void {
  for (const [id, all] of holders.get(parts) ?? []) {
    holders.get(parts)?.set(
      id,
      all.filter((holder) => holder.server !== server),
    )
  }
}

function fault(pattern: string): { path: string; expected: string; got: string } {
  const expected =
    'setupCache(app, cache, { name }) that tells its applications apart (the same name if they are the same), or `hosts`'
  return { path: pattern, expected, got: 'a second application that answers from the same entries' }
}

/** A request may reach both: a host without a port is every port of it. */
function mayMeet(some: RoutePolicy['hosts'], others: RoutePolicy['hosts']): boolean {
  if (some === undefined || others === undefined) return true
  const names = new Set(some.map(withoutPort))
  return others.some((host) => names.has(withoutPort(host)))
}

function withoutPort(host: string): string {
  return host.replace(/:\d+$/, '')
}
