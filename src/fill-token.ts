/** What `set` stores, and the right to store by hand: read what you cache between `begin` and the token's `set`. */
import type { Clock } from './clock.ts'
import { snapshot } from './codec/snapshot.ts'
import { lifeOf, newDraft, type EntryDraft } from './entry.ts'
import { assertOptions, assertValues, stampsOf, windowsOf, type SetOptions, type TtlLimits } from './options.ts'
import type { Lease, Store } from './stores/store.ts'
import type { About, Telemetry } from './telemetry.ts'

interface DraftOptions extends About, TtlLimits {
  readonly entryId: string
  readonly clock: Clock
}

/**
 * The entry that a value becomes which a user stores.
 *
 * @throws {CacheSerializationError} @throws {CacheConfigurationError} @throws {CacheKeyError}
 */
export function draftOf(value: unknown, options: SetOptions, about: DraftOptions): EntryDraft {
  assertValues(options, 'set')
  const { key, namespace, entryId, clock } = about
  return newDraft(snapshot(value, key, namespace), lifeOf(windowsOf(options, about), clock.now()), {
    entryId,
    parentId: undefined,
    loadMs: 0,
    tags: stampsOf(namespace, options.tags),
    negative: false,
    compress: options.compress,
  })
}

export interface FillTokenOptions extends About, TtlLimits {
  readonly lease: Lease
  readonly store: Store
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * The right to store one key by hand, made by `cache.begin(key)`: good for one `set`, within `cache.leaseTime`, 5 seconds
 * by default. It is not renewed; later its place is anybody's, and Redis refuses it. Callers of `getOrSet` wait for it
 * meanwhile: `release` it if you do not set.
 *
 * @example
 * const token = await cache.begin('report')
 * const report = await buildReport()
 * if (!(await token.set(report, { ttl: '1h' }))) console.log('overtaken or too late, not stored')
 */
export class FillToken {
  readonly #options: FillTokenOptions

  /** @internal */
  constructor(options: FillTokenOptions) {
    this.#options = options
  }

  /**
   * Stores `value`, unless the key, its namespace or one of its tags was invalidated since `begin`, its time was over, or
   * another `begin`, `set` or load took its place: then it stores nothing, emits `fence`, and answers false.
   *
   * @throws {CacheSerializationError} @throws {CacheConfigurationError} @throws {RedisConnectionError}
   */
  async set(value: unknown, options: Omit<SetOptions, 'namespace'> = {}): Promise<boolean> {
    assertOptions(options, 'fill')
    const { lease, store, telemetry, key, namespace } = this.#options
    const draft = draftOf(value, options, { entryId: lease.token, ...this.#options })
    const isStored = (await telemetry.watch(store.fill(lease, draft), { key, namespace })) === 'stored'
    telemetry.count(isStored ? 'set' : 'fence', key, namespace)
    return isStored
  }

  /** Gives the right back without storing anything. @throws {RedisConnectionError} */
  async release(): Promise<void> {
    const { lease, store, telemetry, key, namespace } = this.#options
    await telemetry.watch(store.release(lease, []), { key, namespace })
  }
}
