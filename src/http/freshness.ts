/**
 * How long a response may be used: its age when it came (RFC 9111 §4.2.3), how long it is fresh (§4.2.1, §4.2.2), and how
 * long after that (§4.2.4, RFC 5861).
 *
 * `policy: 'route'` begins with the route's options, which a response may shorten; `'rfc9111'` goes by the response alone.
 */
import type { Windows } from '../entry.ts'
import { deltaSeconds, withheldNames, type Control } from './cache-control.ts'
import { lineOf } from './headers.ts'
import { parseHttpDate } from './http-date.ts'
import type { Headers } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'

/** A response before its body is known in full. */
export interface ResponseHead {
  readonly status: number
  readonly headers: Headers
}

/** When a response came, in milliseconds. */
export interface Arrival {
  /** Its body has come, too. */
  readonly now: number
  /** Its head had come. Default: now. */
  readonly receivedAt?: number
  /** How long its handler had taken to make the head. Default: no time. */
  readonly delayMs?: number
}

export interface Lifetime {
  /** Whole seconds old by now. */
  readonly age: number
  readonly windows: Windows
  /** It may not be sent past its ttl unless the handler has confirmed it. */
  readonly mustValidate: boolean
}

/** Statuses that may be fresh though nobody said for how long (RFC 9110 §15.1), of those that are stored at all. */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414])

/** A tenth of the time since it was changed (RFC 9111 §4.2.2), but no longer than a day. */
const HEURISTIC_SHARE = 0.1
const HEURISTIC_MAX_MS = 86_400_000

/** So long a response that has expired is kept to be confirmed by its validators. */
const KEPT_TO_VALIDATE_MS = 3_600_000

/** Any of these forbids a cache to send what is stale (RFC 9111 §4.2.4, §5.2.2.10). */
const VALIDATING = ['must-revalidate', 'proxy-revalidate', 's-maxage', 'no-cache'] as const

export function lifetimeOf(
  head: ResponseHead,
  control: Control,
  { policy, ...arrival }: Arrival & { readonly policy: RoutePolicy },
): Lifetime {
  const { directives } = control
  const mustValidate = VALIDATING.some((name) => directives.has(name))
  const { swrMs, graceMs } = mustValidate ? { swrMs: 0, graceMs: 0 } : staleWindows(control, policy)
  if (policy.kind === 'route') {
    const freshMs = Math.min(policy.windows.ttlMs, explicitMs(head.headers, control, arrival.now) ?? Infinity)
    const age = declaredAge(head.headers)
    return { age, mustValidate, windows: { ttlMs: freshMs - age * 1000, swrMs, graceMs } }
  }
  const { receivedAt = arrival.now } = arrival
  const ageMs = correctedAgeMs(head.headers, arrival)
  // What is left of it is what may be too long to be kept here.
  const ttlMs = Math.min(policy.windows.ttlMs, rfcFreshMs(head, control, receivedAt) - ageMs)
  return { age: Math.floor(ageMs / 1000), mustValidate, windows: { ttlMs, swrMs, graceMs } }
}

/** The windows that an entry is kept for: what can be confirmed is of use after it may no longer be sent. */
export function keptWindows({ windows }: Lifetime, canBeConfirmed: boolean, policy: RoutePolicy): Windows {
  if (policy.kind === 'route' || !canBeConfirmed) return windows
  const { ttlMs, swrMs, graceMs } = windows
  const keptMs = Math.min(KEPT_TO_VALIDATE_MS, policy.windows.ttlMs)
  // From now on if it came stale, else from when it will be.
  return { ttlMs, swrMs, graceMs: Math.max(graceMs, keptMs - Math.min(0, ttlMs) - swrMs) }
}

/** Whether whoever made it can be asked if it is still right. */
export function hasValidator(headers: Headers, hasOwnTag = false): boolean {
  return (headers.etag !== undefined && !hasOwnTag) || headers['last-modified'] !== undefined
}

/** Whether nobody said how long it is fresh, and its status does not let a cache guess. */
export function isBeyondGuessing({ status, headers }: ResponseHead, control: Control, now: number): boolean {
  return explicitMs(headers, control, now) === undefined && !mayGuess(status, control)
}

function mayGuess(status: number, { directives }: Control): boolean {
  return HEURISTIC_STATUSES.has(status) || directives.has('public')
}

/** Under `'rfc9111'` the origin's word counts where it gives one (RFC 5861), else the route's. */
function staleWindows({ directives }: Control, { kind, windows }: RoutePolicy): Pick<Windows, 'swrMs' | 'graceMs'> {
  if (kind === 'route') return windows
  const swr = deltaSeconds(directives, 'stale-while-revalidate')
  const grace = deltaSeconds(directives, 'stale-if-error')
  const swrMs = swr === undefined ? windows.swrMs : Math.min(swr * 1000, windows.ttlMs)
  if (grace === undefined) return { swrMs, graceMs: windows.graceMs }
  // Both of the origin's words count from the end of its freshness; ours begins where refreshing ends.
  return { swrMs, graceMs: Math.max(0, Math.min(grace * 1000, windows.ttlMs) - swrMs) }
}

function rfcFreshMs(head: ResponseHead, control: Control, now: number): number {
  const explicit = explicitMs(head.headers, control, now)
  if (explicit !== undefined) return explicit
  if (!mayGuess(head.status, control)) return 0
  const modifiedAt = dateIn(head.headers, 'last-modified')
  const dateAt = dateIn(head.headers, 'date') ?? now
  if (modifiedAt === undefined) return 0
  return Math.min(Math.max(0, (dateAt - modifiedAt) * HEURISTIC_SHARE), HEURISTIC_MAX_MS)
}

/** Milliseconds that the response itself names; undefined if it names none. `no-cache` is: never without asking. */
function explicitMs(headers: Headers, control: Control, now: number): number | undefined {
  const { directives, isTargeted } = control
  if (directives.has('no-cache') && withheldNames(control).length === 0) return 0
  const seconds = deltaSeconds(directives, 's-maxage') ?? deltaSeconds(directives, 'max-age')
  if (seconds !== undefined) return seconds * 1000
  if (isTargeted || headers.expires === undefined) return undefined
  // One that is no date is in the past (RFC 9111 §5.3).
  const expiresAt = dateIn(headers, 'expires')
  return expiresAt === undefined ? 0 : expiresAt - (dateIn(headers, 'date') ?? now)
}

/** The age that a response came with; under `'route'` one that is no number is beyond all bounds. */
function declaredAge(headers: Headers): number {
  const age = lineOf(headers.age)
  if (age === undefined) return 0
  return /^\d+$/.test(age) ? Number(age) : Infinity
}

/**
 * How old a response is by now (RFC 9111 §4.2.3): what Date or Age say of when its head came, whichever is more, and the
 * time since. Of a list of Ages the first counts, and none that is no number (§5.1).
 */
function correctedAgeMs(headers: Headers, { now, receivedAt = now, delayMs = 0 }: Arrival): number {
  const first = lineOf(headers.age)?.split(',', 1)[0]!.trim() ?? ''
  const declaredMs = /^\d+$/.test(first) ? Math.min(Number(first), 2 ** 31) * 1000 : 0
  const apparentMs = Math.max(0, receivedAt - (dateIn(headers, 'date') ?? receivedAt))
  return Math.max(declaredMs + delayMs, apparentMs) + now - receivedAt
}

function dateIn(headers: Headers, name: string): number | undefined {
  const field = lineOf(headers[name])
  return field === undefined ? undefined : parseHttpDate(field)
}

/** The response says that it may answer authorized requests (RFC 9111 §3.5). */
export function isPublic({ directives }: Control): boolean {
  // What is glued to something else gives nobody anything.
  return directives.get('public') === true || directives.get('must-revalidate') === true || directives.has('s-maxage')
}
