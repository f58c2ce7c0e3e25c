/** What `set` stores, and the right to store by hand: read what you cache between `begin` and the token's `set`. */
import type { Clock } from './clock.ts'
import { snapshot } from './codec/snapshot.ts'
import { lifeOf, newDraft, type EntryDraft } from './entry.ts'
import { assertOptions, stampsOf, windowsOf, type SetOptions, type TtlLimits } from './options.ts'
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
 * Made by `cache.begin(key)`. Good for one `set`, within `cache.leaseTime`.
 *
 * @example
 * const token = await cache.begin('report')
 * const report = await buildReport()
 * if (!(await token.set(report, { ttl: '1h' }))) console.log('invalidated meanwhile, not stored')
 */
export class FillToken {
  readonly #options: FillTokenOptions

  /** @internal */
  constructor(options: FillTokenOptions) {
    this.#options = options
  }

  /**
   * Stores `value`, unless the key, its namespace or one of its tags was invalidated since `begin`, or another `begin`,
   * `set` or load took its place; then it stores nothing and the answer is false.
   *
   * @throws {CacheSerializationError} @throws {CacheConfigurationError} @throws {RedisConnectionError}
   */
  async set(value: unknown, options: Omit<SetOptions, 'namespace'> = {}): Promise<boolean> {
    assertOptions(options, 'fill')
    const { lease, store, telemetry, key, namespace } = this.#options
    const draft = draftOf(value, options, { entryId: lease.token, ...this.#options })
    const isStored = (await telemetry.watch(store.fill(lease, draft), { key, namespace })) === 'stored'
    if (isStored) telemetry.count('set', key, namespace)
    return isStored
  }

  /** Gives the right back without storing anything. @throws {RedisConnectionError} */
  async release(): Promise<void> {
    const { lease, store, telemetry, key, namespace } = this.#options
    await telemetry.watch(store.release(lease, []), { key, namespace })
  }
}
