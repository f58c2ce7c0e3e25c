/** The operator's word: what a route wants of the cache, checked once when the route is registered. */
import type { Windows } from '../entry.ts'

export interface RoutePolicy {
  /** `'route'`: the options decide, a response may restrict. `'rfc9111'`: the response decides, as in a reverse proxy. */
  readonly kind: 'route' | 'rfc9111'
  /** The route as it was registered, `/items/:id`. */
  readonly pattern: string
  readonly namespace: string
  /** Under `'rfc9111'` its ttl is only the longest there may be. */
  readonly windows: Windows
  /** After so long a stale response stands in for a handler that has not answered yet; undefined: never. */
  readonly softTimeoutMs: number | undefined
  /** The name is made from the request and stands for path and query too. */
  readonly isNameComplete: boolean
  /** Query parameters that tell responses apart; undefined: all. */
  readonly query: readonly string[] | undefined
  /** Request headers that tell responses apart, in lower case. */
  readonly vary: readonly string[]
  /** Responses belong to users. */
  readonly hasUser: boolean
  /** Responses do not depend on Authorization. */
  readonly isAuthShared: boolean
  /** Hosts that are answered from the cache, in lower case, with or without a port; undefined: all. */
  readonly hosts: readonly string[] | undefined
  readonly methods: ReadonlySet<string>
  /** Undefined: all that the policy may store. */
  readonly statuses: ReadonlySet<number> | undefined
  readonly maxBodyBytes: number
  /** CDN-Cache-Control counts, too (RFC 9213). */
  readonly heedsCdn: boolean
}

/** Statuses whose meaning lasts (RFC 9110 §15.1, without 206 and those that a cache must understand first). */
export const DEFAULT_STATUSES: readonly number[] = [200, 203, 204, 301, 308, 404, 410]
export const DEFAULT_MAX_BODY_BYTES: number = 1024 * 1024

/**
 * Parts and confirmations are no responses of their own here (206, 304), a failure is over before long (5xx), and what
 * one client is told of its own requests is nobody else's (428, 429 and 431: RFC 6585 §3, §4 and §5 forbid to store them).
 */
const NEVER_STORED: ReadonlySet<number> = new Set([206, 304, 428, 429, 431])

/** Whether responses with this status may be stored, if anybody says so. */
export function mayStatusBeStored(status: number): boolean {
  return status >= 200 && status < 500 && !NEVER_STORED.has(status)
}
