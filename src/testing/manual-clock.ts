/** A clock that stands still until a test moves it. */
import type { Clock } from '../clock.ts'
import { toMs, type Duration } from '../duration.ts'

/**
 * A clock for tests of what happens when time passes: no waiting, and the same result each time. Pass it as `clock`.
 *
 * @example
 * const clock = new ManualClock()
 * const cache = createCache({ redis: false, clock })
 * await cache.set('a', 1, { ttl: '5m' })
 * clock.advance('5m')
 * await cache.get('a') // undefined
 */
export class ManualClock implements Clock {
  #now: number

  /** @param startAt what it shows at first, in milliseconds since the epoch; the beginning of 2026 by default */
  constructor(startAt: number = Date.UTC(2026, 0, 1)) {
    this.#now = startAt
  }

  now(): number {
    return this.#now
  }

  /**
   * Moves it forward. A bare number is seconds.
   *
   * @throws {CacheConfigurationError} for anything but a duration above zero
   */
  advance(duration: Duration): void {
    this.#now += toMs(duration, 'advance')
  }
}
