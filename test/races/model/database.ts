/**
 * What the caches stand in front of, and the judge of every read: a version for each key, raised by each write, and who
 * has been told that which version is the least anybody may be handed.
 */
import type { Invalidation } from './program.ts'

/** What is cached: which version, and which load or set brought it. */
export interface Cached {
  readonly version: number
  readonly by: string
}

/** Whether a process has heard, by now, all that was said until a certain moment. */
export type HasHeard = (process: string) => boolean

/** An invalidation that has resolved, or was rejected and is known to its own process. */
interface Resolved {
  readonly versions: ReadonlyMap<string, number>
  readonly mode: Invalidation
  readonly by: string
  readonly beganAt: number
  readonly at: number
  readonly isRejected: boolean
  /** For each process whether it has heard all that was said until it resolved. */
  readonly hasHeard: HasHeard
}

interface Stored {
  readonly version: number
  /** When its set had resolved; until then it may win over any invalidation. */
  settledAt: number
}

/** A read that has begun. */
export interface Reading {
  readonly key: string
  readonly process: string
  /** What it must be handed at least, and why. */
  readonly least: number
  readonly because: Resolved | undefined
}

export interface Reader {
  readonly process: string
  /** How long its memory may lag behind; 0 without one. */
  readonly maxStalenessMs: number
  /** It takes stale copies, which a soft invalidation leaves. */
  readonly takesStale: boolean
}

export class Database {
  readonly #versions = new Map<string, number>()
  readonly #resolved: Resolved[] = []
  readonly #sets = new Map<string, Stored>()
  readonly #now: () => number
  /** Counts what happens: moments, even where no time passes. */
  #moments = 0

  constructor(now: () => number) {
    this.#now = now
  }

  version(key: string): number {
    return this.#versions.get(key) ?? 1
  }

  /** A transaction that changes `keys`; what it returns is to be called when their invalidation has settled. */
  write(keys: readonly string[], mode: Invalidation, by: string): (isRejected: boolean, hasHeard: HasHeard) => void {
    for (const key of keys) this.#versions.set(key, this.version(key) + 1)
    const versions = new Map(keys.map((key) => [key, this.version(key)]))
    const beganAt = ++this.#moments
    return (isRejected, hasHeard) =>
      void this.#resolved.push({ versions, mode, by, beganAt, at: this.#now(), isRejected, hasHeard })
  }

  /** A `set` of what the database holds now. */
  beginSet(key: string, by: string): Cached {
    const version = this.version(key)
    this.#sets.set(by, { version, settledAt: Infinity })
    return { version, by }
  }

  /** Rejected, it may still be carried out at any time. */
  endSet(by: string, isRejected: boolean): void {
    if (!isRejected) this.#sets.get(by)!.settledAt = ++this.#moments
  }

  beginRead(key: string, reader: Reader): Reading {
    let least = 0
    let because: Resolved | undefined
    for (const one of this.#resolved) {
      const version = one.versions.get(key) ?? 0
      if (version <= least || !this.#binds(one, reader)) continue
      least = version
      because = one
    }
    return { key, process: reader.process, least, because }
  }

  /**
   * What is wrong with what a read was handed, if anything is.
   *
   * @param isCutOff its process could not reach Redis meanwhile: it shares loads of its own that nobody confirms
   */
  fault(reading: Reading, handed: Cached | undefined, isCutOff: boolean): string | undefined {
    const { key, process, least, because } = reading
    if (handed === undefined || because === undefined || handed.version >= least) return undefined
    if (isCutOff && handed.by.startsWith(process) && !because.by.startsWith(process)) return undefined
    // A set that was not done when the invalidation began wins by definition.
    const stored = this.#sets.get(handed.by)
    if (stored !== undefined && stored.settledAt > because.beganAt) return undefined
    const outcome = because.isRejected ? 'had been rejected, in that very process,' : 'had resolved'
    return `${process} was handed version ${handed.version} of ${key} (from ${handed.by}), although ${because.by} for version ${least} ${outcome} before the read began`
  }

  /**
   * Memory may lag behind for a while, but only as long as it has not heard; more is promised to nobody than the former,
   * and yet the latter is how it is meant.
   */
  #binds({ mode, by, at, isRejected, hasHeard }: Resolved, { process, maxStalenessMs, takesStale }: Reader): boolean {
    if (mode === 'soft' && takesStale) return false
    const isOwn = by.startsWith(process)
    if (isRejected || isOwn) return isOwn
    return mode === 'strict' || at <= this.#now() - maxStalenessMs || hasHeard(process)
  }
}
