/**
 * Entries in Redis, under the contract of store.ts. What stands in which key, and what each script does: scripts.ts.
 *
 * A read is one MGET of the entry, its parent and the watermark. Everything that writes is one script.
 */
import type { Clock } from '../../clock.ts'
import { STAMP_BYTES, readEntryId, type Codec } from '../../codec/codec.ts'
import { strictlyWithin, within } from '../../deadline.ts'
import type { Entry, EntryDraft } from '../../entry.ts'
import type { ConnectionEvent } from '../../events.ts'
import { CacheException, RedisConnectionError } from '../../exceptions.ts'
import type {
  Acquired,
  AcquireOptions,
  EntryTimes,
  InvalidationOptions,
  Lease,
  MaybePromise,
  Store,
  StoreHealth,
  StoreListener,
  Verdict,
  Watch,
} from '../store.ts'
import { Watches } from '../watches.ts'
import type { Validity } from '../watermark.ts'
import { leaseId, ms, piecesOf, wholly } from './arguments.ts'
import type { StoreConnection } from './connection.ts'
import { EntryReader } from './entry-reader.ts'
import { HeaderScripts, type FoundHeaders } from './header-scripts.ts'
import { LeaseScripts } from './lease-scripts.ts'
import { Listening, type Tier } from './listening.ts'
import { Mirror } from './mirror.ts'
import { Outages } from './outages.ts'
import { ReadBatch, type RawRead } from './read-batch.ts'
import { EXPIRE, INVALIDATE, SET, SYNC } from './scripts.ts'
import { HOLDS, StoreScripts, unknownServer, type StoreScriptsOptions } from './store-scripts.ts'
import { leftUndelivered, queued, Undelivered } from './undelivered.ts'

/** So many names per script: it holds the server up for a few milliseconds, and what others are told of it is short. */
const MAX_NAMES = 1000

/** How long `close()` waits for what could not be delivered yet. */
const CLOSE_GRACE_MS = 1000

export interface RedisStoreOptions extends StoreScriptsOptions {
  readonly codec: Codec
  /** Stamps are kept this long: at least as long as any entry. */
  readonly stampsMs: number
  readonly clock: Clock
  /** A plain string of another program is returned as a string; false: as a Buffer. */
  readonly decodeResponses: boolean
  /** What another server than before (restart, failover) means: its entries are invalid, or trusted. */
  readonly onFailover: 'invalidate' | 'trust'
}

/**
 * A store in Redis, shared by every process that uses the same prefix.
 *
 * @throws {RedisConnectionError} from every method but `ping` and `close` when Redis is out of reach or too slow
 */
export class RedisStore implements Store {
  readonly connection: StoreConnection
  readonly #options: RedisStoreOptions
  readonly #codec: Codec
  readonly #scripts: StoreScripts
  readonly #watches = new Watches()
  readonly #undelivered: Undelivered
  readonly #listening: Listening
  readonly #reads: ReadBatch
  readonly #mirror: Mirror
  readonly #reader: EntryReader
  readonly #headers: HeaderScripts
  readonly #leases: LeaseScripts
  #listener: StoreListener | undefined
  #isClosed = false
  #closing: Promise<void> | undefined

  constructor(options: RedisStoreOptions) {
    const { connection, codec, clock, decodeResponses } = options
    this.#options = options
    this.connection = connection
    this.#codec = codec
    this.#scripts = new StoreScripts(options)
    this.#reads = new ReadBatch({
      send: (args) => connection.send(args),
      keyOf: (id) => this.#scripts.keyOf(id),
      watermarkKey: this.#scripts.watermarkKey,
      judge: (raw) => this.#entryIn(raw),
    })
    this.#mirror = new Mirror((epoch, since) => this.#sync(epoch, since))
    const onFault = (error: Parameters<StoreListener['onFault']>[0]): void => this.#listener?.onFault(error)
    this.#reader = new EntryReader({ codec, clock, decodeResponses, mirror: this.#mirror, onFault })
    const trace = (what: string): void => this.#listener?.onTrace?.(what)
    const shared = { scripts: this.#scripts, mirror: this.#mirror }
    this.#headers = new HeaderScripts({ ...shared, reader: this.#reader })
    this.#leases = new LeaseScripts({
      ...shared,
      reader: this.#reader,
      codec,
      clock,
      isDoomed: (entry, id, parentId) => this.#isDoomed(entry, id, parentId),
      listener: () => this.#listener,
    })
    this.#listening = new Listening({ ...shared, connection, watches: this.#watches, trace })
    this.#undelivered = new Undelivered({
      remove: async (ids) => {
        await this.#headers.remove(ids)
        // Its own message is no news here, and a load that should have been fenced may have been kept meanwhile.
        this.#listening.onRemoved(ids)
      },
      invalidate: (stamps, how) => this.#invalidate(stamps, how),
    })
    const tell = (change: ConnectionEvent): void => this.#listener?.onConnection?.(change)
    const outages = new Outages({ redis: connection.name, undelivered: this.#undelivered, tell })
    connection.watch({
      onDown: (error, since, isEnd) => {
        this.#listening.onCommandsLost()
        outages.onDown(error, since, isEnd)
      },
      onUp: () => {
        this.#listening.onCommandsBack()
        this.#leases.releaseInDoubt()
        outages.onUp()
      },
    })
    connection.greet({
      say: () => {
        this.#listening.onGreeting()
        return this.#scripts.greeting(options.onFailover)
      },
      onTaken: (reply) => outages.onGreeted(this.#scripts.greetedBy(reply)),
      onRefused: (cause) => onFault(new CacheException(unknownServer(cause), { cause })),
      onUnserved: (reason) => this.#listening.reconnect(reason),
    })
  }

  read(id: string, parentId?: string): Promise<Entry | undefined> {
    this.#assertOpen()
    // Nothing is made for a hit, as a rule.
    if (this.#undelivered.isEmpty) return this.#reads.read(id, parentId)
    return this.#delivered(() => this.#reads.read(id, parentId))
  }

  async acquire(id: string, options: AcquireOptions): Promise<Acquired> {
    this.#assertOpen()
    const onLate = (late: Acquired): void => {
      // Nobody is left to use it.
      if (late.outcome === 'lead') this.#leases.release(late.lease, options.tags).catch(() => undefined)
    }
    return this.#delivered(() => this.#leases.acquire(id, options), onLate)
  }

  extend(lease: Lease, leaseMs: number): Promise<boolean> {
    return this.#leases.extend(lease, leaseMs)
  }

  async fill(lease: Lease, draft: EntryDraft, as: string = lease.id): Promise<Verdict> {
    this.#assertOpen()
    return this.#leases.fill(lease, draft, as)
  }

  async release(lease: Lease, tags: readonly string[]): Promise<Verdict> {
    this.#assertOpen()
    return this.#leases.release(lease, tags)
  }

  async set(id: string, draft: EntryDraft): Promise<void> {
    this.#assertOpen()
    const tail = await this.#codec.encode(draft, id)
    await this.#scripts.run(SET, [id, leaseId(id)], [tail, ms(draft.graceUntil - draft.storedAt)])
    this.#listener?.onBytes(0, tail.length + STAMP_BYTES)
  }

  async remove(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    this.#assertOpen()
    try {
      return this.#standing(ids, await this.#headers.remove(ids)).map((header) => header?.times)
    } catch (error) {
      this.#undelivered.addIds(ids)
      throw queued(error)
    }
  }

  async times(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    this.#assertOpen()
    const found = await this.#find(ids)
    return found.map((header) => header?.times)
  }

  async expire(id: string, freshUntil: number): Promise<boolean> {
    this.#assertOpen()
    for (;;) {
      const [found] = await this.#find([id])
      if (found === undefined) return false
      const args = [found.bytes, found.expired(freshUntil), ms(freshUntil - this.#options.clock.now())]
      if ((await this.#scripts.run(EXPIRE, [id], args)) === 1) return true
    }
  }

  async invalidate(stamps: readonly string[], options: InvalidationOptions = {}): Promise<void> {
    this.#assertOpen()
    try {
      const stalenessMs = await this.#invalidate(stamps, options)
      // Every process either hears of it before its knowledge is older than that, or stops to serve from its memory.
      if (options.strict === true) await wholly(stalenessMs)
    } catch (error) {
      this.#undelivered.addStamps(stamps, options)
      throw queued(error)
    }
  }

  watch(id: string): Watch {
    this.#listening.start()
    return this.#watches.watch(id)
  }

  /** Serve the memory in front: tell it what others remove, and from now on know how current this process is. */
  follow(tier: Tier, maxStalenessMs: number): void {
    this.#listening.follow(tier, maxStalenessMs)
  }

  /** How an entry stands that was kept in memory; undefined if what is known of invalidations is not current. */
  judge(entry: Entry, id: string, parentId: string | undefined): Validity | undefined {
    // Out of reach is not current; refused is what was named, and nothing else.
    const isDelivered = this.#undelivered.isEmpty || this.#undelivered.isRefused
    if (!isDelivered || !this.#listening.isCurrent()) return undefined
    return this.#isDoomed(entry, id, parentId) ? undefined : this.#mirror.judgeKept(entry)
  }

  ping(): Promise<boolean> {
    return this.connection.ping()
  }

  health(): StoreHealth {
    return { breaker: this.connection.breaker, undelivered: this.#undelivered.waiting }
  }

  listen(listener: StoreListener): void {
    this.#listener = listener
  }

  /** What could not be delivered is tried once more; what then is left is told, unless this is one shard of several. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const { shard } = this.#options
    const graceMs = Math.min(CLOSE_GRACE_MS, this.connection.commandTimeoutMs)
    await this.#undelivered.close(graceMs)
    this.#isClosed = true
    await this.#listening.close()
    await this.connection.close()
    const left = shard === undefined ? leftUndelivered(this.waiting) : undefined
    if (left !== undefined) this.#listener?.onFault(left)
  }

  /** How many invalidations have not been delivered. */
  get waiting(): number {
    return this.#undelivered.waiting
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new CacheException('the cache was closed by close()')
  }

  /** Asks when what had to be invalidated is, all of it within the deadline of one command. */
  #delivered<T>(ask: () => Promise<T>, onLate?: (result: T) => void): Promise<T> {
    if (this.#undelivered.isEmpty) return ask()
    const limit = { since: performance.now(), budgetMs: this.connection.commandTimeoutMs }
    const asking = this.#undelivered.replay().then(() => {
      // Nobody waits for the answer any more.
      if (performance.now() - limit.since > limit.budgetMs) throw new RedisConnectionError('Redis answers too late')
      return ask()
    })
    return strictlyWithin(asking, limit, onLate)
  }

  #find(ids: readonly string[]): Promise<FoundHeaders> {
    return this.#delivered(async () => this.#standing(ids, await this.#headers.find(ids)))
  }

  /** Without what was to be invalidated, as far as Redis refuses that. */
  #standing(ids: readonly string[], found: FoundHeaders): FoundHeaders {
    if (this.#undelivered.isEmpty) return found
    return found.map((header, i) => (header && this.#isDoomed(header.times, ids[i]!, undefined) ? undefined : header))
  }

  #entryIn({ id, parentId, entry: bytes, parent, watermark, askedAt }: RawRead): MaybePromise<Entry | undefined> {
    if (bytes === null || (parentId !== undefined && parent === null)) return undefined
    this.#listener?.onBytes(bytes.length, 0)
    const entry = this.#reader.entry(bytes, id, this.#mirror.parse(watermark))
    const parentEntryId = parent === null ? undefined : readEntryId(parent)
    const isOf = (it: Entry | undefined): Entry | undefined => {
      if (it === undefined || this.#isDoomed(it, id, parentId)) return undefined
      return parentEntryId === undefined || it.parentId === parentEntryId ? it : undefined
    }
    if (!(entry instanceof Promise)) return isOf(entry)
    // It takes a SYNC to judge it.
    return within(entry, { since: askedAt, budgetMs: this.connection.commandTimeoutMs }).then(isOf)
  }

  /** True for what was to be invalidated, though Redis does not know it yet. */
  #isDoomed({ tags }: Pick<Entry, 'tags'>, id: string, parentId: string | undefined): boolean {
    if (this.#undelivered.isEmpty) return false
    return (
      this.#undelivered.concerns(id, tags) || (parentId !== undefined && this.#undelivered.concerns(parentId, tags))
    )
  }

  /** How long the memory of other processes may lag behind, in milliseconds. */
  async #invalidate(stamps: readonly string[], options: InvalidationOptions): Promise<number> {
    let stalenessMs = 0
    for (const some of piecesOf(stamps, MAX_NAMES)) {
      stalenessMs = Math.max(stalenessMs, await this.#invalidateSome(some, options))
    }
    return stalenessMs
  }

  async #invalidateSome(stamps: readonly string[], options: InvalidationOptions): Promise<number> {
    const { soft = false, holdMs = 0 } = options
    const args = [ms(this.#options.stampsMs), soft ? '~' : '', String(Math.ceil(holdMs)), ...stamps]
    const reply = (await this.#scripts.run(INVALIDATE, [HOLDS], args)) as readonly Buffer[]
    const [epoch, before, seq, floor, stalenessMs] = reply.map(String) as [string, string, string, string, string]
    const given = { epoch, before: Number(before), seq: Number(seq), floor: Number(floor), isSoft: soft, names: stamps }
    // Known here before anybody is told that it is done.
    if (!this.#mirror.apply(given)) this.#listening.doubt()
    return Math.max(Number(stalenessMs), this.#listening.maxStalenessMs)
  }

  async #sync(epoch: string, since: number): Promise<readonly Buffer[]> {
    const { maxStalenessMs, echo } = this.#listening
    const args = [epoch, String(since), String(Math.ceil(maxStalenessMs)), echo]
    return (await this.#scripts.run(SYNC, [], args)) as readonly Buffer[]
  }
}
