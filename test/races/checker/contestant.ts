/**
 * A cache that the checker drives. tidemark is one (contestants/tidemark.ts); others stand beside it to compare.
 *
 * A contestant is a module, named by its path in `npm run check:races -- --contestant path/to/it.mjs`, with one export:
 *
 *     export const contestant = {
 *       name: 'naive',
 *       async create({ redisUrl, keyPrefix }) {
 *         const redis = new Redis(redisUrl)
 *         return {
 *           async read(key, load, { ttlMs, tags }) { ... return value },
 *           async invalidateKey(key) { await redis.del(keyPrefix + key) },
 *           async close() { redis.disconnect() },
 *         }
 *       },
 *     }
 *
 * Each process of the checker calls `create` once, and so has a cache of its own on a Redis that all share. What a
 * cache cannot do it leaves out, and the checker does not ask for it. A value is plain JSON: give back what `load`
 * resolved to, or a copy. A call that cannot do what it should rejects; an invalidation that has resolved is held to be
 * done, and from then on every stale value that a `read` or `get` returns is counted. What `load` throws belongs to whoever called `read`.
 *
 * Modules in TypeScript are bundled, and so are those of `src/` that they import; others are imported where they lie.
 */

import type { Place } from './site.ts'

export interface Contestant {
  readonly name: string
  create(setup: ContestantSetup): Promise<CacheUnderTest>
  /** Its keys in Redis that hold no entry, for the chaos that deletes them. */
  readonly metadata?: Metadata
}

export interface Metadata {
  watermark(keyPrefix: string): string
  stamps(keyPrefix: string): string
  /** The member of the stamps that must not be lost. */
  readonly marker: string
}

export interface ContestantSetup {
  /** Redis behind this process's own proxy. */
  readonly redisUrl: string
  /** The same for connections that listen, behind another proxy. */
  readonly subscriberUrl: string
  /** With `--topology`: where Redis is, in the place of both. */
  readonly redis?: Place
  readonly keyPrefix: string
  readonly process: number
  /** How long a command may take. */
  readonly commandTimeoutMs: number
  readonly leaseMs: number
  readonly waitMs: number
  /** Memory in front of Redis that may lag for so long; undefined: none. */
  readonly maxStalenessMs: number | undefined
}

/** What a load resolves to. */
export interface Value {
  readonly key: string
  readonly version: number
  /** Which load it comes from. */
  readonly load: string
  /** To make it larger. */
  readonly padding: string
}

/** What a load may be told; caches that tell nothing call it with nothing. */
export interface Told {
  readonly signal?: AbortSignal
  tag?(...names: string[]): void
}

export type Load = (told?: Told) => Promise<Value>

export interface ReadOptions {
  readonly ttlMs: number
  /** Names for `invalidateTags`. */
  readonly tags: readonly string[]
  /** Some of `tags` that are known only when it is loaded, if a cache can do that. */
  readonly learntTags: readonly string[]
  readonly swrMs: number
  readonly graceMs: number
  readonly jitter: number
  readonly softTimeoutMs: number | undefined
  readonly hardTimeoutMs: number | undefined
  readonly isForced: boolean
  readonly isEarly: boolean
}

export interface CacheUnderTest {
  /** What is cached under `key`; else what `load` resolves to, which is then stored. Keys are `namespace/name`. */
  read(key: string, load: Load, options: ReadOptions): Promise<Value>
  /** The same by a function that was wrapped before. */
  readWrapped?(key: string, load: Load, options: ReadOptions): Promise<Value>
  /** What is cached, without a load. */
  get?(key: string): Promise<Value | undefined>
  getMany?(keys: readonly string[]): Promise<readonly (Value | undefined)[]>
  /** Loads by hand between two calls of the cache, and stores unless it was invalidated meanwhile. */
  fillByHand?(key: string, load: Load, options: ReadOptions): Promise<void>
  /** Stores unconditionally. */
  set?(key: string, value: Value, options: ReadOptions): Promise<void>
  invalidateKey(key: string): Promise<void>
  invalidateKeys?(keys: readonly string[]): Promise<void>
  /** With `isStrict` it resolves only when no memory serves it any more. */
  invalidateTags?(tags: readonly string[], options?: { readonly isStrict?: boolean }): Promise<void>
  /** Keeps what is invalidated as stale copies. */
  invalidateSoftly?(tags: readonly string[]): Promise<void>
  /** All of a namespace, or everything. */
  clear?(namespace?: string): Promise<void>
  /** Calls `listener` each time that Redis was not there for a call; with the key if it was about one. */
  onFault?(listener: (key: string | undefined) => void): void
  /** How many hits, fills and fences there were. */
  counts?(): Readonly<Record<'hits' | 'fills' | 'fences', number>>
  close(): Promise<void>
}
