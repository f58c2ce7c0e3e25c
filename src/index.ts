/** tidemark: the cache in front of slow endpoints and functions. */
export { createCache } from './create-cache.ts'
export { CacheManager } from './cache-manager.ts'
export type { Health } from './cache-parts.ts'
export { cached, cacheBusting } from './cached.ts'
export type { CachedOptions, CacheBustingOptions, KeyFunction } from './cached-options.ts'
export type { FunctionDecorator, NamesFunction } from './decorator.ts'
export type { GetOrSetOptions, InvalidateOptions, KeyOptions, SetOptions } from './options.ts'
export type { LoadContext } from './load-request.ts'
export { FillToken } from './fill-token.ts'
export type { Statistics, NamespaceStatistics } from './statistics.ts'
export type { CacheEventListener, CacheEventName, CacheEvents, EntryEvent } from './events.ts'

export { doctor } from './doctor/doctor.ts'
export type { Finding } from './doctor/doctor.ts'

export { loadConfig } from './config/load-config.ts'
export type { ApplicationConfig, Logger } from './config/application-config.ts'
export type { CacheConfig, L1Config, MemoryConfig } from './config/cache-config.ts'
export type { NodeAddress, RedisClient, RedisConfig, SentinelConfig } from './config/redis-config.ts'
export type { Config } from './config/config.ts'
export type { Bytes } from './config/bytes.ts'
export type { Duration } from './duration.ts'
export { systemClock } from './clock.ts'
export type { Clock } from './clock.ts'

export {
  CacheCompressionError,
  CacheConfigurationError,
  CacheDecompressionError,
  CacheDeserializationError,
  CacheException,
  CacheKeyError,
  CacheSerializationError,
  LoadTimeoutError,
  RateLimitError,
  RedisConnectionError,
  RedisReplyError,
} from './exceptions.ts'
export type { ConfigurationFault } from './exceptions.ts'

export { MemoryStore } from './stores/memory.ts'
export type { MemoryStoreOptions } from './stores/memory.ts'
export type {
  Acquired,
  AcquireOptions,
  Breaker,
  EntryTimes,
  Lease,
  MaybePromise,
  Parent,
  Store,
  StoreHealth,
  StoreListener,
  Verdict,
} from './stores/store.ts'
export type { Entry, EntryDraft } from './entry.ts'
