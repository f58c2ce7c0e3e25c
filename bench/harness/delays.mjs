/** How long answers take, and how long the event loop keeps others waiting. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Latencies are counted in steps of 10 µs, up to a second. */
const STEP_MS = 0.01
const STEPS = 100_000
/** How often the monitor of the event loop looks at the clock. */
export const LOOP_STEP_MS = 1

export class Latencies {
  #counts = new Uint32Array(STEPS)
  #count = 0
  #maxMs = 0

  record(ms) {
    this.#count++
    if (ms > this.#maxMs) this.#maxMs = ms
    this.#counts[Math.min(STEPS - 1, Math.floor(ms / STEP_MS))]++
  }

  get count() {
    return this.#count
  }

  outcome() {
    if (this.#count === 0) return {}
    return { p50Ms: this.#percentile(0.5), p99Ms: this.#percentile(0.99), maxMs: this.#maxMs }
  }

  #percentile(share) {
    let left = this.#count * share
    const step = this.#counts.findIndex((count) => (left -= count) <= 0)
    return (step + 1) * STEP_MS
  }
}

/** How late a timer of this process fires, from now on; `outcome` ends it. */
export class LoopDelay {
  #histogram = monitorEventLoopDelay({ resolution: LOOP_STEP_MS })

  constructor() {
    this.#histogram.enable()
  }

  outcome() {
    this.#histogram.disable()
    const late = (nanos) => Math.max(0, nanos / 1e6 - LOOP_STEP_MS)
    // Nothing was seen: the loop was not once around, or there was no time.
    if (this.#histogram.count === 0) return {}
    return { loopP99Ms: late(this.#histogram.percentile(99)), loopMaxMs: late(this.#histogram.max) }
  }
}

/** What contestants that know of these times put into their results. */
export const DELAYS = ['p50Ms', 'p99Ms', 'loopP99Ms', 'loopMaxMs']
