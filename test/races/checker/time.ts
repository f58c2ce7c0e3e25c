/** One clock for all processes of a run: CLOCK_MONOTONIC, which no process has for itself. */

/** In milliseconds, to the microsecond. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
