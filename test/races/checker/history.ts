/**
 * The loads of a phase, held against the promise that at most one load of a key runs at a time, over all processes.
 *
 * Two that overlap want a reason: between the call whose loader ran first and the beginning of the second the key was
 * invalidated, or its lease was taken by force, or whoever held it was out of order. What has none is a violation.
 */
import type { ChaosEvent } from './chaos.ts'
import type { Key } from './keys.ts'
import type { Batch, Conditions, InvalidationRecord, LoadRecord, TroubleRecord, Violation } from './messages.ts'

/** A connection that was lost is made anew, and a lease that could not be renewed has ended, within it. */
const AFTERMATH_MS = 1500
/** What a process had done last, and could not tell any more. */
const UNTOLD_MS = 500
const LAST_LOOK_MS = 100
const SHORT_LEASE_MS = 300

export interface Overlaps {
  readonly explained: number
  readonly unexplained: readonly Violation[]
}

export class History {
  readonly #loads: LoadRecord[] = []
  readonly #invalidations: InvalidationRecord[] = []
  readonly #troubles: TroubleRecord[] = []

  add({ loads, invalidations, troubles }: Pick<Batch, 'loads' | 'invalidations' | 'troubles'>): void {
    this.#loads.push(...loads)
    this.#invalidations.push(...invalidations)
    this.#troubles.push(...troubles)
  }

  /** How many invalidations there were of each kind. */
  kinds(): Readonly<Record<string, number>> {
    const kinds: Record<string, number> = {}
    for (const { kind } of this.#invalidations) kinds[kind] = (kinds[kind] ?? 0) + 1
    return kinds
  }

  overlaps(keys: readonly Key[], conditions: Conditions, chaos: readonly ChaosEvent[]): Overlaps {
    const unexplained: Violation[] = []
    let explained = 0
    for (const key of keys) {
      const loads = this.#loads.filter((load) => load.key === key.index).toSorted((a, b) => a.begunAt - b.begunAt)
      const takeovers = this.#takeoversOf(key.index, loads)
      for (const [first, second] of overlapping(loads)) {
        const isExplained =
          isExcused(first, second, conditions) ||
          takeovers.some((one) => isBetween(one, first, second)) ||
          this.#isInTrouble(first, second, chaos)
        if (isExplained) explained++
        else unexplained.push(violation(key, first, second))
      }
    }
    return { explained, unexplained }
  }

  /** When a lease of the key was, or may have been, taken away. */
  #takeoversOf(key: number, loads: readonly LoadRecord[]): readonly Span[] {
    const forced = loads.filter(({ isForced }) => isForced)
    return [
      ...this.#invalidations.filter(({ keys }) => keys.includes(key)),
      ...forced.map(({ askedAt, begunAt }) => ({ from: askedAt, to: begunAt })),
    ]
  }

  #isInTrouble(first: LoadRecord, second: LoadRecord, chaos: readonly ChaosEvent[]): boolean {
    // What begins a new epoch is everybody's affair, and so is then whoever connects anew: its greeting may begin another.
    const isShared = chaos.some(({ process, kind }) => process === undefined && kind !== 'kill messages')
    const concerns = (process: number | undefined): boolean =>
      isShared || process === undefined || process === first.process || process === second.process
    const happened = [...chaos, ...this.#troubles]
    return happened.some(({ process, from, to, kind }) => {
      const span = { from: kind === 'crash' || kind === 'reborn' ? from - UNTOLD_MS : from, to: to + AFTERMATH_MS }
      return concerns(process) && isBetween(span, first, second)
    })
  }
}

interface Span {
  readonly from: number
  readonly to: number
}

/** Each load with those that began while it ran. */
function* overlapping(loads: readonly LoadRecord[]): Iterable<readonly [LoadRecord, LoadRecord]> {
  for (const [i, first] of loads.entries()) {
    for (let j = i + 1; j < loads.length && loads[j]!.begunAt < first.endedAt; j++) yield [first, loads[j]!]
  }
}

/** What the loads themselves say. */
function isExcused(first: LoadRecord, second: LoadRecord, { waitMs, leaseMs }: Conditions): boolean {
  // Whoever waits looks again after at most 100 ms, and not when it would then be too late.
  const patienceMs = waitMs - Math.min(LAST_LOOK_MS, 0.8 * waitMs)
  const hasWaitedOut = ({ askedAt, begunAt }: LoadRecord): boolean => begunAt - askedAt >= patienceMs
  if ([first, second].some((load) => load.isForced || load.isAbandoned || hasWaitedOut(load))) return true
  // So short a lease is lost as soon as one renewal is late.
  return leaseMs < SHORT_LEASE_MS && second.begunAt - first.askedAt > leaseMs / 2
}

/** Did it happen between the first call and the beginning of the second load? */
function isBetween({ from, to }: Span, first: LoadRecord, second: LoadRecord): boolean {
  return from <= second.begunAt && to >= Math.min(first.askedAt, second.askedAt)
}

function violation({ name }: Key, first: LoadRecord, second: LoadRecord): Violation {
  const since = (at: number): string => (at - first.askedAt).toFixed(1)
  const detail =
    `process ${first.process} loaded from ${since(first.begunAt)} to ${since(first.endedAt)} ms after it was asked, ` +
    `process ${second.process} (asked at ${since(second.askedAt)}) from ${since(second.begunAt)} to ${since(second.endedAt)}`
  const facts = { process: second.process, key: name, by: 'load', version: 0, least: 0, at: second.begunAt }
  return { kind: 'concurrent', ...facts, detail }
}
