/** Whether a request may be answered from the cache, and a response stored: the handler may restrict, never widen. */
import { deltaSeconds, forbiddingDirective, parseCacheControl } from './cache-control.ts'
import { lineOf, named } from './headers.ts'
import type { CacheableRequest, Headers } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'

/** A response before its body is known in full. */
export interface ResponseHead {
  readonly status: number
  readonly headers: Headers
}

/** Why a request passes by the cache; undefined if it does not. */
export function bypassReason(request: CacheableRequest, policy: RoutePolicy): string | undefined {
  if (!policy.methods.has(request.method)) return 'method'
  // Its meaning is not defined (RFC 9110 §9.3.1), and the key does not know it.
  const length = request.header('content-length')
  if (request.header('transfer-encoding') !== undefined || (length !== undefined && length !== '0'))
    return 'request-body'
  return undefined
}

/** A request that bears an Authorization and is, as far as the key knows, nobody's (RFC 9111 §3.5). */
export function isUnkeyedAuthorized(request: CacheableRequest): boolean {
  return request.header('authorization') !== undefined && request.user === undefined
}

/** The client asks for a fresh response (RFC 9111 §5.2.1.4, §5.4). */
export function wantsRefresh(request: CacheableRequest): boolean {
  const field = request.header('cache-control') ?? request.header('pragma')
  return field !== undefined && parseCacheControl(field).has('no-cache')
}

/** What of a request, and of the time before its handler, decides whether the response may be stored. */
export interface Circumstances {
  readonly policy: RoutePolicy
  /** The request bore an Authorization that the key does not know. */
  readonly isAuthorized: boolean
  /** The header fields that were there before the handler. */
  readonly before: Headers
  readonly now: number
}

/** Why a response may not be stored, as far as its head tells; undefined if it may. */
export function refusalReason(response: ResponseHead, circumstances: Circumstances): string | undefined {
  const { policy, isAuthorized, before, now } = circumstances
  const { status, headers } = response
  if (!policy.statuses.has(status) || status === 206 || status === 304 || status >= 500) return `status-${status}`
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  const forbidding = forbiddingDirective(headers['cache-control'])
  if (forbidding !== undefined) return forbidding
  // Of what stood there before the handler only CORS is known to be made anew for each answer.
  const isAnew = named(before.vary).includes('origin')
  const vary = named(headers.vary).filter((name) => !(name === 'origin' && isAnew))
  if (vary.includes('*') || vary.some((name) => !isKeyed(name, policy))) return 'vary'
  const encoding = lineOf(headers['content-encoding'])
  if (encoding !== undefined && encoding !== 'identity' && !policy.vary.includes('accept-encoding')) return 'encoding'
  if (isAuthorized && !isPublic(headers)) return 'authorization'
  if (lifetimeMs(response, policy.windows.ttlMs, now) <= 0) return 'stale'
  return undefined
}

/** Milliseconds a response is fresh: the route's ttl, or less if the response says so, minus the age it came with. */
export function lifetimeMs({ headers }: ResponseHead, ttlMs: number, now: number): number {
  const directives = parseCacheControl(headers['cache-control'])
  const seconds = deltaSeconds(directives, 's-maxage') ?? deltaSeconds(directives, 'max-age')
  const allowed = seconds === undefined ? expiresIn(headers, now) : seconds * 1000
  return Math.min(ttlMs, allowed ?? Infinity) - ageSeconds(headers) * 1000
}

/** The age that a response came with; one that is no number is beyond all bounds. */
export function ageSeconds(headers: Headers): number {
  const age = lineOf(headers.age)
  if (age === undefined) return 0
  return /^\d+$/.test(age) ? Number(age) : Infinity
}

/** A stale copy may stand in for a failed load, unless the response forbade it (RFC 9111 §5.2.2.2, §5.2.2.8). */
export function mayServeStale(headers: Headers): boolean {
  const directives = parseCacheControl(headers['cache-control'])
  return !['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => directives.has(name))
}

/** The response says that it may answer authorized requests (RFC 9111 §3.5). */
export function isPublic(headers: Headers): boolean {
  const directives = parseCacheControl(headers['cache-control'])
  return ['public', 's-maxage', 'must-revalidate'].some((name) => directives.has(name))
}

function isKeyed(name: string, policy: RoutePolicy): boolean {
  // Responses are stored as the handler made them, before anything encodes them.
  return name === 'accept-encoding' || policy.vary.includes(name) || (name === 'authorization' && policy.hasUser)
}

/** An Expires that is no date is in the past (RFC 9111 §5.3). */
function expiresIn(headers: Headers, now: number): number | undefined {
  const expires = lineOf(headers.expires)
  if (expires === undefined) return undefined
  const at = Date.parse(expires)
  return Number.isNaN(at) ? 0 : at - (Date.parse(lineOf(headers.date) ?? '') || now)
}
