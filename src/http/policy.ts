/** Whether a request may be answered from the cache, and a response stored: the handler may restrict, never widen. */
import { deltaSeconds, parseCacheControl, type Directives } from './cache-control.ts'
import { lineOf, named } from './headers.ts'
import type { CacheableRequest, Headers } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'
import type { StoredResponse } from './stored-response.ts'

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
  if (request.header('transfer-encoding') !== undefined || (length !== undefined && length !== '0')) return 'request-body'
  return undefined
}

/** A request that bears an Authorization, on a route that does not tell users apart (RFC 9111 §3.5). */
export function isUnkeyedAuthorized(request: CacheableRequest, policy: RoutePolicy): boolean {
  return !policy.hasUser && request.header('authorization') !== undefined
}

/** Whether a stored response may answer this request. */
export function mayAnswer(response: StoredResponse, request: CacheableRequest, policy: RoutePolicy): boolean {
  return response.isPublic || !isUnkeyedAuthorized(request, policy)
}

/** The client asks for a fresh response (RFC 9111 §5.2.1.4, §5.4). */
export function wantsRefresh(request: CacheableRequest): boolean {
  const field = request.header('cache-control') ?? request.header('pragma')
  return field !== undefined && parseCacheControl(field).has('no-cache')
}

/** Why the response to a request may not be stored; undefined if it may. `before`: header fields from before the handler. */
export function refusalReason(
  request: CacheableRequest,
  response: ResponseHead,
  { policy, before }: { readonly policy: RoutePolicy; readonly before: Headers },
): string | undefined {
  const { status, headers } = response
  if (request.method !== 'GET' || request.header('range') !== undefined) return 'partial'
  if (!policy.statuses.has(status) || status === 206 || status === 304 || status >= 500) return `status-${status}`
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  const directives = directivesOf(headers)
  const forbidding = ['no-store', 'private', 'no-cache'].find((name) => directives.has(name))
  if (forbidding !== undefined) return forbidding
  const vary = named(headers.vary).filter((name) => !named(before.vary).includes(name))
  if (vary.includes('*') || vary.some((name) => !isKeyed(name, policy))) return 'vary'
  const encoding = lineOf(headers['content-encoding'])
  if (encoding !== undefined && encoding !== 'identity' && !policy.vary.includes('accept-encoding')) return 'encoding'
  if (isUnkeyedAuthorized(request, policy) && !isPublic(headers)) return 'authorization'
  if (lifetimeMs(response, policy.windows.ttlMs, Date.now()) <= 0) return 'stale'
  return undefined
}

/** Milliseconds a response is fresh: the route's ttl, or less if the response says so, minus the age it came with. */
export function lifetimeMs(response: ResponseHead, ttlMs: number, now: number): number {
  const { headers } = response
  const directives = directivesOf(headers)
  const seconds = deltaSeconds(directives, 's-maxage') ?? deltaSeconds(directives, 'max-age')
  const allowed = seconds === undefined ? expiresIn(headers, now) : seconds * 1000
  if (allowed === undefined) return ttlMs
  const age = Number(lineOf(headers.age) ?? 0)
  return Math.min(ttlMs, allowed - (Number.isFinite(age) ? age * 1000 : Infinity))
}

/** A stale copy may stand in for a failed load, unless the response forbade it (RFC 9111 §5.2.2.2, §5.2.2.8). */
export function mayServeStale(headers: Headers): boolean {
  const directives = directivesOf(headers)
  return !['must-revalidate', 'proxy-revalidate', 's-maxage'].some((name) => directives.has(name))
}

/** The response says that it may answer authorized requests (RFC 9111 §3.5). */
export function isPublic(headers: Headers): boolean {
  const directives = directivesOf(headers)
  return ['public', 's-maxage', 'must-revalidate'].some((name) => directives.has(name))
}

function directivesOf(headers: Headers): Directives {
  return parseCacheControl(lineOf(headers['cache-control']) ?? '')
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
