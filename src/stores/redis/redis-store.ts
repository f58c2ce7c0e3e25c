/**
 * Entries in Redis, under the contract of store.ts. What stands in which key, and what each script does: scripts.ts.
 *
 * A read is one MGET of the entry, its parent and the watermark. Everything that writes is one script.
 */
import type { Clock } from '../../clock.ts'
import { STAMP_BYTES, readEntryId, type Codec } from '../../codec/codec.ts'
import { within } from '../../deadline.ts'
import type { Entry, EntryDraft } from '../../entry.ts'
import type { ConnectionEvent } from '../../events.ts'
import { CacheException } from '../../exceptions.ts'
import { hashTag } from '../../key.ts'
import { newEpoch, newToken } from '../../token.ts'
import { parentDraft } from '../parent.ts'
import type {
  Acquired,
  AcquireOptions,
  EntryTimes,
  InvalidationOptions,
  Lease,
  MaybePromise,
  Store,
  StoreListener,
  Verdict,
  Watch,
} from '../store.ts'
import { Watches } from '../watches.ts'
import type { Validity } from '../watermark.ts'
import { bytesOf, FENCED, leaseId, leaseOf, ms, wholly } from './arguments.ts'
import type { Argument, Reply } from './client.ts'
import type { Script, StoreConnection } from './connection.ts'
import { Coherence } from './coherence.ts'
import { EntryReader, type FoundHeader } from './entry-reader.ts'
import { Mirror } from './mirror.ts'
import { Outages } from './outages.ts'
import { ReadBatch, type RawRead } from './read-batch.ts'
import { ACQUIRE, EXPIRE, EXTEND, FILL, GREET, HEADERS, INVALIDATE, REMOVE, SET, SYNC } from './scripts.ts'
import { leftUndelivered, queued, Undelivered } from './undelivered.ts'

/** So many entries per REMOVE or HEADERS: a script holds the server up for well under a millisecond. */
const CHUNK = 200

/** So many different entries of no use are passed over before a lease is given up. */
const MAX_TRIES = 10

/** How long `close()` waits for what could not be delivered yet. */
const CLOSE_GRACE_MS = 1000

/** Names whose fills are refused for a while, and what is known of servers and stores: keys below the root. */
const HOLDS = 'h'
const META = 'm'

/** Standalone Redis needs no more than one shard. */
const WHOLE: Shard = { index: 0, of: 1 }

const UNKNOWN_SERVER =
  'cannot tell whether Redis was restarted or failed over, and entries may come back that were invalidated: ' +
  "its user needs INFO (ACL +info); or say redis.onFailover: 'trust'"

/** A memory in front of this store. */
export interface Tier {
  onRemoved(ids: readonly string[]): void
  /** Nothing that is kept may be relied on; with several shards only what `isConcerned` says. */
  onDoubt(isConcerned?: (id: string) => boolean): void
}

export interface Shard {
  readonly index: number
  readonly of: number
}

export interface RedisStoreOptions {
  readonly connection: StoreConnection
  readonly codec: Codec
  /** In front of every key; no braces, which would move the hash tag. */
  readonly keyPrefix: string
  /** Which part of the ids this store holds; without it, all of them. */
  readonly shard?: Shard
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
  readonly #root: string
  readonly #metaKeys: readonly [watermark: string, stamps: string, channel: string]
  /** The name of this store in messages. */
  readonly #origin = newEpoch()
  readonly #watches = new Watches()
  readonly #undelivered: Undelivered
  #coherence: Coherence | undefined
  #tier: Tier | undefined
  #maxStalenessMs = 0
  readonly #reads: ReadBatch
  readonly #mirror: Mirror
  readonly #reader: EntryReader
  #listener: StoreListener | undefined
  #isClosed = false

  constructor(options: RedisStoreOptions) {
    const { connection, codec, clock, decodeResponses, shard = WHOLE } = options
    this.#options = options
    this.connection = connection
    this.#codec = codec
    // One hash tag for all keys of the store: every command stays on one slot.
    this.#root = `${options.keyPrefix}${hashTag(shard.index)}`
    // Channels know no SELECT: the name tells the databases of one server apart. Of a shard it is the slot's own channel.
    const channel = shard.of === 1 ? String(connection.db) : 's'
    this.#metaKeys = [`${this.#root}w`, `${this.#root}t`, `${this.#root}x:${channel}`]
    this.#reads = new ReadBatch({
      send: (args) => connection.send(args),
      keyOf: (id) => this.#root + id,
      watermarkKey: this.#metaKeys[0],
      judge: (raw) => this.#entryIn(raw),
    })
    this.#mirror = new Mirror((epoch, since) => this.#sync(epoch, since))
    const onFault = (error: Parameters<StoreListener['onFault']>[0]): void => this.#listener?.onFault(error)
    this.#reader = new EntryReader({ codec, clock, decodeResponses, mirror: this.#mirror, onFault })
    this.#undelivered = new Undelivered({
      remove: async (ids) => {
        await this.#headers(REMOVE, ids)
        // Its own message is no news here, and a load that should have been fenced may have been kept meanwhile.
        this.#tier?.onRemoved(ids)
      },
      invalidate: (stamps, how) => this.#invalidate(stamps, how),
    })
    const tell = (change: ConnectionEvent): void => this.#listener?.onConnection?.(change)
    const outages = new Outages({ redis: connection.name, undelivered: this.#undelivered, tell })
    connection.watch(outages)
    connection.greet({
      say: () => {
        const keys = this.#keys([META, HOLDS])
        const args = [this.#call(), options.onFailover === 'invalidate' ? '1' : '', String(shard.of)]
        return ['EVAL', GREET.lua, String(keys.length), ...keys, ...args]
      },
      onTaken: (reply) => outages.onGreeted(String(reply)),
      onRefused: (cause) => onFault(new CacheException(UNKNOWN_SERVER, { cause })),
      // What is heard there is no news either.
      onUnserved: (reason) => this.#coherence?.reconnect(reason),
    })
  }

  read(id: string, parentId?: string): Promise<Entry | undefined> {
    this.#assertOpen()
    if (this.#undelivered.isEmpty) return this.#reads.read(id, parentId)
    return this.#undelivered.replay().then(() => this.#reads.read(id, parentId))
  }

  async acquire(id: string, options: AcquireOptions): Promise<Acquired> {
    this.#assertOpen()
    if (!this.#undelivered.isEmpty) await this.#undelivered.replay()
    const token = newToken()
    let { seen } = options
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const [outcome, ...reply] = await this.#askForLease(id, token, { ...options, seen })
      if (outcome!.toString() === 'busy') return { outcome: 'busy' }
      if (outcome!.toString() === 'lead')
        return { outcome: 'lead', lease: leaseOf({ id, token }, options.parentId, reply) }

      const [bytes, parentEntryId, watermark] = reply as [Buffer, Buffer, Buffer]
      this.#listener?.onBytes(bytes.length, 0)
      const entry = await this.#reader.entry(bytes, id, this.#mirror.parse(watermark))
      const isChild = options.parentId !== undefined
      const isOfParent = !isChild || entry?.parentId === parentEntryId.toString('hex')
      if (entry !== undefined && isOfParent && !this.#isDoomed(entry, id, options.parentId)) {
        return { outcome: 'hit', entry }
      }
      // What stands there is of no use: ask again, for the right to replace it.
      seen = readEntryId(bytes)
    }
    throw new CacheException(`ACQUIRE: expected a lease after ${MAX_TRIES} tries, got entries that are of no use`)
  }

  async extend(lease: Lease, leaseMs: number): Promise<boolean> {
    // The entry's key is not touched, but the lease is always the key behind it.
    return (await this.#run(EXTEND, [leaseId(lease.id)], [bytesOf(lease.token), ms(leaseMs)])) === 1
  }

  async fill(lease: Lease, draft: EntryDraft, as: string = lease.id): Promise<Verdict> {
    this.#assertOpen()
    const { id, parent } = lease
    const tail = await this.#codec.encode(draft, as)
    const lifetime = ms(draft.graceUntil - draft.storedAt)
    const keys = [as, leaseId(id), HOLDS]
    const args: Argument[] = [bytesOf(lease.token), tail, lifetime]
    if (parent === undefined) {
      args.push('', '')
    } else {
      keys.push(parent.id)
      const kept = { ...draft, value: null, entryId: parent.entryId, parentId: undefined, tags: draft.tags.slice(0, 1) }
      args.push(bytesOf(parent.entryId), await this.#codec.encode({ ...kept, plain: true }, parent.id))
    }
    const verdict = await this.#run(FILL, keys, [...args, ...draft.tags])
    if (verdict !== 1) return this.#fenced(id, verdict)
    this.#listener?.onBytes(0, tail.length + STAMP_BYTES)
    return 'stored'
  }

  async release({ id, token, parent }: Lease, tags: readonly string[]): Promise<Verdict> {
    this.#assertOpen()
    const keys = [id, leaseId(id), HOLDS, ...(parent === undefined ? [] : [parent.id])]
    const args = [bytesOf(token), '', ms(1), bytesOf(parent?.entryId ?? ''), '', ...tags]
    const verdict = await this.#run(FILL, keys, args)
    return verdict === 1 ? 'released' : this.#fenced(id, verdict)
  }

  async set(id: string, draft: EntryDraft): Promise<void> {
    this.#assertOpen()
    const tail = await this.#codec.encode(draft, id)
    await this.#run(SET, [id, leaseId(id)], [tail, ms(draft.graceUntil - draft.storedAt)])
    this.#listener?.onBytes(0, tail.length + STAMP_BYTES)
  }

  async remove(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    this.#assertOpen()
    try {
      const found = await this.#headers(REMOVE, ids)
      return found.map((header) => header?.times)
    } catch (error) {
      this.#undelivered.addIds(ids)
      throw queued(error)
    }
  }

  async times(ids: readonly string[]): Promise<readonly (EntryTimes | undefined)[]> {
    this.#assertOpen()
    const found = await this.#headers(HEADERS, ids)
    return found.map((header) => header?.times)
  }

  async expire(id: string, freshUntil: number): Promise<boolean> {
    this.#assertOpen()
    for (;;) {
      const [found] = await this.#headers(HEADERS, [id])
      if (found === undefined) return false
      const args = [found.bytes, found.expired(freshUntil), ms(freshUntil - this.#options.clock.now())]
      if ((await this.#run(EXPIRE, [id], args)) === 1) return true
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
    this.#listenToOthers()
    return this.#watches.watch(id)
  }

  /** Serve the memory in front: tell it what others remove, and from now on know how current this process is. */
  follow(tier: Tier, maxStalenessMs: number): void {
    this.#tier = tier
    this.#maxStalenessMs = maxStalenessMs
    this.#listenToOthers()
  }

  /** How an entry stands that was kept in memory; undefined if what is known of invalidations is not current. */
  judge(entry: Entry, id: string, parentId: string | undefined): Validity | undefined {
    // Out of reach is not current; refused is what was named, and nothing else.
    const isDelivered = this.#undelivered.isEmpty || this.#undelivered.isRefused
    if (!isDelivered || this.#coherence?.isCurrent() !== true) return undefined
    return this.#isDoomed(entry, id, parentId) ? undefined : this.#mirror.judgeKept(entry)
  }

  ping(): Promise<boolean> {
    return this.connection.ping()
  }

  listen(listener: StoreListener): void {
    this.#listener = listener
  }

  /** What could not be delivered is tried once more; what then is left is told, unless this is one shard of several. */
  async close(): Promise<void> {
    const { shard } = this.#options
    if (this.#isClosed) return this.connection.close()
    const graceMs = Math.min(CLOSE_GRACE_MS, this.connection.commandTimeoutMs)
    await this.#undelivered.close(graceMs)
    this.#isClosed = true
    await this.#coherence?.close()
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

  #fenced(id: string, reply: Reply): 'fenced' {
    this.#listener?.onTrace?.(`a load of ${id} is refused: ${FENCED[Number(reply)] ?? 'overtaken'}`)
    return 'fenced'
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
  #isDoomed({ tags }: Entry, id: string, parentId: string | undefined): boolean {
    if (this.#undelivered.isEmpty) return false
    return (
      this.#undelivered.concerns(id, tags) || (parentId !== undefined && this.#undelivered.concerns(parentId, tags))
    )
  }

  /** How long the memory of other processes may lag behind, in milliseconds. */
  async #invalidate(stamps: readonly string[], options: InvalidationOptions): Promise<number> {
    const { soft = false, holdMs = 0 } = options
    const args = [ms(this.#options.stampsMs), soft ? '~' : '', String(Math.ceil(holdMs)), ...stamps]
    const reply = (await this.#run(INVALIDATE, [HOLDS], args)) as readonly Buffer[]
    const [epoch, before, seq, floor, stalenessMs] = reply.map(String) as [string, string, string, string, string]
    const given = { epoch, before: Number(before), seq: Number(seq), floor: Number(floor), isSoft: soft, names: stamps }
    // Known here before anybody is told that it is done.
    if (!this.#mirror.apply(given)) this.#coherence?.doubt()
    return Math.max(Number(stalenessMs), this.#maxStalenessMs)
  }

  /** From the first time that somebody waits, or keeps entries near. */
  #listenToOthers(): void {
    const maxStalenessMs = this.#maxStalenessMs
    this.#coherence ??= new Coherence({
      subscriber: this.connection.subscriber(),
      channel: this.#metaKeys[2],
      mirror: this.#mirror,
      origin: this.#origin,
      maxStalenessMs: maxStalenessMs || Infinity,
      listener: {
        onRemoved: (ids) => this.#tier?.onRemoved(ids),
        onReleased: (id) => this.#watches.wake(id),
        onDoubt: () => {
          this.#tier?.onDoubt()
          if (this.#tier !== undefined) this.#listener?.onTrace?.('out of step with Redis, what memory held is dropped')
        },
        onInStep: () => {
          if (this.#tier !== undefined) this.#listener?.onTrace?.('in step with Redis, memory may serve')
        },
      },
    })
  }

  async #askForLease(id: string, token: string, options: AcquireOptions): Promise<readonly Buffer[]> {
    const { parentId, seen = '' } = options
    const keys = [id, leaseId(id)]
    let parentTail: Argument = ''
    if (parentId !== undefined) {
      keys.push(parentId)
      parentTail = await this.#codec.encode(parentDraft(token, options, this.#options.clock.now()), parentId)
    }
    const args = [bytesOf(token), ms(options.leaseMs), bytesOf(seen), options.steal === true ? '1' : '']
    return (await this.#run(ACQUIRE, keys, [
      ...args,
      parentTail,
      ms(options.parentMs ?? 1),
      ...options.tags,
    ])) as readonly Buffer[]
  }

  /** What REMOVE or HEADERS found of valid entries. */
  async #headers(script: Script, ids: readonly string[]): Promise<readonly (FoundHeader | undefined)[]> {
    if (ids.length > CHUNK) {
      const chunks = Array.from({ length: Math.ceil(ids.length / CHUNK) }, (_, i) =>
        this.#headers(script, ids.slice(i * CHUNK, (i + 1) * CHUNK)),
      )
      return (await Promise.all(chunks)).flat()
    }
    const keys = script === REMOVE ? ids.flatMap((id) => [id, leaseId(id)]) : ids
    const [watermark, ...replies] = (await this.#run(script, keys, [])) as readonly [Buffer, ...(Buffer | number)[]]
    const state = this.#mirror.parse(watermark)
    return Promise.all(
      ids.map((id, i) => {
        return this.#reader.header(replies[2 * i] as Buffer, id, { pttl: replies[2 * i + 1] as number, state })
      }),
    )
  }

  async #sync(epoch: string, since: number): Promise<readonly Buffer[]> {
    const staleness = String(Math.ceil(this.#maxStalenessMs))
    return (await this.#run(SYNC, [], [epoch, String(since), staleness])) as readonly Buffer[]
  }

  #run(script: Script, ids: readonly string[], args: readonly Argument[]): Promise<Reply> {
    return this.connection.run(script, this.#keys(ids), [this.#call(), ...args])
  }

  #keys(ids: readonly string[]): readonly string[] {
    return [...this.#metaKeys, ...ids.map((id) => this.#root + id)]
  }

  /** A candidate for the name of an epoch, and who calls: the first argument of every script. */
  #call(): string {
    return newEpoch() + this.#origin
  }
}
