/**
 * The contract of a store. Read this first.
 *
 * A store keeps entries under ids (key.ts) and answers for one promise: **once an invalidation has resolved, no read
 * that begins later returns a value whose load began before it.** The store keeps it, not its caller, by three means:
 *
 * - *Stamps.* The store numbers its invalidations. `invalidate` gives each name a new stamp, greater than all before.
 *   An entry carries `seq`, the greatest stamp there was before its load began, and is valid as long as none of its
 *   own names (its tags, its namespace, `*`) has a later one. So one command invalidates any number of entries.
 * - *Leases.* `acquire` gives one caller at a time, over all processes, the right to load an id, for `leaseMs`;
 *   `extend` renews it. `set` and `remove` take the lease away.
 * - *Fencing.* `fill` stores a load only if its lease is still the one in force and none of its names was stamped since
 *   the lease was granted; a load overtaken by an invalidation, or paused beyond its lease, is refused.
 *
 * An entry may hang on a *parent* (a response's variants on the entry of its key): it counts only while that very
 * parent is there, so removing the parent removes all its children with one command. `acquire` makes the parent if it
 * is not there, and `fill` refuses a child whose parent was removed meanwhile.
 *
 * A store keeps the time windows of entries but does not judge them: it keeps an entry at least until its `graceUntil`,
 * may return it a while longer, and the caller asks `freshness`. Methods may answer at once or with a promise; a memory hit makes no promise.
 * When a store cannot be reached its methods reject with `RedisConnectionError`; bytes that cannot be read back are
 * "not there" and are reported to `onFault`.
 */
import type { Entry, EntryDraft } from '../entry.ts'
import type { ConnectionEvent } from '../events.ts'
import type { CacheException } from '../exceptions.ts'

export type MaybePromise<T> = T | Promise<T>

/** The right to load an id and to fill it. */
export interface Lease {
  readonly id: string
  /** Unique per attempt; the entry that is filled under this lease bears it as its `entryId`. */
  readonly token: string
  /** The watermark before the load began. */
  readonly seq: number
  /** Which life of the store's stamps `seq` belongs to. */
  readonly epoch: string
  readonly parent: Parent | undefined
}

/** The entry that a child hangs on. */
export interface Parent {
  readonly id: string
  readonly entryId: string
}

export type Acquired =
  /** Another caller was quicker: here is its entry. */
  | { readonly outcome: 'hit'; readonly entry: Entry }
  /** You load. */
  | { readonly outcome: 'lead'; readonly lease: Lease }
  /** Another caller loads; ask again. */
  | { readonly outcome: 'busy' }

export interface AcquireOptions {
  /** The names known before the load: the namespace's and those of its tags. */
  readonly tags: readonly string[]
  readonly leaseMs: number
  /** The `entryId` of the entry the caller has seen and wants replaced; a different valid one answers `hit`. */
  readonly seen?: string | undefined
  /** Take the lease even if another caller holds it, and whatever is stored. That caller's fill will be refused. */
  readonly steal?: boolean
  /** The id of the parent to hang on; it is made if it is not there. */
  readonly parentId?: string | undefined
  /** How long a parent that had to be made is kept at least. */
  readonly parentMs?: number
}

export interface InvalidationOptions {
  /** Keep what is invalidated as stale copies until a load replaces them. */
  readonly soft?: boolean
  /** Resolve only when no process serves it from a memory of its own either. */
  readonly strict?: boolean
  /** For so long refuse fills of what is invalidated: a database may still show the old state. */
  readonly holdMs?: number
}

/** Somebody who waits for the end of a lease. */
export interface Watch {
  /** Resolves when the lease has ended since the last call, and after `withinMs` at the latest. */
  ended(withinMs: number): Promise<void>
  stop(): void
}

/** What became of a load: stored, released without storing anything, or refused because it was overtaken. */
export type Verdict = 'stored' | 'released' | 'fenced'

/** How long an entry is there, without its value. */
export type EntryTimes = Pick<Entry, 'freshUntil' | 'staleUntil' | 'graceUntil' | 'seq' | 'tags'>

/** What a store tells its owner beside its answers. */
export interface StoreListener {
  /** An entry was given up for room. */
  onEvict(id: string): void
  /** Stored bytes could not be read: the read was a miss. */
  onFault(error: CacheException): void
  /** Bytes read from, or written to, a server. */
  onBytes(read: number, written: number): void
  /** The server was lost, or cannot be reached, or it is back. */
  onConnection?(change: ConnectionEvent): void
  /** What else happens, in words, for who debugs: fills that are refused, and why; a memory that is in step, or not. */
  onTrace?(what: string): void
}

/**
 * What becomes of calls to a server. `closed`: they go out. `open`: they are refused at once, because it was lost, silent
 * or refused us. `half-open`: it is being tried again, and they wait for what comes of it.
 */
export type Breaker = 'closed' | 'half-open' | 'open'

/** How a store stands with the server behind it. */
export interface StoreHealth {
  /** Of several servers, that of the one that is worst off. */
  readonly breaker: Breaker
  /** Calls of `remove` and `invalidate` that rejected and wait to be delivered; of several shards, in each of them. */
  readonly undelivered: number
}

export interface Store {
  /** The valid entry under `id`, if it is there; with a parent only if it hangs on the parent that is there now. */
  read(id: string, parentId?: string): MaybePromise<Entry | undefined>
  /** Ask for the right to load `id`. */
  acquire(id: string, options: AcquireOptions): MaybePromise<Acquired>
  /** Renew a lease for another `leaseMs`; false: it is lost. */
  extend(lease: Lease, leaseMs: number): MaybePromise<boolean>
  /**
   * End a lease by storing what was loaded. `draft.entryId` is the lease's token.
   *
   * @param as the id to store it under, if only the load has told it: one that hangs on the same parent, which fences it
   */
  fill(lease: Lease, draft: EntryDraft, as?: string): MaybePromise<Verdict>
  /** End a lease without storing: `released`, or `fenced` if an invalidation of `tags` overtook the load. */
  release(lease: Lease, tags: readonly string[]): MaybePromise<Verdict>
  /** Store unconditionally. It wins over whatever is stored, and over the loads in flight. */
  set(id: string, draft: EntryDraft): MaybePromise<void>
  /** Remove entries, and the leases of loads in flight; true where a valid entry had been, in the order of `ids`. */
  remove(ids: readonly string[]): MaybePromise<readonly (EntryTimes | undefined)[]>
  /** The times of valid entries, in the order of `ids`. */
  times(ids: readonly string[]): MaybePromise<readonly (EntryTimes | undefined)[]>
  /** Give a valid entry new windows: fresh until `freshUntil`, and no stale windows after it. False: it is not there. */
  expire(id: string, freshUntil: number): MaybePromise<boolean>
  /**
   * Stamp names. Hard: entries that bear one of them are gone. Soft: they remain as stale copies until a load replaces
   * them. It takes one command, whatever the number of entries.
   */
  invalidate(stamps: readonly string[], options?: InvalidationOptions): MaybePromise<void>
  /** Watch for the end of the lease of `id`; `stop` it when done. */
  watch(id: string): Watch
  /** True if the store answers. Never rejects. */
  ping(): MaybePromise<boolean>
  /** How it stands with its server. A store without one has no such method. Never throws. */
  health?(): StoreHealth
  /** Who is told of evictions, faults and bytes; one listener, the last. */
  listen(listener: StoreListener): void
  /** From then on what is asked of it fails with a `CacheException` that says so, and `ping` is false. */
  close(): Promise<void>
}
