/**
 * Memory in front of Redis (L1), coherent within a bound: itself a store, so that nobody above knows of two tiers.
 *
 * An entry is kept near as it was decoded, with the seq it has in Redis, and served while this process's knowledge of
 * invalidations is current (redis/coherence.ts). Stamps are judged at each hit; removals arrive by name.
 *
 * The race that matters: a read fetches an entry, its removal arrives, and only then the read comes to keep what it has.
 * So every read and fill under way registers its ids, a removal marks them dirty, and what is dirty is handed to its
 * caller but not kept.
 */
import type { Clock } from '../clock.ts'
import { copy } from '../codec/snapshot.ts'
import { Entry, stamped, type EntryDraft } from '../entry.ts'
import type { EntryTable } from './entry-table.ts'
import type { RedisStore } from './redis/redis-store.ts'
import type {
  Acquired,
  AcquireOptions,
  EntryTimes,
  InvalidationOptions,
  Lease,
  Store,
  StoreHealth,
  StoreListener,
  Verdict,
  Watch,
} from './store.ts'

/** Redis as one store, or as the shards of a cluster. */
export type FarStore = Pick<RedisStore, keyof Store | 'health' | 'follow' | 'judge'>

export interface TieredStoreOptions {
  readonly near: EntryTable
  readonly far: FarStore
  readonly maxStalenessMs: number
  readonly clock: Clock
}

/** An entry on its way here. */
interface Arrival {
  readonly ids: readonly string[]
  isDirty: boolean
}

export class TieredStore implements Store {
  readonly #near: EntryTable
  readonly #far: FarStore
  readonly #clock: Clock
  readonly #arrivals = new Map<string, Set<Arrival>>()

  constructor({ near, far, maxStalenessMs, clock }: TieredStoreOptions) {
    this.#near = near
    this.#far = far
    this.#clock = clock
    far.follow(
      {
        onRemoved: (ids) => this.#forget(ids),
        onDoubt: (isConcerned) => this.#forgetAll(isConcerned),
      },
      maxStalenessMs,
    )
  }

  read(id: string, parentId?: string): Entry | Promise<Entry | undefined> {
    return this.#nearby(id, parentId) ?? this.#arriving([id, parentId], () => this.#far.read(id, parentId))
  }

  async acquire(id: string, options: AcquireOptions): Promise<Acquired> {
    const { parentId } = options
    let acquired: Acquired | undefined
    await this.#arriving([id, parentId], async () => {
      acquired = await this.#far.acquire(id, options)
      return acquired.outcome === 'hit' ? acquired.entry : undefined
    })
    return acquired!
  }

  extend(lease: Lease, leaseMs: number): Promise<boolean> {
    return this.#far.extend(lease, leaseMs)
  }

  async fill(lease: Lease, draft: EntryDraft, as: string = lease.id): Promise<Verdict> {
    let verdict: Verdict = 'fenced'
    // From now on Redis may hold something newer; who reads it comes behind the fill.
    this.#near.delete(as)
    await this.#arriving([as, lease.parent?.id], async (arrival) => {
      verdict = await this.#far.fill(lease, draft, as)
      if (verdict !== 'stored') return undefined
      // Reads under way may yet bring what this fill has replaced.
      this.#forget([as], arrival)
      return stamped(draft, lease)
    })
    return verdict
  }

  release(lease: Lease, tags: readonly string[]): Promise<Verdict> {
    return this.#far.release(lease, tags)
  }

  async set(id: string, draft: EntryDraft): Promise<void> {
    try {
      await this.#far.set(id, draft)
    } finally {
      this.#forget([id])
    }
  }

  async remove(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    try {
      return await this.#far.remove(ids)
    } finally {
      this.#forget(ids)
    }
  }

  times(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    return this.#far.times(ids)
  }

  async expire(id: string, freshUntil: number): Promise<boolean> {
    try {
      return await this.#far.expire(id, freshUntil)
    } finally {
      this.#forget([id])
    }
  }

  /** The stamps are in the mirror, and so judged at each hit, before the promise resolves. */
  async invalidate(stamps: readonly string[], options?: InvalidationOptions): Promise<void> {
    try {
      await this.#far.invalidate(stamps, options)
    } catch (error) {
      this.#forgetAll()
      throw error
    }
  }

  watch(id: string): Watch {
    return this.#far.watch(id)
  }

  ping(): Promise<boolean> {
    return this.#far.ping()
  }

  health(): StoreHealth {
    return this.#far.health()
  }

  listen(listener: StoreListener): void {
    this.#near.onEvict = (id) => listener.onEvict(id)
    this.#far.listen(listener)
  }

  close(): Promise<void> {
    this.#near.clear()
    return this.#far.close()
  }

  /** What is kept near, if it is known to be valid, and fresh: somebody may have refreshed what is not. */
  #nearby(id: string, parentId: string | undefined): Entry | undefined {
    const entry = this.#near.get(id)
    if (entry === undefined || this.#clock.now() >= entry.freshUntil) return undefined
    if (this.#far.judge(entry, id, parentId) !== 'valid') return undefined
    if (parentId !== undefined && this.#near.get(parentId)?.entryId !== entry.parentId) return undefined
    return entry
  }

  /** Runs what brings the entry of the first of `names`, and keeps it unless it was removed meanwhile. */
  async #arriving<T extends Entry | undefined>(
    [id, parentId]: readonly [string, string | undefined],
    bring: (arrival: Arrival) => Promise<T>,
  ): Promise<T> {
    const arrival: Arrival = { ids: parentId === undefined ? [id] : [id, parentId], isDirty: false }
    for (const one of arrival.ids) this.#arrivals.set(one, (this.#arrivals.get(one) ?? new Set()).add(arrival))
    try {
      const entry = await bring(arrival)
      if (entry !== undefined && !arrival.isDirty) this.#keep(entry, id, parentId)
      return entry
    } finally {
      for (const one of arrival.ids) {
        const others = this.#arrivals.get(one)
        others?.delete(arrival)
        if (others?.size === 0) this.#arrivals.delete(one)
      }
    }
  }

  #keep(entry: Entry, id: string, parentId: string | undefined): void {
    if (this.#far.judge(entry, id, parentId) !== 'valid') return
    // Bytes from the network are a view of a chunk that would be kept whole.
    const value = entry.value instanceof Uint8Array ? copy(entry.value) : entry.value
    const { shareable, plain, bytes } = entry
    const parts = { life: entry, facts: entry, stamp: entry }
    this.#near.set(id, new Entry({ ...parts, kept: { value, shareable, plain, bytes } }))
    if (parentId === undefined || entry.parentId === undefined) return
    const { loadMs, tags, negative } = entry
    const facts = { entryId: entry.parentId, parentId: undefined, loadMs, tags, negative }
    this.#near.set(parentId, new Entry({ ...parts, kept: { value: null, shareable, plain, bytes: 0 }, facts }))
  }

  #forget(ids: readonly string[], except?: Arrival): void {
    for (const id of ids) {
      this.#near.delete(id)
      for (const arrival of this.#arrivals.get(id) ?? []) if (arrival !== except) arrival.isDirty = true
    }
  }

  #forgetAll(isConcerned?: (id: string) => boolean): void {
    if (isConcerned === undefined) this.#near.clear()
    else this.#near.deleteWhere(isConcerned)
    for (const arrivals of this.#arrivals.values()) for (const arrival of arrivals) arrival.isDirty = true
  }
}
