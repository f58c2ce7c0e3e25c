/**
 * The owner of keys: writes a new version of some of them, then invalidates, and when that has resolved acknowledges
 * the versions. From then on nobody may be handed an older one.
 *
 * An invalidation that rejects is not acknowledged to others, but from then on this process itself must not serve what
 * it concerns; and as soon as a read of the store has succeeded here again it has been delivered, and is acknowledged.
 * A `set` that was rejected may be applied later, so its key is left alone until no command can be on its way any more.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheUnderTest } from './contestant.ts'
import type { Key } from './keys.ts'
import type { ReaderParts } from './reader.ts'
import { now } from './time.ts'

const PAUSE_MS = 180
/** Who writes often writes again while the load is under way that the first invalidation has brought about. */
const AGAIN_SHARE = 0.4
const AGAIN_MS = 25
/** Longer than any fault of the network lasts. */
const LATE_SET_MS = 3000
const RETRY_MS = 20

/** An invalidation, and the keys it concerns: those that are written before, and all. */
interface Plan {
  readonly kind: string
  readonly written: readonly Key[]
  readonly concerned: readonly Key[]
  readonly isStrict?: boolean
  invalidate(): Promise<void>
}

/** An invalidation that has come to its end, one way or the other, and the versions that were written before it. */
interface Done extends Plan {
  readonly from: number
  readonly versions: readonly (readonly [key: number, version: number])[]
}

export class Writer {
  readonly #parts: ReaderParts
  readonly #owned: readonly Key[]
  readonly #setKeys: readonly Key[]
  /** What was rejected and may not have been delivered yet. */
  #undelivered: Done[] = []
  /** Before then a `set` of an earlier life may still arrive. */
  #mayLateSetUntil: number

  constructor(parts: ReaderParts) {
    this.#parts = parts
    const { keys, setup } = parts
    const mine = keys.filter(({ owner }) => owner === setup.process)
    this.#owned = mine.filter(({ isForSet }) => !isForSet)
    this.#setKeys = mine.filter(({ isForSet }) => isForSet)
    this.#mayLateSetUntil = setup.life > 0 ? now() + LATE_SET_MS : 0
  }

  async invalidateUntil(isOver: () => boolean): Promise<void> {
    const { random } = this.#parts
    while (!isOver()) {
      const plan = this.#plan()
      await this.#carryOut(plan)
      while (random.chance(AGAIN_SHARE) && !isOver()) {
        await sleep(random.between(0, AGAIN_MS))
        await this.#carryOut(plan)
      }
      await sleep(random.between(0, PAUSE_MS))
    }
  }

  /** Invalidates everything, because the parent has a use for it. */
  async clear(): Promise<void> {
    if (this.#parts.cache.clear !== undefined) await this.#carryOut(this.#clearing('everything'))
  }

  async setUntil(isOver: () => boolean): Promise<void> {
    const { cache, random, setup, truth, own } = this.#parts
    if (cache.set === undefined) return
    while (!isOver()) {
      await sleep(random.between(0, 2 * PAUSE_MS))
      if (now() < this.#mayLateSetUntil) continue
      const key = random.pick(this.#setKeys)
      const from = now()
      const version = truth.write(key.index)
      const value = { key: key.name, version, load: `${setup.process}.${setup.life}.set`, padding: '' }
      try {
        if (random.chance(0.2)) await cache.invalidateKey(key.name)
        else await cache.set(key.name, value, this.#setOptions())
        truth.acknowledge(key.index, version)
        own.set(key.index, version)
      } catch {
        this.#mayLateSetUntil = now() + LATE_SET_MS
      }
      this.#record('set', [key], from)
    }
  }

  #setOptions(): Parameters<NonNullable<CacheUnderTest['set']>>[2] {
    const ttlMs = this.#parts.random.pick([300, 30_000])
    const timeouts = { softTimeoutMs: undefined, hardTimeoutMs: undefined }
    const none = { tags: [], learntTags: [], swrMs: 0, graceMs: 0, jitter: 0, isForced: false, isEarly: false }
    return { ttlMs, ...none, ...timeouts }
  }

  /** Acknowledges what was rejected, once it has been delivered after all. */
  async deliverUntil(isOver: () => boolean): Promise<void> {
    const { cache, keys, reporting, setup } = this.#parts
    // A shard delivers what is left for itself.
    const looked = setup.redis === undefined ? keys.slice(0, 1) : keys
    while (!isOver() && cache.get !== undefined) {
      await sleep(RETRY_MS)
      const due = this.#undelivered
      if (due.length === 0) continue
      this.#undelivered = []
      try {
        // Before it reads the store a process delivers what is left.
        await Promise.all(looked.map(({ name }) => cache.get!(name)))
        reporting.counts.lateDeliveries += due.length
        for (const one of due) this.#acknowledge(one)
      } catch {
        this.#undelivered.unshift(...due)
      }
    }
    for (const { kind, concerned, from } of this.#undelivered) this.#record(kind, concerned, from)
  }

  async #carryOut(plan: Plan): Promise<void> {
    const { truth, own, reporting } = this.#parts
    const from = now()
    const versions = plan.written.map(({ index }) => [index, truth.write(index)] as const)
    const isDone = await plan.invalidate().then(
      () => true,
      () => false,
    )
    // Also what has rejected: until it is delivered this process does without the store.
    for (const [index, version] of versions) own.set(index, Math.max(own.get(index) ?? 0, version))
    if (isDone) return this.#acknowledge({ ...plan, from, versions })
    reporting.counts.rejectedInvalidations++
    this.#undelivered.push({ ...plan, isStrict: false, from, versions })
    return undefined
  }

  #acknowledge({ kind, concerned, from, versions, isStrict }: Done): void {
    for (const [index, version] of versions) {
      this.#parts.truth.acknowledge(index, version, { isStrict: isStrict === true })
    }
    this.#record(kind, concerned, from)
  }

  #record(kind: string, concerned: readonly Key[], from: number): void {
    const keys = concerned.map(({ index }) => index)
    this.#parts.reporting.add('invalidations', { kind, keys, from, to: now() })
  }

  #plan(): Plan {
    const { cache, random, setup } = this.#parts
    const kind = random.weighted({
      key: 50,
      keys: cache.invalidateKeys ? 8 : 0,
      tags: cache.invalidateTags ? 20 : 0,
      'strict tags': cache.invalidateTags && setup.conditions.hasMemory ? 2 : 0,
      'soft tags': cache.invalidateSoftly ? 6 : 0,
      'shared tag': cache.invalidateTags ? 2 : 0,
      namespace: cache.clear ? 0.7 : 0,
      everything: cache.clear ? 0.3 : 0,
    })
    if (kind === 'namespace' || kind === 'everything') return this.#clearing(kind)
    if (kind === 'key' || kind === 'keys') return this.#removal(kind)
    return this.#stamping(kind)
  }

  #removal(kind: 'key' | 'keys'): Plan {
    const { cache, random } = this.#parts
    const key = random.pickHot(this.#owned)
    if (kind === 'key') {
      return { kind, written: [key], concerned: [key], invalidate: () => cache.invalidateKey(key.name) }
    }
    const alike = this.#owned.filter(({ namespace }) => namespace === key.namespace)
    const some = [...new Set([key, random.pickHot(alike), random.pickHot(alike)])]
    const invalidate = (): Promise<void> => cache.invalidateKeys!(some.map(({ name }) => name))
    return { kind, written: some, concerned: some, invalidate }
  }

  #stamping(kind: 'tags' | 'strict tags' | 'soft tags' | 'shared tag'): Plan {
    const { cache, random, keys } = this.#parts
    const isShared = kind === 'shared tag'
    const tagOf = (key: Key): string => random.pick(key.tags.filter((tag) => tag.startsWith('all ') === isShared))
    const tags = Array.from({ length: isShared ? 1 : 1 + random.below(2) }, () => tagOf(random.pickHot(this.#owned)))
    const bearing = (list: readonly Key[]): Key[] => list.filter((key) => key.tags.some((tag) => tags.includes(tag)))
    const concerned = bearing(keys)
    if (kind === 'soft tags') {
      // Stale copies remain, so nothing is promised about what is read.
      return { kind, written: [], concerned, invalidate: () => cache.invalidateSoftly!(tags) }
    }
    const isStrict = kind === 'strict tags'
    const invalidate = (): Promise<void> => cache.invalidateTags!(tags, { isStrict })
    return { kind, written: bearing(this.#owned), concerned, isStrict, invalidate }
  }

  #clearing(kind: 'namespace' | 'everything'): Plan {
    const { cache, random, keys } = this.#parts
    const namespace = kind === 'everything' ? undefined : random.pick(this.#owned).namespace
    const within = (list: readonly Key[]): Key[] =>
      list.filter((key) => namespace === undefined || key.namespace === namespace)
    return { kind, written: within(this.#owned), concerned: within(keys), invalidate: () => cache.clear!(namespace) }
  }
}
