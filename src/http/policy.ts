/** Whether a request may be answered from the cache, and a response stored: the handler may restrict, never widen. */
import { controlOf, parseCacheControl, type Control } from './cache-control.ts'
import { contentDigest, hasBody } from './content.ts'
import { hasValidator, isBeyondGuessing, isPublic, lifetimeOf, type Arrival, type ResponseHead } from './freshness.ts'
import { lineOf, named } from './headers.ts'
import type { CacheableRequest, Headers } from './message.ts'
import { mayStatusBeStored, type RoutePolicy } from './route-policy.ts'

/** Why a request passes by the cache; undefined if it does not. */
export function bypassReason(request: CacheableRequest, policy: RoutePolicy): string | undefined {
  if (!policy.methods.has(request.method)) return 'method'
  if (policy.hosts !== undefined && !isOneOf(policy.hosts, request.host.toLowerCase())) return 'host'
  if (request.method === 'QUERY') return contentDigest(request) === undefined ? 'request-body' : undefined
  // Its meaning is not defined (RFC 9110 §9.3.1), and the key does not know it.
  return hasBody(request) ? 'request-body' : undefined
}

/** A host that is named without a port is the same on every port. */
function isOneOf(hosts: readonly string[], host: string): boolean {
  return hosts.includes(host) || hosts.includes(host.replace(/:\d*$/, ''))
}

/** A request that bears an Authorization and is, as far as the key knows, nobody's (RFC 9111 §3.5). */
export function isUnkeyedAuthorized(
  request: CacheableRequest,
  { isAuthShared }: Pick<RoutePolicy, 'isAuthShared'>,
): boolean {
  return !isAuthShared && request.header('authorization') !== undefined && request.user === undefined
}

/** The client asks for a fresh response (RFC 9111 §5.2.1.4, §5.4). */
export function wantsRefresh(request: CacheableRequest): boolean {
  const field = request.header('cache-control') ?? request.header('pragma')
  return field !== undefined && parseCacheControl(field).has('no-cache')
}

/** What of a request, and of the time before its handler, decides whether the response may be stored. */
export interface Circumstances extends Arrival {
  readonly policy: RoutePolicy
  /** The request bore an Authorization that the key does not know. */
  readonly isAuthorized: boolean
  /** The header fields that were there before the handler. */
  readonly before: Headers
}

/** Statuses that a cache of this kind understands in full: it may go by `must-understand` alone (RFC 9111 §5.2.2.3). */
const UNDERSTOOD: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414])

/** More fields than this in a Vary, and hardly two requests are alike. */
const MAX_VARYING = 8

/** Why a response may not be stored, as far as its head tells; undefined if it may. */
export function refusalReason(response: ResponseHead, circumstances: Circumstances): string | undefined {
  const { policy, isAuthorized, before } = circumstances
  const { status, headers } = response
  const control = controlOf(headers, policy.heedsCdn)
  if (!isStatusStored(status, policy)) return `status-${status}`
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  const forbidding = forbiddingWord(status, control, policy)
  if (forbidding !== undefined) return forbidding
  const vary = varyingNames(headers, before)
  if (vary.includes('*') || !isKeyable(vary, policy)) return 'vary'
  const encoding = lineOf(headers['content-encoding'])
  const isEncoded = encoding !== undefined && encoding !== 'identity' && policy.kind === 'route'
  if (isEncoded && !policy.vary.includes('accept-encoding')) return 'encoding'
  if (isAuthorized && !isPublic(control)) return 'authorization'
  return isOfUse(response, control, circumstances) ? undefined : 'stale'
}

/** The request header fields that a response says it depends on; CORS from before the handler is made anew each time. */
export function varyingNames(headers: Headers, before: Headers): readonly string[] {
  const isAnew = named(before.vary).includes('origin')
  return named(headers.vary).filter((name) => !(name === 'origin' && isAnew))
}

function isStatusStored(status: number, { statuses }: RoutePolicy): boolean {
  if (!mayStatusBeStored(status)) return false
  return statuses === undefined || statuses.has(status)
}

function forbiddingWord(
  status: number,
  { directives, forbidding }: Control,
  { kind }: RoutePolicy,
): string | undefined {
  if (kind === 'route') return forbidding
  const isUnderstood = UNDERSTOOD.has(status)
  if (directives.has('must-understand') && !isUnderstood) return 'must-understand'
  if (forbidding === 'no-store') return directives.has('must-understand') ? undefined : forbidding
  // It is stored, and confirmed each time before it is used (RFC 9111 §5.2.2.4); unless the field does not parse.
  return forbidding === 'no-cache' && directives.has('no-cache') ? undefined : forbidding
}

function isKeyable(vary: readonly string[], policy: RoutePolicy): boolean {
  if (policy.kind === 'rfc9111') return vary.length <= MAX_VARYING
  return vary.every((name) => {
    // Responses are stored as the handler made them, before anything encodes them.
    return name === 'accept-encoding' || policy.vary.includes(name) || (name === 'authorization' && policy.hasUser)
  })
}

/** It is fresh, or may be sent stale, or can be confirmed. */
function isOfUse(response: ResponseHead, control: Control, circumstances: Circumstances): boolean {
  const { policy, now } = circumstances
  const { ttlMs, swrMs, graceMs } = lifetimeOf(response, control, circumstances).windows
  if (policy.kind === 'route') return ttlMs > 0
  // A status that nobody may guess a lifetime for is not stored without one (RFC 9111 §3).
  if (isBeyondGuessing(response, control, now)) return false
  return ttlMs + swrMs + graceMs > 0 || hasValidator(response.headers)
}
