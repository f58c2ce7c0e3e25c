/**
 * A route's responses: what an adapter calls.
 *
 * `begin(request)` answers **hit** (send this), **lead** (run the handler, then `finish` with what it made, `confirm` what
 * is stored, or `drop`), **bypass** (run the handler; the cache has no part in it), or **unsatisfied** (there is nothing
 * to send, and the client wants nothing made). A response that may not be stored is not shared either: those who waited
 * for it run the handler themselves, and for two seconds nobody waits.
 */
import type { CacheManager } from '../cache-manager.ts'
import { CacheDeserializationError, describe } from '../exceptions.ts'
import type { Entry } from '../entry.ts'
import { assertKey } from '../key.ts'
import type { LoadControl, LoadRequest } from '../load-request.ts'
import type { Loaded } from '../loaded.ts'
import { stampsOf } from '../options.ts'
import type { MaybePromise } from '../stores/store.ts'
import {
  dropId,
  foundFrom,
  hitIn,
  isOtherVariant,
  mayBeShared,
  missReason,
  previousIn,
  standInFrom,
  unstoredHit,
  type Asked,
  type Found,
  type Rerun,
  visitFrom,
} from './found.ts'
import { mayVary, nameOf, responseKey, variedId, type ResponseKey } from './key.ts'
import { Lead, type Forward, type Forwarded, type Hit, type LeadOptions, type Place } from './lead.ts'
import type { CacheableRequest } from './message.ts'
import { bypassReason, isUnkeyedAuthorized } from './policy.ts'
import { RecentDrops } from './recent-drops.ts'
import { ResponseKeys } from './response-keys.ts'
import type { RoutePolicy } from './route-policy.ts'
import { forwardReason, heededWishes } from './selection.ts'
import { decodeResponse } from './stored-response.ts'
import { whenThere } from './when-there.ts'
import { LearntNames, variantOf, varyingIn } from './vary.ts'

/** Run the handler; the cache has no part in it. */
export interface Bypass {
  readonly kind: 'bypass'
  readonly reason: string
}

/** The client wants what is stored or nothing (RFC 9111 §5.2.1.7): answer 504. */
export interface Unsatisfied {
  readonly kind: 'unsatisfied'
}

export type Begun = Hit | Lead | Bypass | Unsatisfied

type LeadResult = Lead['result']
/** How a lead goes about it; `isBehind`: nobody waits for its answer. */
type LeadHow = Pick<LeadOptions, 'forward' | 'obstacle' | 'standIn'> & { readonly isBehind?: boolean }

/** Why a request waits for a load that runs elsewhere, and which. */
interface Waiting {
  readonly forward: Forward
  /** It is behind this request's back, and was begun for it. */
  readonly isOwn?: boolean
  /** When it is late, what is stale is the answer. */
  readonly isBehind?: boolean
}

export class ResponseCache {
  readonly #policy: RoutePolicy
  readonly #cache: CacheManager
  readonly #drops: RecentDrops
  readonly #keys: ResponseKeys
  readonly #learnt = new LearntNames()

  constructor(cache: CacheManager, policy: RoutePolicy) {
    this.#cache = cache
    this.#policy = policy
    this.#drops = new RecentDrops(cache.parts.clock)
    this.#keys = new ResponseKeys(cache.parts, policy)
  }

  /** @throws {CacheException} for faults of the store, only with `onError: 'throw'` */
  begin(request: CacheableRequest, rerun: Rerun): MaybePromise<Begun> {
    const reason = bypassReason(request, this.#policy)
    if (reason !== undefined) return { kind: 'bypass', reason }
    const key = this.#keyOf(request)
    if (key === undefined) return { kind: 'bypass', reason: 'key' }
    const asked = { request, key, isAuthorized: isUnkeyedAuthorized(request, this.#policy) }
    if (this.#policy.kind === 'rfc9111') return this.#beginVaried(asked, rerun)
    const entry = this.#cache.parts.loads.find(key)
    const visit = visitFrom(asked, rerun, entry)
    return whenThere(entry, (one) => this.#answer(foundFrom(visit, one)))
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
    if (this.#policy.kind === 'route') return this.#keys.of(request, name)
    return responseKey(request, this.#policy, { name, namesOf: (target) => this.#learnt.get(target) })
  }

  /** Whether a request asks for the very response that a lead is to fill in. */
  isFor(lead: Lead, request: CacheableRequest): boolean {
    const known = this.#policy.kind === 'route' ? {} : { namesOf: () => lead.variesBy }
    return responseKey(request, this.#policy, known).id === lead.id
  }

  /**
   * By what the responses of the target are told apart stands in the store, too. Both are asked for at once: if this
   * process knew better, or less, it asks once more.
   */
  #beginVaried(asked: Asked, rerun: Rerun): MaybePromise<Begun> {
    const { loads } = this.#cache.parts
    const { request, key } = asked
    const entry = loads.find(key)
    const note = loads.find({ ...key, id: key.targetId })
    const visit = visitFrom(asked, rerun, note)
    return whenThere(note, (noted) => {
      const varying = varyingIn(noted === 'cut off' ? undefined : noted)
      if (this.#learnt.knows(key.targetId, varying.names) || noted === 'cut off') {
        return whenThere(entry, (one) => this.#answer(foundFrom(visit, one, varying)))
      }
      // Nobody waits for the first answer.
      if (entry instanceof Promise) entry.catch(() => undefined)
      this.#learnt.learn(key.targetId, varying.names)
      const now = { ...visit, key: { ...key, ...variedId(key, varying.names, request) } }
      return whenThere(loads.find(now.key), (one) => this.#answer(foundFrom(now, one, varying)))
    })
  }

  #answer(found: Found): MaybePromise<Begun> {
    const { entry, key, request } = found
    const wishes = heededWishes(request, this.#policy)
    if (wishes?.noStore === true) return { kind: 'bypass', reason: 'request-no-store' }
    const now = this.#cache.parts.clock.now()
    const hit = entry && hitIn(entry, found, now)
    if (entry !== undefined && hit === undefined) this.#reportUnlessResponse(entry, key)
    const mayRefreshBehind = hit?.isStale === true && this.#mayRefreshBehind(found)
    const selection = { request, wishes, policy: this.#policy, now, mayRefreshBehind }
    const isMiss = entry === undefined || hit === undefined
    const forward = isMiss ? missReason(request, found.varying) : forwardReason(entry, hit, selection)
    if (forward !== undefined) {
      if (wishes?.onlyIfCached === true) return { kind: 'unsatisfied' }
      return this.#miss(found, forward)
    }
    this.#count(hit!.isStale ? 'stale' : 'hit', key)
    if (mayRefreshBehind && wishes?.onlyIfCached !== true) this.#refresh(found)
    return hit!
  }

  /** What stands under a response's name and is none was not written by us. */
  #reportUnlessResponse({ value }: Entry, { key, namespace }: ResponseKey): void {
    if (decodeResponse(value) !== undefined) return
    const message = `stored response: expected one, got ${describe(value)}`
    this.#cache.parts.telemetry.report(new CacheDeserializationError(message, { key, namespace }))
  }

  /**
   * A refresh behind bears nobody's credentials: it cannot speak for a user, nor may it be let through everywhere. Nor does
   * it bear a body.
   */
  #mayRefreshBehind({ key, request }: Found): boolean {
    return !this.#policy.hasUser && request.method !== 'QUERY' && this.#drops.get(key.id) !== 'unreached'
  }

  #refresh(found: Found): void {
    if (this.#drops.get(found.key.id) !== undefined) return
    const run = (context: LoadControl): LeadResult => this.#runBehind(found, context)
    void this.#cache.parts.loads.refresh({ ...this.#request(found), run })
  }

  #runBehind(found: Found, context: LoadControl): LeadResult {
    const how = { forward: 'stale', obstacle: undefined, standIn: () => undefined, isBehind: true } as const
    const lead = this.#lead({ ...found, isAuthorized: false }, context, how)
    found.rerun(lead)
    return lead.result
  }

  #miss(found: Found, forward: Forward): MaybePromise<Begun> {
    const { request, key } = found
    if (request.method === 'HEAD') return { kind: 'bypass', reason: 'head' }
    if (request.header('range') !== undefined) return { kind: 'bypass', reason: 'range' }
    this.#count('miss', key)
    if (found.varying !== undefined || !mayVary(this.#policy) || found.isCutOff) return this.#forward(found, forward)
    // How many variants there are matters only to those who may add one.
    const note = this.#cache.parts.loads.find({ ...key, id: key.targetId })
    return whenThere(note, (noted) => {
      const { variants } = varyingIn(noted === 'cut off' ? undefined : noted)
      const varying = { names: this.#policy.vary, variants }
      return this.#forward({ ...found, varying }, forward === 'uri-miss' ? missReason(request, varying) : forward)
    })
  }

  #forward(found: Found, forward: Forward): Promise<Begun> {
    const { softTimeoutMs } = this.#policy
    if (softTimeoutMs === undefined || forward !== 'stale' || !this.#mayBeLate(found)) return this.#load(found, forward)
    return this.#loadBehind(found, softTimeoutMs)
  }

  /** There is something to send should the handler be late, and what it makes behind may be stored. */
  #mayBeLate(found: Found): boolean {
    const { entry, key } = found
    if (found.isCutOff || !this.#mayRefreshBehind(found) || this.#drops.get(key.id) !== undefined) return false
    return entry !== undefined && standInFrom(entry, found, this.#cache.parts.clock.now()) !== undefined
  }

  /** Has it loaded behind, waits for that as long as the route wants to, and answers with what is stale otherwise. */
  async #loadBehind(found: Found, softTimeoutMs: number): Promise<Begun> {
    let isOwn = false
    const run = (context: LoadControl): LeadResult => {
      isOwn = true
      return this.#runBehind(found, context)
    }
    const loaded = await this.#cache.parts.loads.load({ ...this.#request(found), softTimeoutMs, run })
    return this.#share(found, loaded, { forward: 'stale', isOwn, isBehind: true })
  }

  /**
   * Leads, or waits for whoever does.
   *
   * @param hasWaited in vain: what somebody else has loaded is not what this request wants
   */
  #load(found: Found, forward: Forward, hasWaited = false): Promise<Begun> {
    const { isAuthorized, request } = found
    const drop = this.#drops.get(dropId(found))
    // Whoever wants it confirmed now cannot have what somebody began to load before.
    const isAnew = hasWaited || heededWishes(request, this.#policy)?.noCache === true
    const isAlone = isAuthorized || isAnew || drop === 'refused' || drop === 'failed'
    // A moment ago there was nothing to store, so it does not ask for the lease, which others may need.
    const obstacle = found.isCutOff ? 'unreachable' : isAuthorized && drop !== undefined ? 'authorization' : undefined
    return new Promise((resolve, reject) => {
      let isLeading = false
      const run = (context: LoadControl): LeadResult => {
        isLeading = true
        const standIn = (status: number): Hit | undefined => {
          const hit = this.#standIn(found, { why: forward, outcome: 'failed', status })
          if (hit !== undefined) this.#tellFailed(found, `answered ${status}`)
          return hit
        }
        const lead = this.#lead(found, context, { forward, obstacle, standIn })
        resolve(lead)
        return lead.result
      }
      this.#cache.parts.loads
        .load({ ...this.#request(found), isAlone, isCutOff: obstacle !== undefined, run })
        .then((loaded) => {
          if (!isLeading) resolve(this.#share(found, loaded, { forward }))
        })
        .catch(reject)
    })
  }

  /** What a load elsewhere gives to a request that waited for it. */
  #share(found: Found, { entry, value, source }: Loaded, waiting: Waiting): MaybePromise<Begun> {
    const { forward, isOwn = false, isBehind = false } = waiting
    const failed: Forwarded = { why: forward, outcome: 'failed' }
    if (source === 'stale') {
      const standIn = this.#standIn(found, isBehind ? { why: forward, outcome: 'late' } : failed)
      return standIn ?? { kind: 'bypass', reason: 'unreachable' }
    }
    const now = this.#cache.parts.clock.now()
    const hit =
      entry === undefined ? unstoredHit(value, found, { policy: this.#policy, now }) : hitIn(entry, found, now)
    if (hit !== undefined) {
      if (isOwn) return { ...hit, forwarded: { why: forward, outcome: 'stored' } }
      if (mayBeShared(hit, entry, { request: found.request, policy: this.#policy }))
        return { ...hit, forwarded: { why: forward, outcome: 'collapsed' } }
      // Whoever asks for the lease says what it has seen, or it is handed the same again.
      return this.#load({ ...found, entry: entry ?? found.entry }, forward, true)
    }
    // It is another variant: ask anew, knowing that.
    if (isOtherVariant(entry?.value ?? value, found)) return this.begin(found.request, found.rerun)
    if (entry !== undefined) {
      return { kind: 'bypass', reason: found.isAuthorized ? 'authorization' : 'unreadable' }
    }
    const standIn = this.#drops.get(dropId(found)) === 'failed' ? this.#standIn(found, failed) : undefined
    return standIn ?? this.#load(found, forward)
  }

  #lead(found: Found, context: LoadControl, { isBehind = false, ...how }: LeadHow): Lead {
    return new Lead({
      ...how,
      context,
      key: found.key,
      place: this.#placeOf(found),
      previous: previousIn(found, this.#cache.parts.clock.now()),
      policy: this.#policy,
      clock: this.#cache.parts.clock,
      compression: this.#cache.parts.compression,
      isAuthorized: found.isAuthorized,
      onDrop: (why) => {
        if (why !== 'gone') this.#drops.add(dropId(found), why)
        if (why === 'failed' && isBehind) this.#tellFailed(found, 'failed')
      },
    })
  }

  #placeOf({ request, key, varying }: Found): Place {
    const { targetId } = key
    return {
      varying,
      targetId,
      at: (names) => ({ ...variedId(key, names, request), variant: variantOf(request, names) }),
      learn: (names) => this.#learnt.learn(targetId, names),
    }
  }

  #request({ key, request, entry, isCutOff, askedAt }: Found): Omit<LoadRequest, 'run'> {
    const { namespace, windows, pattern: route } = this.#policy
    const tags = stampsOf(namespace, request.tags())
    // Responses are compressed already, where it is of use (packed.ts).
    return { ...key, route, windows, tags, found: entry, isCutOff, askedAt, compress: false }
  }

  /** What was found, in the place of what the handler should have made. */
  #standIn(found: Found, forwarded: Forwarded): Hit | undefined {
    const { entry, key } = found
    const hit = entry && standInFrom(entry, found, this.#cache.parts.clock.now())
    if (hit === undefined) return undefined
    this.#count('stale', key)
    return { ...hit, forwarded }
  }

  /** Nobody else hears of a handler that fails while what is stale is the answer. */
  #tellFailed({ key }: Found, how: string): void {
    const { pattern: route } = this.#policy
    const error = new Error(`the handler of ${route} ${how}`)
    this.#cache.parts.telemetry.reportLoad(error, { key: key.key, namespace: key.namespace, route })
  }

  #count(event: 'hit' | 'stale' | 'miss', { key, namespace }: ResponseKey): void {
    this.#cache.parts.telemetry.count(event, key, namespace)
  }
}
