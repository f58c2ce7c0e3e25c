/**
 * Invalidations that could not be delivered. Their callers were told (they reject), and nothing is forgotten: they are
 * delivered as soon as Redis answers, before anything is read from it. Until then this process does not serve what they
 * concern: while Redis is out of reach nothing is read from it; while it refuses them (no permission, no disk) the rest
 * is read, and what bears one of their names counts as not there.
 *
 * Bounded: beyond so many names the namespaces of the keys among them are invalidated instead, and if that does not help
 * everything, which is one name.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CacheException, RedisConnectionError, RedisReplyError } from '../../exceptions.ts'
import { EVERYTHING, namespaceStampOf } from '../../key.ts'

const MAX_NAMES = 10_000
const RETRY_MS = 250
/**
 * Refused again and again, they are tried at growing intervals, up to this: what Redis refuses while it is busy, full or
 * cannot write to its disk it takes as soon as that is over, and nobody says when.
 */
const LAST_RETRY_MS = 1000
/** Rights that are missing are given by hand, and Redis logs each attempt. */
const LAST_RETRY_WITHOUT_RIGHTS_MS = 30_000
/** Holds that end within so long of each other are delivered together, with the end of the last. */
const HOLD_STEP_MS = 1000

export interface Delivery {
  remove(ids: readonly string[]): Promise<unknown>
  invalidate(stamps: readonly string[], how: { readonly soft: boolean; readonly holdMs: number }): Promise<unknown>
}

/** Of one name: which addition was the last to name it, and until when it is on hold. */
interface Waiting {
  readonly addition: number
  readonly heldUntil: number
}

type Names = Map<string, Waiting>

/** What one command delivers. */
interface Group {
  readonly from: Names
  readonly names: readonly string[]
  readonly deliver: (names: readonly string[]) => Promise<unknown>
}

export interface StampsOptions {
  readonly soft?: boolean
  readonly holdMs?: number
}

export class Undelivered {
  readonly #delivery: Delivery
  readonly #ids: Names = new Map()
  readonly #hard: Names = new Map()
  readonly #soft: Names = new Map()
  #additions = 0
  /** Additions up to this one have been delivered. */
  #delivered = 0
  #replaying: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #refusals = 0
  /** Until then Redis is not asked again, in milliseconds of `performance.now()`. */
  #refusedUntil = -Infinity
  #isClosed = false

  constructor(delivery: Delivery) {
    this.#delivery = delivery
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  /** How many calls wait to be delivered. */
  get waiting(): number {
    return this.#additions - this.#delivered
  }

  /** Redis is there, and refuses them. */
  get isRefused(): boolean {
    return this.#refusals > 0
  }

  addIds(ids: readonly string[]): void {
    this.#add(this.#ids, ids, 0)
  }

  addStamps(stamps: readonly string[], { soft = false, holdMs = 0 }: StampsOptions): void {
    this.#add(soft ? this.#soft : this.#hard, stamps, holdMs === 0 ? 0 : performance.now() + holdMs)
  }

  /** True if the entry under `id`, which bears `tags`, may be one of what is waiting to be invalidated. */
  concerns(id: string, tags: readonly string[]): boolean {
    const isNamed = (name: string): boolean => this.#hard.has(name) || this.#soft.has(name)
    return this.#ids.has(id) || isNamed(EVERYTHING) || tags.some(isNamed)
  }

  /** Delivers what is left, until nothing is, or Redis refuses it; rejects as long as Redis is out of reach. */
  async replay(): Promise<void> {
    while (!this.isEmpty && performance.now() >= this.#refusedUntil) {
      this.#replaying ??= this.#deliver().finally(() => (this.#replaying = undefined))
      await this.#replaying
    }
  }

  /** Delivers what it can within `graceMs`, and then nothing more. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    // Also what was refused a moment ago: there is no later.
    this.#refusedUntil = -Infinity
    if (!this.isEmpty)
      await Promise.race([this.replay().catch(() => undefined), sleep(graceMs, undefined, { ref: false })])
  }

  get #size(): number {
    return this.#ids.size + this.#hard.size + this.#soft.size
  }

  #add(names: Names, added: readonly string[], heldUntil: number): void {
    const addition = ++this.#additions
    for (const name of added) {
      names.set(name, { addition, heldUntil: Math.max(heldUntil, names.get(name)?.heldUntil ?? 0) })
    }
    if (this.#size > MAX_NAMES) this.#nameNamespaces()
    if (this.#size > MAX_NAMES) this.#nameEverything(addition)
    // What is new is not refused yet: it does not wait for the others.
    const soon = performance.now() + LAST_RETRY_MS
    if (this.#refusedUntil > soon) {
      this.#refusedUntil = soon
      clearTimeout(this.#retry)
      this.#retry = undefined
    }
    this.#scheduleRetry()
  }

  /** Of a namespace as much waits as of the last of its keys. */
  #nameNamespaces(): void {
    for (const [id, { addition }] of this.#ids) {
      const stamp = namespaceStampOf(id)
      this.#hard.set(stamp, { addition, heldUntil: this.#hard.get(stamp)?.heldUntil ?? 0 })
    }
    this.#ids.clear()
  }

  #nameEverything(addition: number): void {
    const all = [this.#ids, this.#hard, this.#soft]
    let heldUntil = 0
    for (const names of all) {
      for (const waiting of names.values()) heldUntil = Math.max(heldUntil, waiting.heldUntil)
      names.clear()
    }
    this.#hard.set(EVERYTHING, { addition, heldUntil })
  }

  /** All of it at once; what Redis refuses keeps nothing else from being delivered. */
  async #deliver(): Promise<void> {
    const last = this.#additions
    const outcomes = await Promise.allSettled(
      this.#groups().map(async ({ from, names, deliver }) => {
        await deliver(names)
        // What was added meanwhile stays for the next time, also what is named the second time.
        for (const name of names) if ((from.get(name)?.addition ?? 0) <= last) from.delete(name)
      }),
    )
    const faults = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []))
    const loss = faults.find((fault) => !(fault instanceof RedisReplyError))
    if (loss !== undefined) throw loss
    if (faults.length > 0) {
      const lastMs = faults.every(isForRights) ? LAST_RETRY_WITHOUT_RIGHTS_MS : LAST_RETRY_MS
      this.#refusedUntil = performance.now() + Math.min(RETRY_MS * 2 ** this.#refusals++, lastMs)
      this.#delivered = last - this.#waitingUntil(last)
      return
    }
    this.#refusals = 0
    this.#delivered = last
  }

  /** How many of the calls up to that one have names left, as far as no later call has named them again. */
  #waitingUntil(last: number): number {
    const all = [this.#ids, this.#hard, this.#soft].flatMap((names) => [...names.values()])
    return new Set(all.map(({ addition }) => addition).filter((addition) => addition <= last)).size
  }

  #groups(): Group[] {
    const groups: Group[] = []
    const remove: Group['deliver'] = (names) => this.#delivery.remove(names)
    if (this.#ids.size > 0) groups.push({ from: this.#ids, names: [...this.#ids.keys()], deliver: remove })
    for (const soft of [false, true]) {
      const from = soft ? this.#soft : this.#hard
      for (const [holdMs, names] of byHold(from, performance.now())) {
        groups.push({ from, names, deliver: (all) => this.#delivery.invalidate(all, { soft, holdMs }) })
      }
    }
    return groups
  }

  #scheduleRetry(): void {
    if (this.#isClosed) return
    this.#retry ??= setTimeout(
      () => {
        this.#retry = undefined
        const again = (): void => {
          if (!this.isEmpty) this.#scheduleRetry()
        }
        this.replay().then(again, again)
      },
      Math.max(RETRY_MS, this.#refusedUntil - performance.now()),
    ).unref()
  }
}

function isForRights(fault: Error): boolean {
  return fault instanceof RedisReplyError && fault.replyCode === 'NOPERM'
}

/** What the caller is told of an invalidation that could not be delivered. */
export function queued(error: unknown): unknown {
  if (error instanceof RedisConnectionError) {
    const message = `${error.message}; it is queued and will be delivered when Redis answers`
    return new RedisConnectionError(message, { cause: error.cause })
  }
  if (!(error instanceof RedisReplyError)) return error
  return new RedisReplyError(
    `${error.message}; it is queued and will be delivered when Redis takes it`,
    error.replyCode,
  )
}

/** What is told of those that wait when the cache is closed: with this process they are forgotten. */
export function leftUndelivered(count: number): CacheException | undefined {
  if (count === 0) return undefined
  const [invalidations, they] = count === 1 ? ['invalidation', 'it names'] : ['invalidations', 'they name']
  return new CacheException(
    `closed with ${count} ${invalidations} undelivered: what ${they} may be served until its ttl ends`,
  )
}

/** Names by how long they are still to be held; 0: not at all. */
function byHold(names: Names, now: number): Map<number, string[]> {
  const groups = new Map<number, string[]>()
  for (const [name, { heldUntil }] of names) {
    const leftMs = Math.max(0, Math.ceil((heldUntil - now) / HOLD_STEP_MS) * HOLD_STEP_MS)
    const group = groups.get(leftMs)
    if (group === undefined) groups.set(leftMs, [name])
    else group.push(name)
  }
  return groups
}
