/** What was found for a request, or loaded for somebody else, and what of it may be sent to whoever asks. */
import { freshness, type Entry } from '../entry.ts'
import type { MaybePromise } from '../stores/store.ts'
import { controlOf } from './cache-control.ts'
import { hasValidator, lifetimeOf } from './freshness.ts'
import { variedId, type ResponseKey } from './key.ts'
import type { Forward, Hit, Lead } from './lead.ts'
import type { CacheableRequest } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'
import { heededWishes, isGranted, isSelectedBy } from './selection.ts'
import { controllingHeaders, decodeResponse, type StoredResponse } from './stored-response.ts'
import { variantOf, type Varying } from './vary.ts'

/** A request, and under which key it asks. */
export interface Asked {
  readonly request: CacheableRequest
  readonly key: ResponseKey
  /** See `isUnkeyedAuthorized`. Such requests neither wait for others nor let others wait for them. */
  readonly isAuthorized: boolean
}

/** Runs the route again behind the caller's back, with a lead to finish. */
export type Rerun = (lead: Lead) => void

/** A request on its way, and when the store was first asked, in milliseconds of `performance.now()`; undefined: no time. */
export interface Visit extends Asked {
  readonly rerun: Rerun
  readonly askedAt: number | undefined
}

/** What was found for a request. */
export interface Found extends Visit {
  readonly entry: Entry | undefined
  /** What is known of the target's variants; undefined if it has none. */
  readonly varying: Varying | undefined
  /** The store did not answer. */
  readonly isCutOff: boolean
}

/** No object literals, for the reason that is told of Entry: they outlive a collection now and then, with all of a request. */
class VisitRecord implements Visit {
  readonly request: CacheableRequest
  readonly key: ResponseKey
  readonly isAuthorized: boolean
  readonly rerun: Rerun
  readonly askedAt: number | undefined

  constructor({ request, key, isAuthorized }: Asked, rerun: Rerun, askedAt: number | undefined) {
    this.request = request
    this.key = key
    this.isAuthorized = isAuthorized
    this.rerun = rerun
    this.askedAt = askedAt
  }
}

class FoundRecord extends VisitRecord implements Found {
  readonly entry: Entry | undefined
  readonly varying: Varying | undefined
  readonly isCutOff: boolean

  constructor(visit: Visit, entry: Entry | undefined | 'cut off', varying: Varying | undefined) {
    super(visit, visit.rerun, visit.askedAt)
    this.entry = entry === 'cut off' ? undefined : entry
    this.varying = varying
    this.isCutOff = entry === 'cut off'
  }
}

/** A request that has asked the store for `entry`: what comes at once took no time. */
export function visitFrom(asked: Asked, rerun: Rerun, entry: MaybePromise<unknown>): Visit {
  return new VisitRecord(asked, rerun, entry instanceof Promise ? performance.now() : undefined)
}

/** What `visit` found. */
export function foundFrom(visit: Visit, entry: Entry | undefined | 'cut off', varying?: Varying): Found {
  return new FoundRecord(visit, entry, varying)
}

/** The response in `value`, if it is one and this request may have it. */
function responseIn(value: unknown, { request, key, isAuthorized }: Asked): StoredResponse | undefined {
  const response = decodeResponse(value)
  if (response === undefined || (isAuthorized && !response.isPublic)) return undefined
  return isSelectedBy(request, response) && isUnder(key, response, request) ? response : undefined
}

/** Two long keys may have one hash. */
function isUnder(key: ResponseKey, { longKey, varies }: StoredResponse, request: CacheableRequest): boolean {
  if (longKey === key.longKey) return true
  // Since this request was made it may have turned out to vary by more.
  return varies !== undefined && variedId(key, varies, request).longKey === longKey
}

/** The answer in an entry. */
export function hitIn(entry: Entry, asked: Asked, now: number): Hit | undefined {
  const response = responseIn(entry.value, asked)
  if (response === undefined) return undefined
  return {
    kind: 'hit',
    response,
    entryId: entry.entryId,
    isStale: now >= entry.freshUntil,
    ageSeconds: response.age + Math.max(0, Math.floor((now - entry.storedAt) / 1000)),
    ttlSeconds: Math.floor((entry.freshUntil - now) / 1000),
  }
}

interface When {
  readonly policy: RoutePolicy
  readonly now: number
}

/** The answer in what was loaded without the store, which is in no entry. */
export function unstoredHit(value: unknown, asked: Asked, when: When): Hit | undefined {
  const response = responseIn(value, asked)
  if (response === undefined) return undefined
  const control = controlOf(controllingHeaders(response), when.policy.heedsCdn)
  const { windows } = lifetimeOf(response, control, when)
  if (windows.ttlMs <= 0) return undefined
  const ttlSeconds = Math.floor(windows.ttlMs / 1000)
  return { kind: 'hit', response, entryId: undefined, isStale: false, ageSeconds: response.age, ttlSeconds }
}

/** The answer in an entry that may stand in for a handler that fails or is late. */
export function standInFrom(entry: Entry, asked: Asked, now: number): Hit | undefined {
  const hit = hitIn(entry, asked, now)
  if (hit === undefined || hit.response.mustValidate) return undefined
  return now < entry.staleUntil + hit.response.graceMs ? hit : undefined
}

/** What is stored and no longer fresh, if it can be confirmed. */
export function previousIn(found: Found, now: number): StoredResponse | undefined {
  const { entry } = found
  if (entry === undefined || freshness(entry, now) === 'expired') return undefined
  const response = hitIn(entry, found, now)?.response
  return response !== undefined && hasValidator(response.headers, response.hasOwnTag) ? response : undefined
}

/** What had to be confirmed for whoever led has to be confirmed for those who waited, too; and they may want more. */
export function mayBeShared(
  hit: Hit,
  entry: Entry | undefined,
  { request, policy }: { readonly request: CacheableRequest; readonly policy: RoutePolicy },
): boolean {
  if (entry !== undefined && entry.freshUntil <= entry.storedAt) return false
  const wishes = heededWishes(request, policy)
  return wishes === undefined || isGranted(wishes, hit)
}

/** It was made for the same target, and for other values of what that varies by. */
export function isOtherVariant(value: unknown, { request }: Asked): boolean {
  const response = decodeResponse(value)
  return response !== undefined && !isSelectedBy(request, response)
}

/** Whether nothing is stored of the target, or of other variants something is (RFC 9211 §2.2). */
export function missReason(request: CacheableRequest, varying: Varying | undefined): Forward {
  if (varying === undefined || varying.names.length === 0 || varying.variants.length === 0) return 'uri-miss'
  return varying.variants.includes(variantOf(request, varying.names)) ? 'uri-miss' : 'vary-miss'
}

/** Requests with an Authorization are remembered by themselves: what they may not have others may wait for. */
export function dropId({ key, isAuthorized }: Asked): string {
  return isAuthorized ? `authorized ${key.id}` : key.id
}
