/** What a store keeps under one id, and how fresh it is. */

/**
 * One stored value with all that decides whether it may be served. Immutable: a change is a new entry.
 *
 * The windows add up: until `freshUntil` a hit, until `staleUntil` served stale at once and refreshed behind,
 * until `graceUntil` served only if the load fails or is late. All are points in time in milliseconds.
 *
 * Every entry is made by the constructor, so that all have one shape: what comes out of spreads has a hidden class each,
 * and whatever reads it takes several times as long. Nor is it an object literal: while a cache fills, entries survive,
 * and V8 puts what a literal makes into old space from then on, also what is read from Redis for one answer. Until the
 * next full collection the collector would then keep all that such an entry points to.
 */
export class Entry {
  /** Deep-frozen, so that callers may share it; see `shareable`. */
  readonly value: unknown
  /** False if the value holds something that cannot be frozen (Date, Map, Set, bytes): each caller gets a copy. */
  readonly shareable: boolean
  /** True if plain JSON says everything about the value: no Date, Map, Set, bigint, bytes, NaN or Infinity in it. */
  readonly plain: boolean
  /** Bytes that the value takes in memory, estimated. */
  readonly bytes: number
  /** 16 hex digits, unique per attempt to fill. A child names its parent by it. */
  readonly entryId: string
  /** The `entryId` of the entry this one hangs on; it counts only while that very entry is there. */
  readonly parentId: string | undefined
  /** The watermark before the load began: an invalidation stamped later than this makes the entry invalid. */
  readonly seq: number
  /** Which life of the store's stamps `seq` belongs to. */
  readonly epoch: string
  readonly storedAt: number
  readonly freshUntil: number
  readonly staleUntil: number
  readonly graceUntil: number
  /** How long the load took. */
  readonly loadMs: number
  /** Stamp names (key.ts): the namespace's, then those of the user's tags. */
  readonly tags: readonly string[]
  /** The loader said that there is nothing. */
  readonly negative: boolean

  constructor({ kept, life, facts, stamp }: EntryParts) {
    this.value = kept.value
    this.shareable = kept.shareable
    this.plain = kept.plain
    this.bytes = kept.bytes
    this.entryId = facts.entryId
    this.parentId = facts.parentId
    this.seq = stamp.seq
    this.epoch = stamp.epoch
    this.storedAt = life.storedAt
    this.freshUntil = life.freshUntil
    this.staleUntil = life.staleUntil
    this.graceUntil = life.graceUntil
    this.loadMs = facts.loadMs
    this.tags = facts.tags
    this.negative = facts.negative
  }
}

/** An entry to be filled or set: the store itself adds the watermark. */
export interface EntryDraft extends Omit<Entry, 'seq' | 'epoch'> {
  /** Whether a store of bytes may compress it; undefined: as it was configured. */
  readonly compress?: boolean | undefined
}

/** What a value is once it is safe to keep (codec/snapshot.ts). */
type Kept = Pick<Entry, 'value' | 'shareable' | 'plain' | 'bytes'>
type Life = Pick<Entry, 'storedAt' | 'freshUntil' | 'staleUntil' | 'graceUntil'>
/** Up to where its store's stamps had come. */
type Stamp = Pick<Entry, 'seq' | 'epoch'>

interface EntryParts {
  readonly kept: Kept
  readonly life: Life
  readonly facts: Omit<Entry, keyof Kept | keyof Life | keyof Stamp>
  readonly stamp: Stamp
}

/** Field by field: V8 takes ten times as long for what stands behind a spread. */
export function newDraft(kept: Kept, life: Life, facts: Omit<EntryDraft, keyof Kept | keyof Life>): EntryDraft {
  return {
    value: kept.value,
    shareable: kept.shareable,
    plain: kept.plain,
    bytes: kept.bytes,
    entryId: facts.entryId,
    parentId: facts.parentId,
    storedAt: life.storedAt,
    freshUntil: life.freshUntil,
    staleUntil: life.staleUntil,
    graceUntil: life.graceUntil,
    loadMs: facts.loadMs,
    tags: facts.tags,
    negative: facts.negative,
    compress: facts.compress,
  }
}

/** The entry that `draft` becomes where the stamps have come up to `stamp`. */
export function stamped(draft: EntryDraft, stamp: Stamp): Entry {
  return new Entry({ kept: draft, life: draft, facts: draft, stamp })
}

/** The same entry with other windows. */
export function outliving(entry: Entry, windows: Omit<Life, 'storedAt'>): Entry {
  const { freshUntil, staleUntil, graceUntil } = windows
  const life = { storedAt: entry.storedAt, freshUntil, staleUntil, graceUntil }
  return new Entry({ kept: entry, life, facts: entry, stamp: entry })
}

/** How long an entry is to live, in milliseconds; the windows follow one upon the other. */
export interface Windows {
  readonly ttlMs: number
  readonly swrMs: number
  readonly graceMs: number
}

/** When an entry that is stored `now` leaves each of its windows. */
export function lifeOf(windows: Windows, now: number): Life {
  const freshUntil = now + windows.ttlMs
  const staleUntil = freshUntil + windows.swrMs
  return { storedAt: now, freshUntil, staleUntil, graceUntil: staleUntil + windows.graceMs }
}

export type Freshness = 'fresh' | 'stale' | 'grace' | 'expired'

/** Which of its windows an entry is in. */
export function freshness(entry: Entry, now: number): Freshness {
  if (now < entry.freshUntil) return 'fresh'
  if (now < entry.staleUntil) return 'stale'
  return now < entry.graceUntil ? 'grace' : 'expired'
}

/** How many keys have a fresh entry of their own or for their responses: `times` has two for each, in this order. */
export function countFresh(times: readonly (Pick<Entry, 'freshUntil'> | undefined)[], now: number): number {
  const isFresh = (one: Pick<Entry, 'freshUntil'> | undefined): boolean => one !== undefined && now < one.freshUntil
  return times.filter((one, i) => i % 2 === 0 && (isFresh(one) || isFresh(times[i + 1]))).length
}

/** The entry after a soft invalidation: what was fresh of it is stale, served at once while a load refreshes it. */
export function softened(entry: Entry): Entry {
  const { staleUntil, graceUntil } = entry
  return outliving(entry, { freshUntil: 0, staleUntil, graceUntil })
}

/**
 * True if this caller should refresh a fresh entry early: with a chance that grows as its end comes near, and the sooner
 * the longer its load takes (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede
 * Prevention", VLDB 2015, with beta = 1).
 */
export function isDueEarly(entry: Entry, now: number): boolean {
  return now - entry.loadMs * Math.log(Math.random()) >= entry.freshUntil
}
