/** What a harvest of answers says: how late they were, and when there were hits again. */
import type { Sample } from './generator.ts'

export interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export function latencyOf(samples: readonly Sample[]): Latency {
  const sorted = samples.map(([, latencyMs]) => latencyMs).toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) ?? NaN }
}

export function hitRateOf(samples: readonly Sample[]): number {
  return samples.length === 0 ? 0 : samples.filter(([, , isHit]) => isHit === 1).length / samples.length
}

/** Hits are counted in steps of so long. */
const STEP_MS = 250

/**
 * How long after `since` the hit rate was `rate` again, and stayed so: the end of the first step from which on it is.
 * Infinity: never.
 */
export function backAfterMs(samples: readonly Sample[], since: number, rate: number): number {
  const steps: Sample[][] = []
  for (const sample of samples) {
    const step = Math.floor((sample[0] - since) / STEP_MS)
    if (step >= 0) (steps[step] ??= []).push(sample)
  }
  const isLow = (step: readonly Sample[] | undefined): boolean => step !== undefined && hitRateOf(step) < rate
  const last = Array.from(steps).findLastIndex(isLow)
  return last + 1 >= steps.length ? Infinity : (last + 1) * STEP_MS
}
