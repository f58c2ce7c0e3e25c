/**
 * A route's responses: what an adapter calls.
 *
 * `begin(request)` answers **hit** (send this), **lead** (run the handler, then `finish` with what it made, or `drop`),
 * or **bypass** (run the handler; the cache has no part in it). A response that may not be stored is not shared either:
 * those who waited for it run the handler themselves, and for two seconds nobody waits.
 */
import type { CacheManager } from '../cache-manager.ts'
import { assertKey } from '../key.ts'
import { freshness, type Entry } from '../entry.ts'
import type { LoadControl, LoadRequest } from '../load-request.ts'
import type { Loaded } from '../loaded.ts'
import { stampsOf } from '../options.ts'
import type { MaybePromise } from '../stores/store.ts'
import { nameOf, responseKey, type ResponseKey } from './key.ts'
import { Lead, type Hit, type LeadOptions } from './lead.ts'
import type { CacheableRequest } from './message.ts'
import { bypassReason, isUnkeyedAuthorized, lifetimeMs, wantsRefresh } from './policy.ts'
import { RecentDrops } from './recent-drops.ts'
import type { RoutePolicy } from './route-policy.ts'
import { decodeResponse } from './stored-response.ts'

/** Run the handler; the cache has no part in it. */
export interface Bypass {
  readonly kind: 'bypass'
  readonly reason: string
}

export type Begun = Hit | Lead | Bypass

/** Runs the route again behind the caller's back, with a lead to finish. */
export type Rerun = (lead: Lead) => void

type Forward = LeadOptions['forward']
type LeadResult = Lead['result']

/** A client that may refresh does so at most this often. */
const REFRESH_INTERVAL_MS = 1000

/** What was found for a request. */
interface Found {
  readonly request: CacheableRequest
  readonly key: ResponseKey
  readonly entry: Entry | undefined
  /** The store did not answer. */
  readonly isCutOff: boolean
  /** See `isUnkeyedAuthorized`. Such requests neither wait for others nor let others wait for them. */
  readonly isAuthorized: boolean
}

export class ResponseCache {
  readonly #policy: RoutePolicy
  readonly #cache: CacheManager
  readonly #drops: RecentDrops

  constructor(cache: CacheManager, policy: RoutePolicy) {
    this.#cache = cache
    this.#policy = policy
    this.#drops = new RecentDrops(cache.parts.clock)
  }

  /** @throws {CacheException} for faults of the store, only with `onError: 'throw'` */
  begin(request: CacheableRequest, rerun: Rerun): MaybePromise<Begun> {
    const reason = bypassReason(request, this.#policy)
    if (reason !== undefined) return { kind: 'bypass', reason }
    const key = this.#keyOf(request)
    if (key === undefined) return { kind: 'bypass', reason: 'key' }
    const isAuthorized = isUnkeyedAuthorized(request)
    const answer = (entry: Entry | undefined | 'cut off'): MaybePromise<Begun> =>
      entry === 'cut off'
        ? this.#answer({ request, key, isAuthorized, entry: undefined, isCutOff: true }, rerun)
        : this.#answer({ request, key, isAuthorized, entry, isCutOff: false }, rerun)
    const found = this.#cache.parts.loads.find(key)
    return found instanceof Promise ? found.then(answer) : answer(found)
  }

  /** Undefined for a request of which the route's `key` makes no name: that may be its client's doing. */
  #keyOf(request: CacheableRequest): ResponseKey | undefined {
    const name = nameOf(request)
    try {
      assertKey(name, this.#policy.namespace)
    } catch (error) {
      this.#cache.parts.telemetry.report(error)
      return undefined
    }
    return responseKey(request, this.#policy, name)
  }

  /** Whether a request asks for the very response that a lead is to fill in. */
  isFor(lead: Lead, request: CacheableRequest): boolean {
    return responseKey(request, this.#policy).id === lead.id
  }

  #answer(found: Found, rerun: Rerun): MaybePromise<Begun> {
    const { entry, key, request } = found
    const hit = entry && this.#hit(entry, found)
    if (entry === undefined || hit === undefined) return this.#miss(found, 'uri-miss')
    const now = this.#cache.parts.clock.now()
    const isDue = now - entry.storedAt >= REFRESH_INTERVAL_MS
    if (isDue && wantsRefresh(request) && request.mayRefresh()) return this.#miss(found, 'request')
    const state = freshness(entry, now)
    const mayServe = state === 'fresh' || (state === 'stale' && this.#mayRefreshBehind(key))
    if (!mayServe) return this.#miss(found, 'stale')

    this.#count(hit.isStale ? 'stale' : 'hit', key)
    if (hit.isStale) this.#refresh(found, rerun)
    return hit
  }

  /** A refresh behind bears nobody's credentials: it cannot speak for a user, nor may it be let through everywhere. */
  #mayRefreshBehind(key: ResponseKey): boolean {
    return !this.#policy.hasUser && this.#drops.get(key.id) !== 'unreached'
  }

  #refresh(found: Found, rerun: Rerun): void {
    const { key } = found
    if (this.#drops.get(key.id) !== undefined) return
    const run = (context: LoadControl): LeadResult => {
      const how = { forward: 'stale', obstacle: undefined, standIn: () => undefined } as const
      const lead = this.#lead({ ...found, isAuthorized: false }, context, how)
      rerun(lead)
      return lead.result
    }
    void this.#cache.parts.loads.refresh({ ...this.#request(found), run })
  }

  #miss(found: Found, forward: Forward): MaybePromise<Begun> {
    const { request, key } = found
    if (request.method !== 'GET') return { kind: 'bypass', reason: 'head' }
    if (request.header('range') !== undefined) return { kind: 'bypass', reason: 'range' }
    this.#count('miss', key)
    return this.#load(found, forward)
  }

  /** Leads, or waits for whoever does. */
  #load(found: Found, forward: Forward): Promise<Begun> {
    const { isAuthorized } = found
    const drop = this.#drops.get(dropId(found))
    const isAlone = isAuthorized || drop === 'refused' || drop === 'failed'
    // A moment ago there was nothing to store, so it does not ask for the lease, which others may need.
    const obstacle = found.isCutOff ? 'unreachable' : isAuthorized && drop !== undefined ? 'authorization' : undefined
    return new Promise((resolve, reject) => {
      let isLeading = false
      const run = (context: LoadControl): LeadResult => {
        isLeading = true
        const lead = this.#lead(found, context, { forward, obstacle, standIn: () => this.#standIn(found) })
        resolve(lead)
        return lead.result
      }
      this.#cache.parts.loads
        .load({ ...this.#request(found), isAlone, isCutOff: obstacle !== undefined, run })
        .then((loaded) => {
          if (!isLeading) resolve(this.#share(found, loaded, forward))
        })
        .catch(reject)
    })
  }

  /** What somebody else's load gives to a request that waited for it. */
  #share(found: Found, { entry, value }: Loaded, forward: Forward): MaybePromise<Begun> {
    const hit = entry === undefined ? this.#unstored(value, found) : this.#hit(entry, found)
    if (hit !== undefined) return hit
    if (entry !== undefined) return { kind: 'bypass', reason: found.isAuthorized ? 'authorization' : 'unreadable' }
    const standIn = this.#drops.get(dropId(found)) === 'failed' ? this.#standIn(found) : undefined
    return standIn ?? this.#load(found, forward)
  }

  #lead(found: Found, context: LoadControl, how: Pick<LeadOptions, 'forward' | 'obstacle' | 'standIn'>): Lead {
    return new Lead({
      ...how,
      context,
      id: found.key.id,
      policy: this.#policy,
      clock: this.#cache.parts.clock,
      compression: this.#cache.parts.compression,
      isAuthorized: found.isAuthorized,
      onDrop: (why) => {
        if (why !== 'gone') this.#drops.add(dropId(found), why)
      },
    })
  }

  #request({ key, request, entry, isCutOff }: Found): Omit<LoadRequest, 'run'> {
    const { namespace, windows } = this.#policy
    const tags = stampsOf(namespace, request.tags())
    // Responses are compressed already, where it is of use (packed.ts).
    return { ...key, windows, tags, found: entry, isCutOff, compress: false }
  }

  /** What was found, in the place of a handler that failed. */
  #standIn(found: Found): Hit | undefined {
    const { entry, key } = found
    if (entry === undefined || freshness(entry, this.#cache.parts.clock.now()) === 'expired') return undefined
    const hit = this.#hit(entry, found)
    if (hit !== undefined) this.#count('stale', key)
    return hit
  }

  /** The answer in an entry, if it is one and this request may have it. */
  #hit(entry: Entry, { isAuthorized }: Found): Hit | undefined {
    const response = decodeResponse(entry.value)
    if (response === undefined || (isAuthorized && !response.isPublic)) return undefined
    const now = this.#cache.parts.clock.now()
    return {
      kind: 'hit',
      response,
      entryId: entry.entryId,
      isStale: now >= entry.freshUntil,
      ageSeconds: response.age + Math.max(0, Math.floor((now - entry.storedAt) / 1000)),
      ttlSeconds: Math.floor((entry.freshUntil - now) / 1000),
    }
  }

  /** The answer in what was loaded without the store, which is in no entry. */
  #unstored(value: unknown, { isAuthorized }: Found): Hit | undefined {
    const response = decodeResponse(value)
    if (response === undefined || (isAuthorized && !response.isPublic)) return undefined
    const lifeMs = lifetimeMs(response, this.#policy.windows.ttlMs, this.#cache.parts.clock.now())
    const ttlSeconds = Math.floor(lifeMs / 1000)
    return { kind: 'hit', response, entryId: undefined, isStale: false, ageSeconds: response.age, ttlSeconds }
  }

  #count(event: 'hit' | 'stale' | 'miss', { key, namespace }: ResponseKey): void {
    this.#cache.parts.telemetry.count(event, key, namespace)
  }
}

/** Requests with an Authorization are remembered by themselves: what they may not have others may wait for. */
function dropId({ key, isAuthorized }: Found): string {
  return isAuthorized ? `authorized ${key.id}` : key.id
}
