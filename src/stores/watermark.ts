/**
 * The stamps of one store as this process knows them, and the judgement of entries by them (pure, no I/O).
 *
 * `seq` is the greatest stamp so far. An entry whose own seq has reached it cannot have been invalidated, so the usual
 * hit is one comparison; only entries from before the last invalidation have their names looked up.
 */
import { EVERYTHING } from '../key.ts'

/**
 * How many stamps are remembered. Beyond it the oldest are forgotten and the floor rises to them: what was loaded
 * before is then invalid, whatever its names. Never the other way round.
 */
export const MAX_STAMPS = 100_000

export type Validity = 'valid' | 'soft' | 'invalid'

export interface Stamped {
  readonly seq: number
  readonly tags: readonly string[]
}

export class Watermark {
  /** The greatest stamp given so far. */
  seq: number
  /** Entries from before it are invalid whatever their names: stamps up to here are no longer known. */
  floor: number
  readonly #hard = new Map<string, number>()
  readonly #soft = new Map<string, number>()

  constructor(floor: number) {
    this.floor = floor
    this.seq = floor
  }

  stamp(names: Iterable<string>, seq: number, soft: boolean): void {
    const stamps = soft ? this.#soft : this.#hard
    for (const name of names) {
      // Redis may be heard of in two ways, and the older news come last.
      if (seq <= (stamps.get(name) ?? -1)) continue
      // Taken out first, so that the map stays in the order of its stamps and pruning reads only what it removes.
      stamps.delete(name)
      stamps.set(name, seq)
    }
    if (seq > this.seq) this.seq = seq
    this.#forget(stamps, () => stamps.size > MAX_STAMPS)
  }

  /** Takes over the floor and the seq of the watermark that this one is a copy of. */
  raise(to: { readonly floor: number; readonly seq: number }): void {
    this.prune(to.floor)
    this.floor = Math.max(this.floor, to.floor)
    this.seq = Math.max(this.seq, to.seq)
  }

  judge(entry: Stamped): Validity {
    if (entry.seq >= this.seq) return 'valid'
    if (entry.seq < this.floor || isStampedAfter(this.#hard, entry)) return 'invalid'
    return isStampedAfter(this.#soft, entry) ? 'soft' : 'valid'
  }

  /** True if an invalidation, hard or soft, of one of `tags` came after `seq`. */
  overtakes(seq: number, tags: readonly string[]): boolean {
    return this.judge({ seq, tags }) !== 'valid'
  }

  /** Forgets the stamps up to `horizon`; the greatest forgotten one becomes the floor. */
  prune(horizon: number): void {
    this.#forget(this.#hard, (seq) => seq <= horizon)
    this.#forget(this.#soft, (seq) => seq <= horizon)
  }

  /** From the oldest on, as long as `isOld` says so. */
  #forget(stamps: Map<string, number>, isOld: (seq: number) => boolean): void {
    for (const [name, seq] of stamps) {
      if (!isOld(seq)) return
      stamps.delete(name)
      if (seq > this.floor) this.floor = seq
    }
  }
}

function isStampedAfter(stamps: ReadonlyMap<string, number>, entry: Stamped): boolean {
  if (stamps.size === 0) return false
  if ((stamps.get(EVERYTHING) ?? 0) > entry.seq) return true
  for (const tag of entry.tags) {
    if ((stamps.get(tag) ?? 0) > entry.seq) return true
  }
  return false
}
