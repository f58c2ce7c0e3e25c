/** What the parent and its processes tell each other. Times are those of time.ts. */

import type { Place } from './site.ts'

/** How a phase of a run is set up. */
export interface Conditions {
  readonly name: string
  /** Memory in front of Redis. */
  readonly hasMemory: boolean
  readonly leaseMs: number
  readonly waitMs: number
  /** Up to how many bytes a value has. */
  readonly valueBytes: number
}

export interface ProcessSetup {
  readonly process: number
  /** Counts the lives of a process that is killed and started again. */
  readonly life: number
  readonly processes: number
  readonly seed: number
  readonly conditions: Conditions
  readonly redisUrl: string
  readonly subscriberUrl: string
  /** Where Redis is, if it is more than one server. */
  readonly redis?: Place
  readonly keyPrefix: string
  readonly truthPath: string
  /** The module of the contestant. */
  readonly contestantUrl: string
}

/** A load as its process saw it. */
export interface LoadRecord {
  readonly process: number
  readonly key: number
  /** When the call was made whose loader ran. */
  readonly askedAt: number
  readonly begunAt: number
  readonly endedAt: number
  /** It took the right to load by force. */
  readonly isForced: boolean
  /** Everybody had stopped to wait for it. */
  readonly isAbandoned: boolean
}

/** An invalidation, from the call until it was known to be done. */
export interface InvalidationRecord {
  readonly kind: string
  readonly keys: readonly number[]
  readonly from: number
  readonly to: number
}

/** A time in which a process, or its Redis, was not well. */
export interface TroubleRecord {
  readonly kind: 'fault' | 'lag'
  /** Undefined: everybody's, through the parent. */
  readonly process: number | undefined
  readonly from: number
  readonly to: number
}

export interface Violation {
  readonly kind: 'stale' | 'non-monotonic' | 'concurrent' | 'endless'
  readonly process: number
  readonly key: string
  /** How it was read. */
  readonly by: string
  readonly version: number
  readonly least: number
  readonly at: number
  readonly detail: string
}

export const NO_COUNTS = {
  reads: 0,
  loads: 0,
  hits: 0,
  fills: 0,
  fences: 0,
  rejectedReads: 0,
  rejectedInvalidations: 0,
  lateDeliveries: 0,
  /** Taken from a load that nobody could confirm, as documented: Redis was out of reach. */
  unconfirmed: 0,
  staleReads: 0,
  nonMonotonic: 0,
  /** The oldest that a read from memory was, in milliseconds since it was invalidated. */
  worstAgeMs: 0,
}

export type Counts = typeof NO_COUNTS

export interface Batch {
  readonly loads: readonly LoadRecord[]
  readonly invalidations: readonly InvalidationRecord[]
  readonly troubles: readonly TroubleRecord[]
  readonly violations: readonly Violation[]
  readonly counts: Counts
}

export type FromProcess =
  | { readonly kind: 'up' | 'done' }
  | { readonly kind: 'batch'; readonly batch: Batch }
  | { readonly kind: 'failed'; readonly error: string }

export type ToProcess = 'begin' | 'clear' | 'finish'

/** How long a command may take: short, so that faults are over soon. */
export const COMMAND_TIMEOUT_MS = 300

/** How long memory may lag: short, so that not much else has happened to an entry when it is too old. */
export const MAX_STALENESS_MS = 100

/** Who does not run for this share of a lease may lose it. */
export const LAG_SHARE = 0.25
export const LAG_EVERY_MS = 15
