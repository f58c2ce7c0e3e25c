/** The `cache` section of what people write: how the cache behaves. */
import type { Duration } from '../duration.ts'
import type { Bytes } from './bytes.ts'

/** How the cache behaves. */
export interface CacheConfig {
  /**
   * How long an entry is fresh if nobody says otherwise, in seconds or with a unit.
   *
   * Default 3600 s (`maxTtl`, if that is shorter). Environment: `CACHE_DEFAULT_TTL`.
   *
   * @example
   * createCache({ cache: { defaultTtl: '5m' } })
   */
  defaultTtl?: Duration | undefined
  /**
   * The longest ttl, in seconds or with a unit; a longer one is clamped to it.
   *
   * Default 86400 s. Environment: `CACHE_MAX_TTL`. Not shorter than `defaultTtl`.
   *
   * @example
   * createCache({ cache: { maxTtl: '7d' } })
   */
  maxTtl?: Duration | undefined
  /**
   * What the names of this cache begin with in Redis; not empty and without braces, which Redis Cluster reads as its own.
   *
   * Default `'cache:'`. Environment: `CACHE_KEY_PREFIX`.
   *
   * @example
   * createCache({ cache: { keyPrefix: 'shop:' } })
   */
  keyPrefix?: string | undefined
  /**
   * Compress values before they are sent to Redis.
   *
   * Default `false`. Environment: `CACHE_COMPRESSION_ENABLED`.
   *
   * @example
   * createCache({ cache: { compressionEnabled: true } })
   */
  compressionEnabled?: boolean | undefined
  /**
   * From which size a value is compressed, in bytes or with a unit.
   *
   * Default 1024 bytes. Environment: `CACHE_COMPRESSION_THRESHOLD`.
   *
   * @example
   * createCache({ cache: { compressionEnabled: true, compressionThreshold: '4kb' } })
   */
  compressionThreshold?: Bytes | undefined
  /**
   * How values are compressed; `'zstd'` needs a Node that has it (22.15 or later).
   *
   * Default `'gzip'`. Environment: `CACHE_COMPRESSION_ALGORITHM`.
   *
   * @example
   * createCache({ cache: { compressionEnabled: true, compressionAlgorithm: 'brotli' } })
   */
  compressionAlgorithm?: 'gzip' | 'brotli' | 'zstd' | undefined
  /**
   * Which entry memory gives up first: the least recently used, or the oldest.
   *
   * Default `'LRU'`. Environment: `CACHE_STRATEGY`. No effect with Redis.
   *
   * @example
   * createCache({ cache: { strategy: 'FIFO' } })
   */
  strategy?: 'LRU' | 'FIFO' | undefined
  /**
   * Count hits, misses and the rest for `getStatistics()`.
   *
   * Default `true`. Environment: `CACHE_ENABLE_STATISTICS`.
   *
   * @example
   * createCache({ cache: { enableStatistics: false } })
   */
  enableStatistics?: boolean | undefined
  /** How much memory may hold: the embedded store, or with Redis the tier in front of it (`l1`). */
  memory?: MemoryConfig | undefined
  /**
   * With Redis, a tier of memory in front of it: hits without a command, no older than `maxStaleness`.
   *
   * Default `false`; `true` is `{ maxStaleness: '500ms' }`. Environment: `CACHE_L1`, true, false or the staleness. No
   * effect without Redis.
   *
   * @example
   * createCache({ redis: { host: 'localhost' }, cache: { l1: { maxStaleness: '250ms' } } })
   */
  l1?: boolean | L1Config | undefined
  /**
   * What a fault of the cache does to `getOrSet`, `cached` and routes: `'serve'` runs the loader, `'throw'` rejects.
   *
   * Default `'serve'`. Environment: `CACHE_ON_ERROR`.
   *
   * @example
   * createCache({ cache: { onError: 'throw' } })
   */
  onError?: 'serve' | 'throw' | undefined
  /**
   * How long a loader that crashed blocks its key for others, in seconds or with a unit, at most 24 days.
   *
   * Default 5 s. Environment: `CACHE_LEASE_TIME`. A loader that lives renews its lease and may take longer.
   *
   * @example
   * createCache({ cache: { leaseTime: '2s' } })
   */
  leaseTime?: Duration | undefined
  /**
   * How long a caller waits for another process's load before it loads itself, in seconds or with a unit, at most 24 days.
   *
   * Default 10 s. Environment: `CACHE_WAIT_TIME`.
   *
   * @example
   * createCache({ cache: { waitTime: '30s' } })
   */
  waitTime?: Duration | undefined
  /**
   * Signs entries in Redis with HMAC-SHA256, at least 16 characters: what others write there is a miss, and reported. All
   * processes need the same; entries from before are misses. No effect in memory.
   *
   * Default: none. Environment: `CACHE_SIGNING_KEY`.
   *
   * @example
   * createCache({ redis: {}, cache: { signingKey: process.env.SECRET } })
   */
  signingKey?: string | undefined
}

/** How much the embedded memory store may hold; beyond it entries are evicted. */
export interface MemoryConfig {
  /**
   * The number of entries, from 1.
   *
   * Default 10 000. Environment: `CACHE_MEMORY_MAX_ENTRIES`.
   *
   * @example
   * createCache({ cache: { memory: { maxEntries: 500 } } })
   */
  maxEntries?: number | undefined
  /**
   * The size of all values together, estimated, in bytes or with a unit.
   *
   * Default 64 MB. Environment: `CACHE_MEMORY_MAX_BYTES`.
   *
   * @example
   * createCache({ cache: { memory: { maxBytes: '256mb' } } })
   */
  maxBytes?: Bytes | undefined
}

/** How the tier of memory in front of Redis behaves. */
export interface L1Config {
  /**
   * For how long at most an invalidation by another process may not be known here, in seconds or with a unit, 20ms to 2s.
   *
   * Default 500 ms. A shorter one asks Redis more often whether anything was missed: four times in this period.
   *
   * @example
   * createCache({ redis: { host: 'localhost' }, cache: { l1: { maxStaleness: '1s' } } })
   */
  maxStaleness?: Duration | undefined
}
