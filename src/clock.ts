/** Time as a seam: the library asks a clock, tests inject one they control. */

/** Tells the time of day. It decides freshness only; whether an entry is *valid* is decided by stamps of the store. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /**
   * Milliseconds since whenever, of a clock that is never set: in memory leases and holds go by it. Default: `now`.
   *
   * @example
   * createCache({ clock: { now: () => Date.now(), passed: () => performance.now() } })
   */
  passed?(): number
}

/** The clock of this machine. */
export const systemClock: Clock = { now: () => Date.now(), passed: () => performance.now() }
