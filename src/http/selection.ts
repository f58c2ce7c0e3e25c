/** Whether what was found under a request's key may be sent to it (RFC 9111 §4), or why not. */
import { freshness, type Entry } from '../entry.ts'
import type { Forward, Hit } from './lead.ts'
import type { CacheableRequest } from './message.ts'
import { wantsRefresh } from './policy.ts'
import type { RoutePolicy } from './route-policy.ts'
import type { StoredResponse } from './stored-response.ts'
import { variantOf } from './vary.ts'
import { wishesOf, type Wishes } from './wishes.ts'

/** A client that may refresh does so at most this often. */
const REFRESH_INTERVAL_MS = 1000

export interface Selection {
  readonly request: CacheableRequest
  readonly policy: RoutePolicy
  readonly wishes: Wishes | undefined
  readonly now: number
  /** What is past its ttl may be sent while it is refreshed behind. */
  readonly mayRefreshBehind: boolean
}

/** Why the handler has to run all the same (RFC 9211 §2.2); undefined if what was found may be sent. */
export function forwardReason(entry: Entry, hit: Hit, selection: Selection): Forward | undefined {
  const { request, policy, wishes, now, mayRefreshBehind } = selection
  const isDue = now - entry.storedAt >= REFRESH_INTERVAL_MS
  if (isDue && wantsRefresh(request) && request.mayRefresh()) return 'request'
  if (policy.kind === 'rfc9111' && wishes !== undefined) {
    if (wishes.noCache || !isGranted(wishes, hit)) return 'request'
    if (wishes.maxStale > 0 && -hit.ttlSeconds <= wishes.maxStale && !hit.response.mustValidate) return undefined
  }
  const state = freshness(entry, now)
  return state === 'fresh' || (state === 'stale' && mayRefreshBehind) ? undefined : 'stale'
}

/** A response is as young, and will be fresh for as long, as the client wants it. */
export function isGranted({ maxAge, minFresh }: Wishes, { ageSeconds, ttlSeconds }: Hit): boolean {
  return ageSeconds <= maxAge && (minFresh === 0 || ttlSeconds >= minFresh)
}

/** What the client's directives want; undefined where none is heeded: under 'route' that is `only-if-cached` alone. */
export function heededWishes(request: CacheableRequest, { kind }: RoutePolicy): Wishes | undefined {
  const control = request.header('cache-control')
  if (kind === 'rfc9111') return wishesOf(control, request.header('pragma'))
  if (control?.toLowerCase().includes('only-if-cached') !== true) return undefined
  return { ...wishesOf(undefined, undefined), onlyIfCached: wishesOf(control, undefined).onlyIfCached }
}

/** A response is for requests whose header fields are those of the request it was made for (RFC 9111 §4.1). */
export function isSelectedBy(request: CacheableRequest, { varies, variant }: StoredResponse): boolean {
  return varies === undefined || variantOf(request, varies) === variant
}
