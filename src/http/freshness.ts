/**
 * How long a response may be used: its age when it came (RFC 9111 §4.2.3), how long it is fresh (§4.2.1, §4.2.2), and how
 * long after that (§4.2.4, RFC 5861).
 *
 * `policy: 'route'` begins with the route's options, which a response may shorten; `'rfc9111'` goes by the response alone.
 */
import type { Windows } from '../entry.ts'
import { deltaSeconds, type Control } from './cache-control.ts'
import { lineOf } from './headers.ts'
import { parseHttpDate } from './http-date.ts'
import type { Headers } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'

/** A response before its body is known in full. */
export interface ResponseHead {
  readonly status: number
  readonly headers: Headers
}

export interface Lifetime {
  /** Seconds old when it came. */
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
  { policy, now }: { policy: RoutePolicy; now: number },
): Lifetime {
  const mustValidate = VALIDATING.some((name) => control.directives.has(name))
  const isRoute = policy.kind === 'route'
  const age = isRoute ? declaredAge(head.headers) : correctedAge(head.headers, now)
  const freshMs = isRoute
    ? Math.min(policy.windows.ttlMs, explicitMs(head.headers, control, now) ?? Infinity)
    : Math.min(policy.windows.ttlMs, rfcFreshMs(head, control, now))
  const { swrMs, graceMs } = mustValidate ? { swrMs: 0, graceMs: 0 } : staleWindows(control, policy)
  return { age, mustValidate, windows: { ttlMs: freshMs - age * 1000, swrMs, graceMs } }
}

/** The windows that an entry is kept for: what can be confirmed is of use after it may no longer be sent. */
export function keptWindows({ windows }: Lifetime, canBeConfirmed: boolean, policy: RoutePolicy): Windows {
  if (policy.kind === 'route' || !canBeConfirmed) return windows
  return { ...windows, graceMs: Math.max(windows.graceMs, KEPT_TO_VALIDATE_MS) }
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
  return {
    swrMs: swr === undefined ? windows.swrMs : Math.min(swr * 1000, windows.ttlMs),
    graceMs: grace === undefined ? windows.graceMs : Math.min(grace * 1000, windows.ttlMs),
  }
}

function rfcFreshMs(head: ResponseHead, control: Control, now: number): number {
  const explicit = explicitMs(head.headers, control, now)
  if (explicit !== undefined) return explicit
  if (control.directives.has('no-cache') || !mayGuess(head.status, control)) return 0
  const modifiedAt = dateIn(head.headers, 'last-modified')
  const dateAt = dateIn(head.headers, 'date') ?? now
  if (modifiedAt === undefined) return 0
  return Math.min(Math.max(0, (dateAt - modifiedAt) * HEURISTIC_SHARE), HEURISTIC_MAX_MS)
}

/** Milliseconds that the response itself names; undefined if it names none. `no-cache` is: never without asking. */
function explicitMs(headers: Headers, { directives, isTargeted }: Control, now: number): number | undefined {
  if (directives.get('no-cache') === true) return 0
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

/** The greater of what Age and what Date say (RFC 9111 §4.2.3); of a list the first, and none that is no number (§5.1). */
function correctedAge(headers: Headers, now: number): number {
  const first = lineOf(headers.age)?.split(',', 1)[0]!.trim() ?? ''
  const declared = /^\d+$/.test(first) ? Math.min(Number(first), 2 ** 31) : 0
  const dateAt = dateIn(headers, 'date')
  const apparent = dateAt === undefined ? 0 : Math.max(0, Math.floor((now - dateAt) / 1000))
  return Math.max(declared, apparent)
}

function dateIn(headers: Headers, name: string): number | undefined {
  const field = lineOf(headers[name])
  return field === undefined ? undefined : parseHttpDate(field)
}

/** The response says that it may answer authorized requests (RFC 9111 §3.5). */
export function isPublic({ directives }: Control): boolean {
  return ['public', 's-maxage', 'must-revalidate'].some((name) => directives.has(name))
}
