/** The configuration in force: complete, checked and frozen; durations are seconds, sizes are bytes, a URL is taken apart. */
import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../clock.ts'
import type { Store } from '../stores/store.ts'
import type { Logger } from './application-config.ts'
import type { RedisClient } from './redis-config.ts'

/** What `loadConfig` returns. It is accepted wherever an `ApplicationConfig` is, and then taken as it is. */
export interface Config {
  readonly environment: string
  readonly debug: boolean
  /** Absent: the embedded memory store, or `store`. */
  readonly redis: ResolvedRedisConfig | undefined
  readonly cache: ResolvedCacheConfig
  readonly store: Store | undefined
  readonly clock: Clock
  readonly logger: Logger
}

/** Either where to connect to, or a client that is connected already. */
export type ResolvedRedisConfig = RedisConnectionConfig | RedisClientConfig

/** A connection that the cache opens and closes. */
export interface RedisConnectionConfig extends RedisBehaviour {
  readonly client?: never
  readonly host: string
  readonly port: number
  /** A unix socket; `host` and `port` are not used then. */
  readonly path: string | undefined
  /** Nodes of a Redis Cluster, instead of `host`, `port` and `path`. */
  readonly cluster: readonly ResolvedNodeAddress[] | undefined
  /** Who knows where the primary is, instead of `host`, `port` and `path`. */
  readonly sentinel: ResolvedSentinelConfig | undefined
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly ssl: boolean | ConnectionOptions
}

/** Where a node listens. */
export interface ResolvedNodeAddress {
  readonly host: string
  readonly port: number
}

/** How the primary is found. */
export interface ResolvedSentinelConfig {
  readonly name: string
  readonly nodes: readonly ResolvedNodeAddress[]
  readonly username: string | undefined
  readonly password: string | undefined
}

/** A client of the user's, which the cache never closes. */
interface RedisClientConfig extends RedisBehaviour {
  readonly client: RedisClient
}

interface RedisBehaviour {
  /** Seconds. */
  readonly socketTimeout: number
  /** Seconds. */
  readonly socketConnectTimeout: number
  readonly socketKeepalive: boolean
  /** Seconds; 0 is off. */
  readonly healthCheckInterval: number
  readonly maxConnections: number
  readonly decodeResponses: boolean
  readonly onFailover: 'invalidate' | 'trust'
  readonly failFast: boolean
}

/** How the cache behaves. */
export interface ResolvedCacheConfig {
  /** Seconds. */
  readonly defaultTtl: number
  /** Seconds. */
  readonly maxTtl: number
  readonly keyPrefix: string
  readonly compressionEnabled: boolean
  /** Bytes. */
  readonly compressionThreshold: number
  readonly compressionAlgorithm: 'gzip' | 'brotli' | 'zstd'
  readonly strategy: 'LRU' | 'FIFO'
  readonly enableStatistics: boolean
  readonly memory: ResolvedMemoryConfig
  readonly l1: false | ResolvedL1Config
  readonly onError: 'serve' | 'throw'
  /** Seconds. */
  readonly leaseTime: number
  /** Seconds. */
  readonly waitTime: number
  readonly signingKey: string | undefined
}

/** How much the embedded memory store may hold. */
export interface ResolvedMemoryConfig {
  readonly maxEntries: number
  /** Bytes. */
  readonly maxBytes: number
}

/** How the tier of memory in front of Redis behaves. */
export interface ResolvedL1Config {
  /** Seconds. */
  readonly maxStaleness: number
}
