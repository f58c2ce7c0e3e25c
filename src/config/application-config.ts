/** What people write to configure the cache. Every option may be left out; schema.ts holds the same options as a table. */
import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../clock.ts'
import type { Duration } from '../duration.ts'
import type { Store } from '../stores/store.ts'
import type { Bytes } from './bytes.ts'

/**
 * The configuration of a cache, as `createCache` and `loadConfig` take it.
 *
 * For each option: what the code says, else what the environment says, else the default.
 *
 * @example
 * createCache({ redis: { url: 'redis://localhost:6379/0' }, cache: { defaultTtl: '5m' } })
 */
export interface ApplicationConfig {
  /**
   * The name of the place the process runs in; in `'production'` the management routes must be guarded.
   *
   * Default `'development'`. Environment: `ENVIRONMENT`, else `NODE_ENV`.
   *
   * @example
   * createCache({ environment: 'staging' })
   */
  environment?: string | undefined
  /**
   * Log, with `logger.info`, each load and how long it took, loads that are refused and why, and invalidations.
   *
   * Default `false`. Environment: `DEBUG`, where anything but true and false is ignored (npm's `DEBUG=app:*`).
   *
   * @example
   * createCache({ debug: true })
   */
  debug?: boolean | undefined
  /**
   * The Redis to store entries in; `false` for the embedded memory store even if `REDIS_*` variables are set.
   *
   * Default: the embedded memory store, unless any `REDIS_*` variable is set.
   *
   * @example
   * createCache({ redis: { host: 'localhost' } })
   */
  redis?: RedisConfig | false | undefined
  /** How the cache behaves. */
  cache?: CacheConfig | undefined
  /**
   * A store of your own, instead of Redis or memory; `REDIS_*` variables are ignored then.
   *
   * Default: none.
   *
   * @example
   * createCache({ store: new MyStore() })
   */
  store?: Store | undefined
  /**
   * What tells the time; freshness is decided by it.
   *
   * Default: the clock of this machine.
   *
   * @example
   * createCache({ clock: { now: () => Date.now() } })
   */
  clock?: Clock | undefined
  /**
   * Where messages to the operator go.
   *
   * Default: `console`.
   *
   * @example
   * createCache({ logger: app.log })
   */
  logger?: Logger | undefined
}

/** What the cache needs of a logger; `console`, pino and Fastify's logger satisfy it. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** A client of your own, of ioredis, iovalkey or node-redis, told by these methods. */
export interface RedisClient {
  sendCommand: (...args: never) => unknown
  duplicate: (...args: never) => unknown
  on: (...args: never) => unknown
}

/** Where a node listens: `'host:port'`, `'redis://host:port'` or `{ host, port }`; without a port, the usual one. */
export type NodeAddress = string | { readonly host: string; readonly port?: number | undefined }

/** How to find the primary through Redis Sentinel. */
export interface SentinelConfig {
  /**
   * The name under which the sentinels know the primary.
   *
   * Default: none. Environment: `REDIS_SENTINEL_NAME`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['sentinel-1.example.com:26379'] } } })
   */
  name?: string | undefined
  /**
   * The sentinels, as `'host:port'` or `{ host, port }`; those that do not answer are passed over.
   *
   * Default: none. Environment: `REDIS_SENTINELS`, separated by commas.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1:26379', '10.0.0.2:26379'] } } })
   */
  nodes?: readonly NodeAddress[] | undefined
  /**
   * The user to sign in to the sentinels as; `redis.username` is that of Redis.
   *
   * Default: none. Environment: `REDIS_SENTINEL_USERNAME`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1'], username: 'app', password: process.env.SECRET } } })
   */
  username?: string | undefined
  /**
   * The password to sign in to the sentinels with; no error message shows it.
   *
   * Default: none. Environment: `REDIS_SENTINEL_PASSWORD`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1'], password: process.env.SECRET } } })
   */
  password?: string | undefined
}

/** Which Redis, and how to talk to it. `{}` is the Redis on this machine. */
export interface RedisConfig {
  /**
   * Where Redis is: `redis://`, `rediss://` (TLS) or `redis+unix://` (a socket file); the options below go before its parts.
   *
   * Default: none. Environment: `REDIS_URL`. User and password are percent-decoded.
   *
   * @example
   * createCache({ redis: { url: 'rediss://app:p%40ss@redis.example.com:6380/2' } })
   */
  url?: string | undefined
  /**
   * The host name or IP address.
   *
   * Default `'localhost'`. Environment: `REDIS_HOST`.
   *
   * @example
   * createCache({ redis: { host: 'redis.example.com' } })
   */
  host?: string | undefined
  /**
   * The TCP port, 1 to 65535.
   *
   * Default 6379. Environment: `REDIS_PORT`.
   *
   * @example
   * createCache({ redis: { port: 6380 } })
   */
  port?: number | undefined
  /**
   * The path of a unix socket; `host` and `port` are not used then.
   *
   * Default: none.
   *
   * @example
   * createCache({ redis: { path: '/run/redis/redis.sock' } })
   */
  path?: string | undefined
  /**
   * Some nodes of a Redis Cluster, as `'host:port'` or `{ host, port }`; the others are found through them.
   *
   * Default: none. Environment: `REDIS_CLUSTER_NODES`, separated by commas. Instead of `url`, `host` and the like; what says
   * how to log in holds for all nodes.
   *
   * @example
   * createCache({ redis: { cluster: ['redis-1.example.com:6379', 'redis-2.example.com:6379'] } })
   */
  cluster?: readonly NodeAddress[] | undefined
  /** Redis behind Sentinel, which says where the primary is; instead of `url`, `host` and the like. */
  sentinel?: SentinelConfig | undefined
  /**
   * The number of the database, from 0; 0 on Cluster.
   *
   * Default 0. Environment: `REDIS_DB`.
   *
   * @example
   * createCache({ redis: { db: 2 } })
   */
  db?: number | undefined
  /**
   * The user to sign in as (Redis ACL).
   *
   * Default: none. Environment: `REDIS_USERNAME`.
   *
   * @example
   * createCache({ redis: { username: 'app', password: process.env.SECRET } })
   */
  username?: string | undefined
  /**
   * The password to sign in with; no error message shows it.
   *
   * Default: none. Environment: `REDIS_PASSWORD`.
   *
   * @example
   * createCache({ redis: { password: process.env.SECRET } })
   */
  password?: string | undefined
  /**
   * TLS: `true`, or the options of Node's `tls.connect`.
   *
   * Default `false`. Environment: `REDIS_SSL`.
   *
   * @example
   * createCache({ redis: { ssl: { ca: readFileSync('ca.pem') } } })
   */
  ssl?: boolean | ConnectionOptions | undefined
  /**
   * The deadline of one command, in seconds or with a unit, at most 24 days.
   *
   * Default 5 s. Environment: `REDIS_SOCKET_TIMEOUT`.
   *
   * @example
   * createCache({ redis: { socketTimeout: '250ms' } })
   */
  socketTimeout?: Duration | undefined
  /**
   * How long connecting may take, in seconds or with a unit, at most 24 days.
   *
   * Default 5 s. Environment: `REDIS_SOCKET_CONNECT_TIMEOUT`. No effect with `client`.
   *
   * @example
   * createCache({ redis: { socketConnectTimeout: '2s' } })
   */
  socketConnectTimeout?: Duration | undefined
  /**
   * TCP keep-alive on the connections to Redis.
   *
   * Default `true`. Environment: `REDIS_SOCKET_KEEPALIVE`. No effect with `client`.
   *
   * @example
   * createCache({ redis: { socketKeepalive: false } })
   */
  socketKeepalive?: boolean | undefined
  /**
   * How often a connection is asked whether its server is there and still the primary, in seconds or with a unit; no
   * answer: it is replaced. 0 is off.
   *
   * Default 30 s. Environment: `REDIS_HEALTH_CHECK_INTERVAL`. No effect with `client`.
   *
   * @example
   * createCache({ redis: { healthCheckInterval: '1m' } })
   */
  healthCheckInterval?: Duration | undefined
  /**
   * How many connections there may be, from 1. One serves until it is saturated, further ones open on demand.
   *
   * Default 50. Environment: `REDIS_MAX_CONNECTIONS`. No effect with `client`.
   *
   * @example
   * createCache({ redis: { maxConnections: 4 } })
   */
  maxConnections?: number | undefined
  /**
   * What to return for a value that another program stored as a plain string: a string, or with `false` a Buffer.
   *
   * Default `true`. Environment: `REDIS_DECODE_RESPONSES`.
   *
   * @example
   * createCache({ redis: { decodeResponses: false } })
   */
  decodeResponses?: boolean | undefined
  /**
   * What it means when another server answers than before (restart, failover): it may have forgotten invalidations, so
   * `'invalidate'` makes all entries invalid; `'trust'` keeps them.
   *
   * Default `'invalidate'`. Environment: `REDIS_ON_FAILOVER`.
   *
   * @example
   * createCache({ redis: { host: 'localhost', onFailover: 'trust' } })
   */
  onFailover?: 'invalidate' | 'trust' | undefined
  /**
   * An ioredis or node-redis client of your own, never closed by the cache; what says where Redis is cannot stand beside it.
   *
   * Default: none. The `REDIS_*` variables are ignored with it.
   *
   * @example
   * createCache({ redis: { client: new Redis() } })
   */
  client?: RedisClient | undefined
}

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
   * For how long at most an invalidation by another process may not be known here, in seconds or with a unit, 20ms to 1h.
   *
   * Default 500 ms. A shorter one asks Redis more often whether anything was missed: four times in this period.
   *
   * @example
   * createCache({ redis: { host: 'localhost' }, cache: { l1: { maxStaleness: '1s' } } })
   */
  maxStaleness?: Duration | undefined
}
