/**
 * Callers that read, in every way a cache offers, and hold each value against the truth.
 *
 * Before each read it is looked up which version has been acknowledged; what is read must be that version or a later
 * one. With memory in front of Redis it is the version that had been acknowledged so long ago as memory may lag. What
 * this process has invalidated itself it must see at once, in either case, and whether or not Redis took it: that is
 * why the owner keeps what is due to itself (`own`).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheUnderTest, ReadOptions, Value } from './contestant.ts'
import type { Key } from './keys.ts'
import type { Loading, LoadingParts } from './loading.ts'
import { MAX_STALENESS_MS } from './messages.ts'
import { now } from './time.ts'

/** The two clocks of the bound, this process's and the timer of the beat, agree within it. */
const CLOCKS_MS = 2

const READ_PAUSE_MS = 8
const MANY = 5

export interface ReaderParts extends LoadingParts {
  readonly cache: CacheUnderTest
  readonly loading: Loading
  readonly keys: readonly Key[]
  /** The least version that this process itself has to see, by key. */
  readonly own: Map<number, number>
  /** How often Redis was not there for a call about a key. */
  readonly faults: Map<string, number>
}

/** What was known of a key before it was read. */
interface Before {
  readonly key: Key
  readonly at: number
  readonly least: number
  readonly own: number
  /** The greatest version that `get` has returned here. */
  readonly seen: number
  readonly inFlight: ReadonlySet<string>
  readonly faults: number
}

export class Reader {
  readonly #parts: ReaderParts
  readonly #seen: Map<number, number>

  /** @param seen what `get` has returned in this process, shared by its readers */
  constructor(parts: ReaderParts, seen: Map<number, number>) {
    this.#parts = parts
    this.#seen = seen
  }

  async readUntil(isOver: () => boolean): Promise<void> {
    const { random, reporting } = this.#parts
    while (!isOver()) {
      try {
        await this.#read()
      } catch {
        // The database is out of order on purpose, and Redis by the chaos: nothing was handed out.
        reporting.counts.rejectedReads++
      }
      await sleep(random.between(0, READ_PAUSE_MS))
    }
  }

  async #read(): Promise<void> {
    const { cache, random, loading, keys } = this.#parts
    const key = random.pickHot(keys)
    const options = this.#options(key)
    const way = random.weighted({
      read: 60,
      get: cache.get ? 30 : 0,
      getMany: cache.getMany ? 4 : 0,
      fillByHand: cache.fillByHand && !key.isForSet ? 0.5 : 0,
    })
    if (way === 'get') return this.#get([key], async () => [await cache.get!(key.name)])
    if (way === 'getMany') {
      const many = keys.filter(({ namespace }) => namespace === key.namespace)
      const some = Array.from({ length: MANY }, () => random.pickHot(many))
      return this.#get(some, () => cache.getMany!(some.map(({ name }) => name)))
    }
    if (way === 'fillByHand') return cache.fillByHand!(key.name, loading.load(key, { isForced: true }), options)
    const isWrapped = key.namespace === 'wrapped' && cache.readWrapped !== undefined && random.chance(0.8)
    const before = this.#before(key)
    const value = isWrapped
      ? await cache.readWrapped!(key.name, loading.load(key, { isForced: false }), options)
      : await cache.read(key.name, loading.load(key, options), options)
    return this.#check(before, value, isWrapped ? 'a cached function' : `getOrSet ${nameOf(options)}`)
  }

  async #get(keys: readonly Key[], get: () => Promise<readonly (Value | undefined)[]>): Promise<void> {
    const before = keys.map((key) => this.#before(key))
    const values = await get()
    for (const [i, value] of values.entries()) {
      // Some caches say null for what is not there.
      if (value === undefined || value === null) {
        this.#parts.reporting.counts.reads++
        continue
      }
      this.#check(before[i]!, value, keys.length > 1 ? 'getMany' : 'get')
      this.#checkOrder(before[i]!, value)
    }
  }

  #before(key: Key): Before {
    const { truth, own, loading, faults, setup } = this.#parts
    const mayLagMs = setup.conditions.hasMemory ? MAX_STALENESS_MS + CLOCKS_MS : 0
    return {
      key,
      least: truth.least(key.index, mayLagMs),
      own: own.get(key.index) ?? 0,
      seen: this.#seen.get(key.index) ?? 0,
      inFlight: loading.inFlight(),
      faults: faults.get(key.name) ?? 0,
      at: now(),
    }
  }

  #check(before: Before, value: Value, by: string): void {
    const { reporting, faults, setup } = this.#parts
    const { counts } = reporting
    const { key, own } = before
    counts.reads++
    if (value.version >= Math.max(before.least, own)) {
      if (setup.conditions.hasMemory) counts.worstAgeMs = Math.max(counts.worstAgeMs, this.#ageMs(before, value))
      return
    }
    // Documented: cut off from Redis, callers of one process share a load with nobody to confirm it.
    const isCutOff = (faults.get(key.name) ?? 0) > before.faults
    if (value.version >= own && isCutOff && before.inFlight.has(value.load)) {
      counts.unconfirmed++
      return
    }
    counts.staleReads++
    const why = value.version < own ? 'invalidated by this very process' : 'acknowledged to all'
    this.#violation('stale', before, { value, by, least: Math.max(before.least, own), detail: why })
  }

  /** For how long the value had been out of date when it was asked for. */
  #ageMs({ key, at }: Before, { version }: Value): number {
    return at - (this.#parts.truth.overtakenAt(key.index, version) ?? at)
  }

  /** What a process reads from the store of one key only grows. */
  #checkOrder(before: Before, value: Value): void {
    const { index } = before.key
    if (value.version < before.seen) {
      this.#parts.reporting.counts.nonMonotonic++
      const detail = 'after this process had read a later version'
      this.#violation('non-monotonic', before, { value, by: 'get', least: before.seen, detail })
    }
    this.#seen.set(index, Math.max(this.#seen.get(index) ?? 0, value.version))
  }

  #violation(
    kind: 'stale' | 'non-monotonic',
    { key, at }: Before,
    { value, by, least, detail }: { value: Value; by: string; least: number; detail: string },
  ): void {
    const { reporting, setup } = this.#parts
    const { version, load } = value
    const facts = { process: setup.process, key: key.name, by, version, least, at }
    const late = `loaded as ${load}, answered after ${(now() - at).toFixed(1)} ms`
    reporting.violation({ kind, ...facts, detail: `${detail}; ${late}` })
  }

  #options({ tags, learntTags }: Key): ReadOptions {
    const { random } = this.#parts
    return {
      tags,
      learntTags,
      ttlMs: random.pick([40, 500, 30_000, 30_000, 30_000]),
      swrMs: random.chance(0.2) ? 500 : 0,
      graceMs: random.chance(0.2) ? 5000 : 0,
      jitter: random.chance(0.1) ? 0.5 : 0,
      softTimeoutMs: random.chance(0.05) ? 10 : undefined,
      hardTimeoutMs: random.chance(0.01) ? 40 : undefined,
      isForced: random.chance(0.005),
      isEarly: random.chance(0.1),
    }
  }
}

function nameOf({ ttlMs, swrMs, graceMs, isForced, isEarly, softTimeoutMs }: ReadOptions): string {
  return JSON.stringify({ ttlMs, swrMs, graceMs, isForced, isEarly, softTimeoutMs })
}
