/** CacheManager: validates, asks the store, counts. The whole way of a hit stands in `get` and `getOrSet`. */
import { within } from './deadline.ts'
import { toMs, type Duration } from './duration.ts'
import { countFresh, freshness, isDueEarly } from './entry.ts'
import { answers, closeAll, healthOf, reach, type CacheParts, type Health } from './cache-parts.ts'
import { describe } from './exceptions.ts'
import type { CacheEventListener, CacheEventName } from './events.ts'
import { draftOf, FillToken } from './fill-token.ts'
import { assertKey, assertNamespace, assertTag, entryId, EVERYTHING, idsOf, namesOf, tagStamp } from './key.ts'
import type { LoadContext, LoadRequest } from './load-request.ts'
import { handOut, valueOf } from './loaded.ts'
import { assertList, assertOptions, invalidationOf, loadSettingsOf, pairOf, stampsOf } from './options.ts'
import type { CallKind, GetOrSetOptions, InvalidateOptions, KeyOptions, SetOptions } from './options.ts'
import type { Statistics } from './statistics.ts'
import type { EntryTimes, InvalidationOptions } from './stores/store.ts'
import { newToken } from './token.ts'

/**
 * A cache: functions and routes in front, a store behind. Made by `createCache`.
 *
 * Values come out deep-frozen, on the miss as on every hit, because callers share them: copy one to change it. `get`,
 * `set`, `delete` and the like reject with `RedisConnectionError` when Redis is out of reach; `getOrSet` then loads.
 */
export class CacheManager {
  /** @internal What adapters build on. */
  readonly parts: CacheParts
  /** @internal The namespace of calls that name none. */
  readonly ownNamespace: string
  readonly #isView: boolean

  /** @internal */
  constructor(parts: CacheParts, ownNamespace?: string) {
    this.parts = parts
    this.ownNamespace = ownNamespace ?? ''
    this.#isView = ownNamespace !== undefined
  }

  /**
   * The value under `key`, or `undefined` if there is none that is fresh; `null`, `0`, `''` and `false` are values.
   *
   * @throws {CacheKeyError} for a key that is empty or no string
   * @throws {RedisConnectionError} when Redis is out of reach
   * @example
   * const user = await cache.get<User>('user_1', { namespace: 'users' })
   */
  async get<T>(key: string, options?: KeyOptions): Promise<T | undefined> {
    const { store, telemetry, ids } = this.parts
    const namespace = this.#namespaceOf(options)
    const found = store.read(ids.of(namespace, key))
    const entry = found instanceof Promise ? await telemetry.watch(found, { key, namespace }) : found
    if (entry === undefined || freshness(entry, this.parts.clock.now()) !== 'fresh') {
      telemetry.count('miss', key, namespace)
      return undefined
    }
    telemetry.count('hit', key, namespace)
    return handOut(valueOf(entry)) as T
  }

  /** The values under `keys`, in their order; `undefined` where there is none. One command, however many keys. */
  async getMany<T>(keys: readonly string[], options?: KeyOptions): Promise<(T | undefined)[]> {
    assertList(keys, 'keys')
    return Promise.all(keys.map((key) => this.get<T>(key, options)))
  }

  /**
   * Stores `value` under `key`, whatever is stored there and whoever is loading it.
   *
   * @throws {CacheSerializationError} that names the path to what cannot be stored: a function, a symbol, a cycle
   * @throws {CacheConfigurationError} for an option that makes no sense
   * @throws {CacheKeyError} @throws {RedisConnectionError}
   * @example
   * await cache.set('user_1', user, { ttl: '5m', namespace: 'users', tags: ['team:7'] })
   */
  async set<T>(key: string, value: T, options: SetOptions = {}): Promise<void> {
    const namespace = this.#namespaceOf(options, 'set')
    assertKey(key, namespace)
    const { store, telemetry } = this.parts
    const draft = draftOf(value, options, { key, namespace, entryId: newToken(), ...this.parts })
    await telemetry.watch(store.set(entryId(namespace, key), draft), { key, namespace })
    telemetry.count('set', key, namespace)
  }

  /** Stores several values with the same options: `cache.setMany(new Map([['a', 1], ['b', 2]]), { ttl: 60 })`. */
  async setMany<T>(entries: Iterable<readonly [string, T]>, options?: SetOptions): Promise<void> {
    assertList(entries, 'entries')
    // All are looked at before the first is sent.
    const pairs = Array.from(entries, pairOf)
    await Promise.all(pairs.map(([key, value]) => this.set(key, value, options)))
  }

  /**
   * Removes what is stored under `keys`, and keeps loads in flight from storing it again; how many of them were there.
   *
   * @throws {CacheKeyError} @throws {RedisConnectionError} when it could not be delivered
   * @example
   * await cache.delete(['user_1', 'users_list'], { namespace: 'users' }) // 2
   */
  async delete(keys: string | readonly string[], options?: KeyOptions): Promise<number> {
    const namespace = this.#namespaceOf(options)
    const names = namesOf(keys, namespace)
    if (names.length === 0) return 0
    const { store, loads, telemetry } = this.parts
    const ids = idsOf(names, namespace)
    try {
      const removed = await telemetry.watch(store.remove(ids), { key: names.slice(0, 10).join(', '), namespace })
      const deleted = countFresh(removed, this.parts.clock.now())
      telemetry.counters.of(namespace).deletes += deleted
      telemetry.events.emit('delete', { keys: names, namespace, deleted })
      return deleted
    } finally {
      loads.flights.detach(ids)
    }
  }

  /** How many of `keys` have a fresh entry. @throws {CacheKeyError} @throws {RedisConnectionError} */
  async exists(keys: string | readonly string[], options?: KeyOptions): Promise<number> {
    const namespace = this.#namespaceOf(options)
    return countFresh(await this.#times(keys, namespace), this.parts.clock.now())
  }

  /**
   * Seconds until the entry is no longer fresh; `undefined` if it is not there.
   *
   * @throws {CacheKeyError} @throws {RedisConnectionError}
   */
  async ttl(key: string, options?: KeyOptions): Promise<number | undefined> {
    const namespace = this.#namespaceOf(options)
    const times = await this.#times(key, namespace)
    const leftMs = Math.max(...times.map((one) => one?.freshUntil ?? 0)) - this.parts.clock.now()
    return leftMs > 0 ? leftMs / 1000 : undefined
  }

  /**
   * Gives an entry a new ttl from now on, and no stale windows; false if it is not there. The responses of a route have
   * each their own windows, and stay as they are.
   *
   * @throws {CacheConfigurationError} for a ttl that is none
   * @throws {CacheKeyError} @throws {RedisConnectionError}
   */
  async expire(key: string, ttl: Duration, options?: KeyOptions): Promise<boolean> {
    const namespace = this.#namespaceOf(options)
    const ttlMs = Math.min(toMs(ttl, 'ttl'), this.parts.maxTtlMs)
    const since = performance.now()
    const [own] = await this.#times(key, namespace)
    const { store, clock, telemetry, storeMs: budgetMs } = this.parts
    const now = clock.now()
    if (own === undefined || now >= own.freshUntil) return false
    const expiring = Promise.resolve(store.expire(entryId(namespace, key), now + ttlMs))
    return telemetry.watch(within(expiring, { since, budgetMs }), { key, namespace })
  }

  /**
   * The value under `key`; if there is none that is fresh, what `loader` returns, which is then stored.
   *
   * One caller at a time loads, over all processes; the others wait for it. A load that an invalidation overtakes is
   * not stored. With `onError: 'serve'` a fault of the cache never fails the call. A loader's own error passes through
   * untouched, once for all who waited.
   *
   * @throws {LoadTimeoutError} after `hardTimeout` without a stale entry
   * @throws {CacheKeyError} @throws {CacheConfigurationError}
   * @example
   * const user = await cache.getOrSet('user_1', () => db.user(1), { ttl: '5m', swr: '1m', namespace: 'users' })
   */
  async getOrSet<T, Stale = T>(
    key: string,
    loader: (context: LoadContext<Stale>) => T | Promise<T>,
    options: GetOrSetOptions = {},
  ): Promise<T> {
    if (typeof loader !== 'function') throw new TypeError(`loader: expected a function, got ${describe(loader)}`)
    const { clock, telemetry, loads, ids } = this.parts
    const namespace = this.#namespaceOf(options, 'load')
    const id = ids.of(namespace, key)
    const finding = options.forceRefresh === true ? undefined : loads.find({ id, key, namespace }, options.signal)
    const askedAt = finding instanceof Promise ? performance.now() : undefined
    const found = finding instanceof Promise ? await finding : finding
    const entry = found === 'cut off' ? undefined : found
    const state = entry && freshness(entry, clock.now())
    const isDue = state === 'fresh' && options.earlyRefresh === true && isDueEarly(entry!, clock.now())
    if (entry !== undefined && state === 'fresh' && !isDue) {
      telemetry.count('hit', key, namespace)
      return handOut(valueOf(entry)) as T
    }
    // Spread last: V8 takes ten times as long if more is added behind it.
    const request: LoadRequest = {
      id,
      key,
      namespace,
      found: entry,
      isCutOff: found === 'cut off',
      askedAt,
      run: loader as LoadRequest['run'],
      ...loadSettingsOf(namespace, options, this.parts),
    }
    if (entry !== undefined && (state === 'stale' || isDue)) {
      void loads.refresh(request)
      telemetry.count(isDue ? 'hit' : 'stale', key, namespace)
      return handOut(valueOf(entry)) as T
    }
    telemetry.count('miss', key, namespace)
    const loaded = await loads.load(request)
    if (loaded.source === 'stale') telemetry.count('stale', key, namespace)
    return handOut(loaded) as T
  }

  /**
   * Begins a read-modify-fill by hand: a token for one `set` within `cache.leaseTime`, 5 seconds by default, that stores
   * only if nothing invalidated the key since and nothing else took its place. The youngest `begin` of a key wins.
   * Callers of `getOrSet` wait for it meanwhile: `release` it if you do not set.
   *
   * @throws {CacheKeyError} @throws {RedisConnectionError}
   * @example
   * const token = await cache.begin('report')
   * await token.set(await buildReport(), { ttl: '1h' }) // true; false: overtaken or too late, not stored
   */
  async begin(key: string, options?: KeyOptions): Promise<FillToken> {
    const namespace = this.#namespaceOf(options)
    assertKey(key, namespace)
    const { store, telemetry, leaseMs } = this.parts
    const acquiring = store.acquire(entryId(namespace, key), { tags: stampsOf(namespace), leaseMs, steal: true })
    const acquired = await telemetry.watch(acquiring, { key, namespace })
    if (acquired.outcome !== 'lead') throw new TypeError('store: expected to give a lease that is stolen')
    return new FillToken({ lease: acquired.lease, key, namespace, ...this.parts })
  }

  /**
   * Invalidates every entry that bears one of `tags`, in all namespaces; one command, whatever their number.
   *
   * @throws {CacheKeyError} @throws {RedisConnectionError} when it could not be delivered
   * @example
   * await cache.invalidateTags(['team:7', 'user:42'])
   */
  async invalidateTags(tags: string | readonly string[], options: InvalidateOptions = {}): Promise<void> {
    assertOptions(options, 'invalidation')
    const names = [tags].flat()
    names.forEach(assertTag)
    if (names.length === 0) return
    const invalidation = invalidationOf(options)
    await this.#invalidate(names.map(tagStamp), invalidation)
    this.parts.telemetry.events.emit('invalidate', { tags: names, soft: options.soft === true })
  }

  /**
   * Invalidates everything under this cache's prefix, or one namespace of it; never anybody else's key, and in the same
   * time for ten entries as for ten million.
   *
   * @throws {RedisConnectionError} when it could not be delivered
   */
  async clear(options?: KeyOptions): Promise<void> {
    const own = this.#namespaceOf(options)
    const namespace = options?.namespace === undefined && !this.#isView ? undefined : own
    const stamps = namespace === undefined ? [EVERYTHING] : stampsOf(namespace)
    await this.#invalidate(stamps, undefined, namespace)
    this.parts.telemetry.events.emit('clear', { namespace })
  }

  /** The same cache, with `name` as the namespace of calls that name none. @throws {CacheKeyError} */
  namespace(name: string): CacheManager {
    assertNamespace(name)
    return new CacheManager(this.parts, name)
  }

  /**
   * Resolves at once; with `redis.failFast` when Redis has answered, which an application may wait for before it starts.
   * `setupCache` does so before the application listens.
   *
   * @throws {RedisConnectionError} with `redis.failFast`, if Redis cannot be reached; it names host and port
   * @example
   * await cache.ready()
   */
  ready(): Promise<void> {
    return reach(this.parts)
  }

  /** True if the store answers. Never throws. */
  ping(): Promise<boolean> {
    return answers(this.parts)
  }

  /**
   * Whether the store answers, how long that took, and how it stands with Redis. Never throws.
   *
   * @example
   * const { ok, latencyMs, breaker, undelivered } = await cache.health()
   */
  health(): Promise<Health> {
    return healthOf(this.parts)
  }

  /** What this process has counted since it made the cache or reset its statistics. */
  getStatistics(): Statistics {
    return this.parts.telemetry.statistics()
  }

  resetStatistics(): void {
    this.parts.telemetry.reset()
  }

  /** Calls `listener` with each such event; also published on `diagnostics_channel` as `tidemark:<event>`. */
  on<E extends CacheEventName>(event: E, listener: CacheEventListener<E>): this {
    this.parts.telemetry.events.on(event, listener)
    return this
  }

  off<E extends CacheEventName>(event: E, listener: CacheEventListener<E>): this {
    this.parts.telemetry.events.off(event, listener)
    return this
  }

  /**
   * Closes the store and the connections it opened, for all namespaces. Loads under way are given a second to be stored,
   * then commands in flight another to be answered; what is not finished is given up. Calls after it reject with a
   * `CacheException` that says so, `ping` is false, and `getOrSet` loads.
   */
  close(): Promise<void> {
    return closeAll(this.parts)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #namespaceOf(options: KeyOptions | undefined, kind: CallKind = 'key'): string {
    if (options === undefined) return this.ownNamespace
    assertOptions(options, kind)
    const { namespace } = options
    if (namespace === undefined) return this.ownNamespace
    assertNamespace(namespace)
    return namespace
  }

  /** For each key the times of its own entry and of the parent of its responses. */
  async #times(keys: string | readonly string[], namespace: string): Promise<readonly (EntryTimes | undefined)[]> {
    const names = namesOf(keys, namespace)
    if (names.length === 0) return []
    const { store, telemetry } = this.parts
    return telemetry.watch(store.times(idsOf(names, namespace)), { key: names.slice(0, 10).join(', '), namespace })
  }

  async #invalidate(stamps: readonly string[], options?: InvalidationOptions, namespace?: string): Promise<void> {
    const { store, loads, telemetry } = this.parts
    try {
      await telemetry.watch(store.invalidate(stamps, options), namespace === undefined ? {} : { namespace })
      telemetry.counters.invalidations++
    } finally {
      loads.flights.detachAll()
    }
  }
}
