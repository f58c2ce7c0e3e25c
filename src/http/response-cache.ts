/**
 * A route's responses: what an adapter calls.
 *
 * `begin(request)` answers **hit** (send this), **lead** (run the handler, then `finish` with what it made, or
 * `abandon`), or **bypass** (run the handler; the cache has no part in it). A response that may not be stored is not
 * shared either: those who waited for it run the handler themselves, and for two seconds nobody waits.
 */
import type { CacheManager } from '../cache-manager.ts'
import { freshness, type Entry } from '../entry.ts'
import type { LoadRequest } from '../load.ts'
import { stampsOf } from '../options.ts'
import type { MaybePromise } from '../stores/store.ts'
import { responseKey, type ResponseKey } from './key.ts'
import { Lead, type Hit } from './lead.ts'
import type { CacheableRequest } from './message.ts'
import { bypassReason, isUnkeyedAuthorized, mayAnswer, wantsRefresh } from './policy.ts'
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

const HIT_FOR_MISS_MS = 2000
/** So many keys at once; beyond it the oldest is forgotten, and its next requests wait once more for nothing. */
const MAX_HIT_FOR_MISS = 1000
/** A client that may refresh does so at most this often. */
const REFRESH_INTERVAL_MS = 1000

/** What was found for a request. */
interface Found {
  readonly request: CacheableRequest
  readonly key: ResponseKey
  readonly entry: Entry | undefined
  /** The store did not answer. */
  readonly isCutOff: boolean
}

export class ResponseCache {
  readonly #policy: RoutePolicy
  readonly #cache: CacheManager
  readonly #hitForMiss = new Map<string, number>()

  constructor(cache: CacheManager, policy: RoutePolicy) {
    this.#cache = cache
    this.#policy = policy
  }

  /** @throws {CacheException} for a `key` that is none; for faults of the store only with `onError: 'throw'` */
  begin(request: CacheableRequest, rerun: Rerun): MaybePromise<Begun> {
    const reason = bypassReason(request, this.#policy)
    if (reason !== undefined) return { kind: 'bypass', reason }
    const { store, telemetry, isStrict } = this.#cache.parts
    const key = responseKey(request, this.#policy)
    const read = store.read(key.id, key.parentId)
    if (!(read instanceof Promise)) return this.#answer({ request, key, entry: read, isCutOff: false }, rerun)
    return telemetry.watch(read, { key: key.key, namespace: this.#policy.namespace }).then(
      (entry) => this.#answer({ request, key, entry, isCutOff: false }, rerun),
      (error: unknown) => {
        if (isStrict) throw error
        return this.#answer({ request, key, entry: undefined, isCutOff: true }, rerun)
      },
    )
  }

  #answer(found: Found, rerun: Rerun): MaybePromise<Begun> {
    const { entry, key, request } = found
    const hit = entry && this.#hit(entry, request)
    if (entry === undefined || hit === undefined) return this.#miss(found, false)
    const now = this.#cache.parts.clock.now()
    const isRequested = now - entry.storedAt >= REFRESH_INTERVAL_MS && wantsRefresh(request) && request.mayRefresh()
    const state = freshness(entry, now)
    if (isRequested || state === 'grace' || state === 'expired') return this.#miss(found, isRequested)

    const { telemetry, loads } = this.#cache.parts
    telemetry.count(hit.isStale ? 'stale' : 'hit', key.key, this.#policy.namespace)
    if (hit.isStale) {
      const run: LoadRequest['run'] = (context) => {
        const lead = this.#lead(found, context, false)
        rerun(lead)
        return lead.result
      }
      void loads.refresh({ ...this.#request(found), run })
    }
    return hit
  }

  /** Leads, or waits for whoever does. */
  #miss(found: Found, isRequested: boolean): MaybePromise<Begun> {
    const { request, key } = found
    const { telemetry, loads } = this.#cache.parts
    if (request.method !== 'GET' || request.header('range') !== undefined) {
      return { kind: 'bypass', reason: request.method === 'GET' ? 'range' : 'head' }
    }
    telemetry.count('miss', key.key, this.#policy.namespace)
    const isAlone = isUnkeyedAuthorized(request, this.#policy) || this.#isHitForMiss(key.id)
    const wait = (alone: boolean): Promise<Begun> =>
      new Promise((resolve, reject) => {
        let isLeading = false
        const run: LoadRequest['run'] = (context) => {
          isLeading = true
          const lead = this.#lead(found, context, isRequested)
          resolve(lead)
          return lead.result
        }
        const answer = (entry: Entry | undefined): Begun | Promise<Begun> => {
          const hit = entry && this.#hit(entry, request)
          return hit ?? (alone ? { kind: 'bypass', reason: 'authorization' } : wait(true))
        }
        loads
          .load({ ...this.#request(found), isAlone: alone, run })
          .then(({ entry }) => {
            if (!isLeading) resolve(answer(entry))
          })
          .catch(reject)
      })
    return wait(isAlone)
  }

  #lead(found: Found, context: Parameters<LoadRequest['run']>[0], isRequested: boolean): Lead {
    const { request, key, entry } = found
    const isUsable = entry !== undefined && freshness(entry, this.#cache.parts.clock.now()) !== 'expired'
    return new Lead({
      request,
      context,
      isRequested,
      policy: this.#policy,
      stale: isUsable ? this.#hit(entry, request) : undefined,
      onAbandon: () => this.#rememberMiss(key.id),
    })
  }

  #request(found: Found): Omit<LoadRequest, 'run'> {
    const { namespace, windows } = this.#policy
    const { key, request, entry, isCutOff } = found
    const tags = stampsOf(namespace, request.tags())
    return { ...key, namespace, windows, tags, found: entry, isCutOff, compress: undefined }
  }

  /** The answer in an entry, if it is one and this request may have it. */
  #hit(entry: Entry, request: CacheableRequest): Hit | undefined {
    const response = decodeResponse(entry.value)
    if (response === undefined || !mayAnswer(response, request, this.#policy)) return undefined
    const now = this.#cache.parts.clock.now()
    return {
      kind: 'hit',
      response,
      isStale: now >= entry.freshUntil,
      ageSeconds: Math.max(0, Math.floor((now - entry.storedAt) / 1000)),
      ttlSeconds: Math.floor((entry.freshUntil - now) / 1000),
    }
  }

  #isHitForMiss(id: string): boolean {
    const until = this.#hitForMiss.get(id)
    if (until === undefined) return false
    if (until > performance.now()) return true
    this.#hitForMiss.delete(id)
    return false
  }

  #rememberMiss(id: string): void {
    this.#hitForMiss.delete(id)
    this.#hitForMiss.set(id, performance.now() + HIT_FOR_MISS_MS)
    if (this.#hitForMiss.size <= MAX_HIT_FOR_MISS) return
    const [oldest] = this.#hitForMiss.keys()
    this.#hitForMiss.delete(oldest!)
  }
}
