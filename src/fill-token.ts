/** The right to fill a key by hand: read what you cache between `begin` and `set`. */
import type { Clock } from './clock.ts'
import { snapshot } from './codec/snapshot.ts'
import { lifeOf } from './entry.ts'
import { stampsOf, windowsOf, type SetOptions, type TtlLimits } from './options.ts'
import type { Lease, Store } from './stores/store.ts'

export interface FillTokenOptions extends TtlLimits {
  readonly lease: Lease
  readonly key: string
  readonly namespace: string
  readonly store: Store
  readonly clock: Clock
  readonly onStored: () => void
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
   * @throws {CacheSerializationError} @throws {RedisConnectionError}
   */
  async set(value: unknown, options: Omit<SetOptions, 'namespace'> = {}): Promise<boolean> {
    const { lease, key, namespace, store, clock, onStored } = this.#options
    const draft = {
      ...snapshot(value, key),
      ...lifeOf(windowsOf(options, this.#options), clock.now()),
      entryId: lease.token,
      parentId: undefined,
      loadMs: 0,
      tags: stampsOf(namespace, options.tags),
      negative: false,
      compress: options.compress,
    }
    const isStored = (await store.fill(lease, draft)) === 'stored'
    if (isStored) onStored()
    return isStored
  }

  /** Gives the right back without storing anything. */
  async release(): Promise<void> {
    await this.#options.store.release(this.#options.lease, [])
  }
}
