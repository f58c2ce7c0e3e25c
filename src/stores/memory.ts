/** The embedded store: entries in this process, under the same contract as Redis. */
import type { Clock } from '../clock.ts'
import { outliving, softened, stamped, type Entry, type EntryDraft } from '../entry.ts'
import { CacheException } from '../exceptions.ts'
import { EVERYTHING } from '../key.ts'
import { newToken } from '../token.ts'
import { EntryTable, type EntryTableOptions } from './entry-table.ts'
import { parentDraft } from './parent.ts'
import type {
  Acquired,
  AcquireOptions,
  EntryTimes,
  InvalidationOptions,
  Lease,
  Parent,
  Store,
  StoreListener,
  Verdict,
  Watch,
} from './store.ts'
import { Watches } from './watches.ts'
import { Watermark } from './watermark.ts'

/** Leases past their time that are kept although nobody has ended them; beyond it the oldest are given up. */
const MAX_ABANDONED = 1000

/** Beyond so many names on hold everything is, until the last of them ends. */
const MAX_HOLDS = 10_000

/** Stamps are microseconds, as those that Redis gives. */
const MICROSECONDS = 1000

/** Stamps of memory live as long as the process does. */
const EPOCH = ''

export interface MemoryStoreOptions extends EntryTableOptions {
  /** Stamps are kept this long: at least as long as any entry. */
  readonly stampsMs: number
  readonly clock: Clock
}

interface HeldLease {
  readonly lease: Lease
  /** In time that has passed. */
  readonly expiresAt: number
}

/**
 * A store in the memory of this process.
 *
 * @example
 * const store = new MemoryStore({ maxEntries: 1000, maxBytes: 1e6, strategy: 'LRU', stampsMs: 86_400_000, clock: systemClock })
 */
export class MemoryStore implements Store {
  readonly #entries: EntryTable
  readonly #leases = new Map<string, HeldLease>()
  /** Names whose fills are refused until so much time has passed. */
  readonly #onHold = new Map<string, number>()
  readonly #watches = new Watches()
  readonly #watermark = new Watermark(0)
  readonly #options: MemoryStoreOptions
  #listener: StoreListener | undefined
  #isClosed = false

  constructor(options: MemoryStoreOptions) {
    this.#options = options
    this.#entries = new EntryTable(options)
  }

  read(id: string, parentId?: string): Entry | undefined {
    this.#assertOpen()
    const entry = this.#valid(id)
    if (entry === undefined || parentId === undefined) return entry
    if (entry.parentId !== undefined && this.#isThere({ id: parentId, entryId: entry.parentId })) return entry
    this.#entries.delete(id)
    return undefined
  }

  acquire(id: string, options: AcquireOptions): Acquired {
    this.#assertOpen()
    if (options.steal !== true) {
      const entry = this.read(id, options.parentId)
      if (entry !== undefined && entry.entryId !== options.seen) return { outcome: 'hit', entry }
      if (this.#isLeased(id, options)) return { outcome: 'busy' }
    }
    const token = newToken()
    const parent = options.parentId === undefined ? undefined : this.#ensureParent(options.parentId, token, options)
    const lease: Lease = { id, token, seq: this.#watermark.seq, epoch: EPOCH, parent }
    this.#grant(lease, options.leaseMs)
    return { outcome: 'lead', lease }
  }

  extend(lease: Lease, leaseMs: number): boolean {
    if (!this.#holds(lease)) return false
    this.#grant(lease, leaseMs)
    return true
  }

  fill(lease: Lease, draft: EntryDraft, as: string = lease.id): Verdict {
    const verdict = this.release(lease, draft.tags)
    if (verdict === 'fenced') return verdict
    if (lease.parent !== undefined) this.#keepParent(lease.parent.id, draft)
    this.#entries.set(as, stamped(draft, lease))
    return 'stored'
  }

  release(lease: Lease, tags: readonly string[]): Verdict {
    // A lease past its time that nobody took is still the one in force: a load that blocked this process may be stored.
    if (!this.#holds(lease)) {
      return this.#fenced(lease, 'its lease was taken by another load, a set or a delete')
    }
    this.#endLease(lease.id)
    if (lease.parent !== undefined && !this.#isThere(lease.parent)) {
      return this.#fenced(lease, 'the name it hangs on was deleted meanwhile')
    }
    if (this.#watermark.overtakes(lease.seq, tags) || this.#isOnHold(tags)) {
      return this.#fenced(lease, 'a name it bears was invalidated meanwhile, or is on hold')
    }
    return 'released'
  }

  set(id: string, draft: EntryDraft): void {
    this.#assertOpen()
    this.#endLease(id)
    this.#entries.set(id, stamped(draft, this.#stamp()))
  }

  remove(ids: readonly string[]): readonly (EntryTimes | undefined)[] {
    this.#assertOpen()
    return ids.map((id) => {
      const entry = this.#valid(id)
      this.#endLease(id)
      this.#entries.delete(id)
      return entry
    })
  }

  times(ids: readonly string[]): readonly (EntryTimes | undefined)[] {
    this.#assertOpen()
    return ids.map((id) => this.#valid(id))
  }

  expire(id: string, freshUntil: number): boolean {
    this.#assertOpen()
    const entry = this.#valid(id)
    if (entry === undefined) return false
    this.#entries.set(id, outliving(entry, { freshUntil, staleUntil: freshUntil, graceUntil: freshUntil }))
    return true
  }

  invalidate(stamps: readonly string[], { soft = false, holdMs = 0 }: InvalidationOptions = {}): void {
    this.#assertOpen()
    const now = this.#options.clock.now()
    this.#watermark.stamp(stamps, Math.max(now * MICROSECONDS, this.#watermark.seq + 1), soft)
    this.#hold(stamps, this.#passed(), holdMs)
    this.#watermark.prune((now - this.#options.stampsMs) * MICROSECONDS)
  }

  ping(): boolean {
    return !this.#isClosed
  }

  watch(id: string): Watch {
    return this.#watches.watch(id)
  }

  listen(listener: StoreListener): void {
    this.#listener = listener
    this.#entries.onEvict = (id) => listener.onEvict(id)
  }

  /** Loads in flight are fenced: their leases are gone. */
  close(): Promise<void> {
    this.#isClosed = true
    this.#entries.clear()
    this.#leases.clear()
    return Promise.resolve()
  }

  #fenced({ id }: Lease, why: string): 'fenced' {
    this.#listener?.onTrace?.(`a load of ${id} is refused: ${why}`)
    return 'fenced'
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new CacheException('the cache was closed by close()')
  }

  #valid(id: string): Entry | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    const validity = this.#watermark.judge(entry)
    if (validity === 'valid') return entry
    if (validity === 'soft') return softened(entry)
    this.#entries.delete(id)
    return undefined
  }

  #stamp(): Pick<Entry, 'seq' | 'epoch'> {
    return { seq: this.#watermark.seq, epoch: EPOCH }
  }

  /** Who sets the clock of the machine neither takes a lease from its holder nor keeps it from those who come next. */
  #passed(): number {
    const { clock } = this.#options
    return clock.passed?.() ?? clock.now()
  }

  #grant(lease: Lease, leaseMs: number): void {
    const now = this.#passed()
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
    if (held === undefined || held.expiresAt <= this.#passed()) return false
    // A load that an invalidation has overtaken, or that has lost its parent, will be refused: whoever asks now need
    // not wait for it.
    const { seq, parent } = held.lease
    if (parentId !== undefined && (parent === undefined || !this.#isThere(parent))) return false
    return !this.#watermark.overtakes(seq, tags)
  }

  #endLease(id: string): void {
    if (this.#leases.delete(id)) this.#watches.wake(id)
  }

  #hold(stamps: readonly string[], now: number, holdMs: number): void {
    // From the oldest on, as far as they are over: one that outlasts those behind it keeps them a while longer.
    for (const [name, until] of this.#onHold) {
      if (until > now) break
      this.#onHold.delete(name)
    }
    if (holdMs === 0) return
    for (const name of stamps) {
      const until = Math.max(now + holdMs, this.#onHold.get(name) ?? 0)
      this.#onHold.delete(name)
      this.#onHold.set(name, until)
    }
    if (this.#onHold.size <= MAX_HOLDS) return
    let last = 0
    for (const until of this.#onHold.values()) last = Math.max(last, until)
    this.#onHold.clear()
    this.#onHold.set(EVERYTHING, last)
  }

  #isOnHold(tags: readonly string[]): boolean {
    if (this.#onHold.size === 0) return false
    const now = this.#passed()
    return [EVERYTHING, ...tags].some((name) => (this.#onHold.get(name) ?? 0) > now)
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
    this.#entries.set(parentId, stamped(parentDraft(token, options, now), this.#stamp()))
    return { id: parentId, entryId: token }
  }

  /** Keeps a parent as long as its longest-lived child. */
  #keepParent(parentId: string, child: EntryDraft): void {
    const entry = this.#parent(parentId)
    if (entry === undefined) return
    const { freshUntil, staleUntil } = child
    const graceUntil = Math.max(entry.graceUntil, child.graceUntil)
    this.#entries.set(parentId, outliving(entry, { freshUntil, staleUntil, graceUntil }))
  }
}
