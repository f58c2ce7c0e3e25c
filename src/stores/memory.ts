/**
 * The embedded store: entries in this process, bounded by number and by bytes, under the same contract as Redis.
 *
 * Nothing sweeps: an entry leaves when it is overwritten, removed, found invalid, or given up for room. Which one goes
 * first is the cache's strategy: the least recently used (LRU) or the oldest (FIFO).
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { softened, type Entry, type EntryDraft } from '../entry.ts'
import { newToken } from '../token.ts'
import { parentDraft } from './parent.ts'
import type { Acquired, AcquireOptions, EntryTimes, Lease, Parent, Store, StoreListener, Verdict } from './store.ts'
import { Watermark } from './watermark.ts'

/** What an entry costs beside its value and its id: the objects around it, measured at 350 to 400 bytes. */
const OVERHEAD_BYTES = 400

/** Leases past their time that are kept although nobody has ended them; beyond it the oldest are given up. */
const MAX_ABANDONED = 1000

/** Stamps are microseconds, as those that Redis gives. */
const MICROSECONDS = 1000

export interface MemoryStoreOptions {
  readonly maxEntries: number
  readonly maxBytes: number
  readonly strategy: 'LRU' | 'FIFO'
  /** Stamps are kept this long: at least as long as any entry. */
  readonly stampsMs: number
  readonly clock: Clock
}

interface HeldLease {
  readonly lease: Lease
  readonly expiresAt: number
}

/**
 * A store in the memory of this process.
 *
 * @example
 * const store = new MemoryStore({ maxEntries: 1000, maxBytes: 1e6, strategy: 'LRU', stampsMs: 86_400_000, clock: systemClock })
 */
export class MemoryStore implements Store {
  readonly #entries: LRUCache<string, Entry>
  readonly #leases = new Map<string, HeldLease>()
  readonly #watermark = new Watermark(0)
  readonly #options: MemoryStoreOptions
  readonly #isFifo: boolean
  #listener: StoreListener | undefined

  constructor(options: MemoryStoreOptions) {
    this.#options = options
    this.#isFifo = options.strategy === 'FIFO'
    this.#entries = new LRUCache({
      max: options.maxEntries,
      maxSize: options.maxBytes,
      sizeCalculation: (entry, id) => Math.ceil(entry.bytes) + 2 * id.length + OVERHEAD_BYTES,
      dispose: (_entry, id, reason) => {
        if (reason === 'evict') this.#listener?.onEvict(id)
      },
    })
  }

  read(id: string, parentId?: string): Entry | undefined {
    const entry = this.#valid(id)
    if (entry === undefined || parentId === undefined) return entry
    if (entry.parentId !== undefined && this.#isThere({ id: parentId, entryId: entry.parentId })) return entry
    this.#entries.delete(id)
    return undefined
  }

  acquire(id: string, options: AcquireOptions): Acquired {
    if (options.steal !== true) {
      const entry = this.read(id, options.parentId)
      if (entry !== undefined && entry.entryId !== options.seen) return { outcome: 'hit', entry }
      if (this.#isLeased(id, options)) return { outcome: 'busy' }
    }
    const token = newToken()
    const parent = options.parentId === undefined ? undefined : this.#ensureParent(options.parentId, token, options)
    const lease: Lease = { id, token, seq: this.#watermark.seq, parent }
    this.#hold(lease, options.leaseMs)
    return { outcome: 'lead', lease }
  }

  extend(lease: Lease, leaseMs: number): boolean {
    if (!this.#holds(lease)) return false
    this.#hold(lease, leaseMs)
    return true
  }

  fill(lease: Lease, draft: EntryDraft): Verdict {
    const verdict = this.release(lease, draft.tags)
    if (verdict === 'fenced') return verdict
    if (lease.parent !== undefined) this.#keepParent(lease.parent.id, draft)
    this.#put(lease.id, { ...draft, seq: lease.seq })
    return 'stored'
  }

  release(lease: Lease, tags: readonly string[]): Verdict {
    // A lease past its time that nobody took is still the one in force: a load that blocked this process may be stored.
    if (!this.#holds(lease)) return 'fenced'
    this.#leases.delete(lease.id)
    if (lease.parent !== undefined && !this.#isThere(lease.parent)) return 'fenced'
    return this.#watermark.overtakes(lease.seq, tags) ? 'fenced' : 'released'
  }

  set(id: string, draft: EntryDraft): void {
    this.#leases.delete(id)
    this.#put(id, { ...draft, seq: this.#watermark.seq })
  }

  remove(ids: readonly string[]): readonly (EntryTimes | undefined)[] {
    return ids.map((id) => {
      const entry = this.#valid(id)
      this.#leases.delete(id)
      this.#entries.delete(id)
      return entry
    })
  }

  times(ids: readonly string[]): readonly (EntryTimes | undefined)[] {
    return ids.map((id) => this.#valid(id))
  }

  expire(id: string, freshUntil: number): boolean {
    const entry = this.#valid(id)
    if (entry === undefined) return false
    this.#put(id, { ...entry, freshUntil, staleUntil: freshUntil, graceUntil: freshUntil })
    return true
  }

  invalidate(stamps: readonly string[], soft: boolean): void {
    const now = this.#options.clock.now()
    this.#watermark.stamp(stamps, Math.max(now * MICROSECONDS, this.#watermark.seq + 1), soft)
    this.#watermark.prune((now - this.#options.stampsMs) * MICROSECONDS)
  }

  ping(): boolean {
    return true
  }

  listen(listener: StoreListener): void {
    this.#listener = listener
  }

  close(): Promise<void> {
    this.#entries.clear()
    this.#leases.clear()
    return Promise.resolve()
  }

  #valid(id: string): Entry | undefined {
    const entry = this.#isFifo ? this.#entries.peek(id) : this.#entries.get(id)
    if (entry === undefined) return undefined
    const validity = this.#watermark.judge(entry)
    if (validity === 'valid') return entry
    if (validity === 'soft') return softened(entry)
    this.#entries.delete(id)
    return undefined
  }

  #put(id: string, entry: Entry): void {
    this.#entries.set(id, entry)
    // An entry that alone exceeds maxBytes is not kept at all.
    if (!this.#entries.has(id)) this.#listener?.onEvict(id)
  }

  #hold(lease: Lease, leaseMs: number): void {
    const now = this.#options.clock.now()
    // Taken out first, so that the map stays in the order in which leases of one length end.
    this.#leases.delete(lease.id)
    this.#leases.set(lease.id, { lease, expiresAt: now + leaseMs })
    for (const [id, { expiresAt }] of this.#leases) {
      if (this.#leases.size <= MAX_ABANDONED || expiresAt > now) return
      this.#leases.delete(id)
    }
  }

  #isLeased(id: string, { tags, parentId }: AcquireOptions): boolean {
    const held = this.#leases.get(id)
    if (held === undefined || held.expiresAt <= this.#options.clock.now()) return false
    // A load that an invalidation has overtaken, or that has lost its parent, will be refused: whoever asks now need
    // not wait for it.
    const { seq, parent } = held.lease
    if (parentId !== undefined && (parent === undefined || !this.#isThere(parent))) return false
    return !this.#watermark.overtakes(seq, tags)
  }

  #holds(lease: Lease): boolean {
    return this.#leases.get(lease.id)?.lease.token === lease.token
  }

  #parent(parentId: string): Entry | undefined {
    const entry = this.#valid(parentId)
    return entry !== undefined && entry.graceUntil > this.#options.clock.now() ? entry : undefined
  }

  #isThere({ id, entryId }: Parent): boolean {
    return this.#parent(id)?.entryId === entryId
  }

  #ensureParent(parentId: string, token: string, options: AcquireOptions): Parent {
    const there = this.#parent(parentId)
    if (there !== undefined) return { id: parentId, entryId: there.entryId }
    const now = this.#options.clock.now()
    this.#put(parentId, { ...parentDraft(token, options, now), seq: this.#watermark.seq })
    return { id: parentId, entryId: token }
  }

  /** Keeps a parent as long as its longest-lived child. */
  #keepParent(parentId: string, child: EntryDraft): void {
    const entry = this.#parent(parentId)
    if (entry === undefined || entry.graceUntil >= child.graceUntil) return
    const { freshUntil, staleUntil, graceUntil } = child
    this.#put(parentId, { ...entry, freshUntil, staleUntil, graceUntil })
  }
}
