/**
 * The shards of a Redis Cluster as one store: each is a store of its own, on one slot, with stamps, queue and coherence
 * of its own. What concerns one id goes to its shard; an invalidation goes to all of them, since any may hold entries
 * that bear its names.
 */
import type { Entry, EntryDraft } from '../../entry.ts'
import type { ConnectionEvent } from '../../events.ts'
import { hashTag, shardOf, SHARDS } from '../../key.ts'
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
} from '../store.ts'
import type { Validity } from '../watermark.ts'
import type { Cluster } from './cluster.ts'
import type { Tier } from './listening.ts'
import { RedisStore, type RedisStoreOptions } from './redis-store.ts'
import { ShardOutages } from './shard-outages.ts'
import { ShardConnection } from './shard-connection.ts'
import { slotOf } from './slots.ts'
import { leftUndelivered } from './undelivered.ts'

/** A store over a cluster; closing it closes the cluster. */
export function openShards(cluster: Cluster, options: Omit<RedisStoreOptions, 'connection' | 'shard'>): ShardedStore {
  const shards = Array.from({ length: SHARDS }, (_, index) => {
    const connection = new ShardConnection(cluster, slotOf(hashTag(index)))
    return new RedisStore({ ...options, connection, shard: { index, of: SHARDS } })
  })
  return new ShardedStore(shards, () => cluster.close())
}

/** The worst first. */
const BREAKERS = ['open', 'half-open', 'closed'] as const

type Times = readonly (EntryTimes | undefined)[]

export class ShardedStore implements Store {
  readonly #shards: readonly RedisStore[]
  readonly #close: () => Promise<void>
  readonly #outages = new ShardOutages((change) => this.#listener?.onConnection?.(this.#inCalls(change)))
  #listener: StoreListener | undefined
  /** Calls that have left something to deliver since nothing was: one that was refused by all shards is one. */
  #queued = 0
  #isClosed = false

  /** @param close ends what the shards have in common, after them */
  constructor(shards: readonly RedisStore[], close: () => Promise<void>) {
    this.#shards = shards
    this.#close = close
  }

  read(id: string, parentId?: string): Promise<Entry | undefined> {
    return this.#shard(id).read(id, parentId)
  }

  acquire(id: string, options: AcquireOptions): Promise<Acquired> {
    return this.#shard(id).acquire(id, options)
  }

  extend(lease: Lease, leaseMs: number): Promise<boolean> {
    return this.#shard(lease.id).extend(lease, leaseMs)
  }

  /** All children of a parent, and so `as`, are in its shard. */
  fill(lease: Lease, draft: EntryDraft, as?: string): Promise<Verdict> {
    return this.#shard(lease.id).fill(lease, draft, as)
  }

  release(lease: Lease, tags: readonly string[]): Promise<Verdict> {
    return this.#shard(lease.id).release(lease, tags)
  }

  set(id: string, draft: EntryDraft): Promise<void> {
    return this.#shard(id).set(id, draft)
  }

  remove(ids: readonly string[]): Promise<Times> {
    return this.#counted(() => this.#each(ids, (shard, its) => shard.remove(its)))
  }

  times(ids: readonly string[]): Promise<Times> {
    return this.#each(ids, (shard, its) => shard.times(its))
  }

  expire(id: string, freshUntil: number): Promise<boolean> {
    return this.#shard(id).expire(id, freshUntil)
  }

  /** One shard that fails fails it; that one keeps what it could not deliver, the others have it. */
  invalidate(stamps: readonly string[], options?: InvalidationOptions): Promise<void> {
    return this.#counted(() => whole(this.#shards.map((shard) => shard.invalidate(stamps, options))))
  }

  watch(id: string): Watch {
    return this.#shard(id).watch(id)
  }

  follow(tier: Tier, maxStalenessMs: number): void {
    for (const shard of this.#shards) {
      const onDoubt = (): void => tier.onDoubt((id) => this.#shard(id) === shard)
      shard.follow({ onRemoved: (ids) => tier.onRemoved(ids), onDoubt }, maxStalenessMs)
    }
  }

  judge(entry: Entry, id: string, parentId: string | undefined): Validity | undefined {
    return this.#shard(id).judge(entry, id, parentId)
  }

  async ping(): Promise<boolean> {
    const answers = await Promise.all(this.#shards.map((shard) => shard.ping()))
    return answers.every(Boolean)
  }

  health(): StoreHealth {
    const all = this.#shards.map((shard) => shard.health())
    const worst = BREAKERS.find((breaker) => all.some((one) => one.breaker === breaker))
    return { breaker: worst!, undelivered: this.#waiting }
  }

  listen(listener: StoreListener): void {
    this.#listener = listener
    for (const shard of this.#shards) {
      shard.listen({
        onEvict: (id) => listener.onEvict(id),
        onFault: (error) => listener.onFault(error),
        onBytes: (read, written) => listener.onBytes(read, written),
        onConnection: (change) => this.#outages.onConnection(shard, change),
        onTrace: (what) => listener.onTrace?.(what),
      })
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.close()))
    await this.#close()
    if (this.#isClosed) return
    this.#isClosed = true
    const left = leftUndelivered(this.#waiting)
    if (left !== undefined) this.#listener?.onFault(left)
  }

  /** What waits to be delivered, each call once for each shard. */
  get #parts(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.waiting, 0)
  }

  /** How many calls wait to be delivered. */
  get #waiting(): number {
    return Math.min(this.#parts, Math.max(1, this.#queued))
  }

  async #counted<T>(call: () => Promise<T>): Promise<T> {
    // In an outage they are needed for its end.
    if (this.#parts === 0 && !this.#outages.isOn) this.#queued = 0
    try {
      return await call()
    } catch (error) {
      if (this.#parts > 0) this.#queued++
      throw error
    }
  }

  /** The end of an outage with calls counted, as their callers do, instead of what each of them left on each shard. */
  #inCalls(change: ConnectionEvent): ConnectionEvent {
    if (change.state === 'down') return change
    const waiting = this.#waiting
    const delivered = Math.min(change.delivered, Math.max(0, this.#queued - waiting))
    this.#queued = waiting
    return { ...change, delivered, waiting }
  }

  #shard(id: string): RedisStore {
    return this.#shards[shardOf(id, this.#shards.length)]!
  }

  /** Asks each shard for its part of `ids`, all at once; the answers are in the order of `ids`. */
  async #each(
    ids: readonly string[],
    ask: (shard: RedisStore, ids: readonly string[]) => Promise<Times>,
  ): Promise<Times> {
    const parts = new Map<RedisStore, number[]>()
    for (const [position, id] of ids.entries()) {
      const shard = this.#shard(id)
      const positions = parts.get(shard)
      if (positions === undefined) parts.set(shard, [position])
      else positions.push(position)
    }
    const answers: (EntryTimes | undefined)[] = Array.from({ length: ids.length })
    const asking = Array.from(parts, async ([shard, positions]) => {
      const answer = await ask(
        shard,
        positions.map((position) => ids[position]!),
      )
      for (const [i, position] of positions.entries()) answers[position] = answer[i]
    })
    await whole(asking)
    return answers
  }
}

/** All of them have settled, whatever one of them comes to: the caller may rely on what the others did. */
async function whole(all: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(all)
  await Promise.all(all)
}
