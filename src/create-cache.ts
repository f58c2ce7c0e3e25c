/** From a configuration to a cache: the one place where the parts are put together. */
import { CacheManager } from './cache-manager.ts'
import { Codec } from './codec/codec.ts'
import type { ApplicationConfig } from './config/application-config.ts'
import type { Config, ResolvedRedisConfig } from './config/config.ts'
import { loadConfig } from './config/load-config.ts'
import { Events } from './events.ts'
import { Loads } from './load.ts'
import { Counters } from './statistics.ts'
import { EntryTable } from './stores/entry-table.ts'
import { MemoryStore } from './stores/memory.ts'
import { ClusterConnection } from './stores/redis/cluster-connection.ts'
import { Cluster } from './stores/redis/cluster.ts'
import { RedisConnection, type ConnectionOptions } from './stores/redis/connection.ts'
import { RedisStore, type RedisStoreOptions } from './stores/redis/redis-store.ts'
import { openShards } from './stores/redis/sharded-store.ts'
import type { Store } from './stores/store.ts'
import { TieredStore, type FarStore } from './stores/tiered.ts'
import { Telemetry } from './telemetry.ts'

/** Stamps outlive every entry: ttl, swr and grace are each clamped to maxTtl. */
const WINDOWS = 3

let hasToldOfMemory = false

/**
 * Makes a cache: on Redis if one is configured, else in this process's memory.
 *
 * What `config` leaves out is taken from the environment, then from the defaults. It connects with the first call.
 *
 * @throws {CacheConfigurationError} that lists everything that is wrong
 * @example
 * const cache = createCache({ redis: { url: 'redis://localhost:6379' }, cache: { defaultTtl: '5m' } })
 */
export function createCache(config?: ApplicationConfig): CacheManager {
  const resolved = loadConfig(process.env, config)
  const { cache, clock, logger } = resolved
  const maxTtlMs = cache.maxTtl * 1000
  const connected = resolved.redis && connect(resolved.redis)
  const store = resolved.store ?? makeStore(resolved, connected)
  const telemetry = new Telemetry({
    counters: new Counters(cache.enableStatistics),
    events: new Events(),
    clock,
    warn: (message) => logger.warn(message),
  })
  listen(store, telemetry)
  const isStrict = cache.onError === 'throw'
  const leaseMs = cache.leaseTime * 1000
  const waitMs = cache.waitTime * 1000
  const storeMs = (resolved.redis?.socketTimeout ?? Infinity) * 1000
  const loads = new Loads({ store, clock, telemetry, leaseMs, waitMs, maxTtlMs, storeMs, isStrict })
  const limits = { defaultTtlMs: cache.defaultTtl * 1000, maxTtlMs }
  const { environment } = resolved
  const { keyPrefix } = cache
  return new CacheManager({
    store,
    loads,
    telemetry,
    clock,
    leaseMs,
    storeMs,
    isStrict,
    connection: connected?.connection,
    keyPrefix,
    environment,
    ...limits,
  })
}

function makeStore({ cache, clock, redis, logger }: Config, connected: Connected | undefined): Store {
  const stampsMs = WINDOWS * cache.maxTtl * 1000
  const table = { ...cache.memory, strategy: cache.strategy }
  if (connected !== undefined && redis !== undefined) {
    const { decodeResponses, onFailover } = redis
    const { keyPrefix, l1 } = cache
    const far = connected.store({ codec: makeCodec(cache), keyPrefix, stampsMs, clock, decodeResponses, onFailover })
    if (l1 === false) return far
    return new TieredStore({ near: new EntryTable(table), far, maxStalenessMs: l1.maxStaleness * 1000, clock })
  }
  if (!hasToldOfMemory) logger.info('tidemark: no Redis configured, entries are kept in the memory of this process')
  hasToldOfMemory = true
  return new MemoryStore({ ...table, stampsMs, clock })
}

/** Redis, whichever way it is set up. */
interface Connected {
  readonly connection: RedisConnection | ClusterConnection
  store(options: Omit<RedisStoreOptions, 'connection' | 'shard'>): FarStore
}

function connect(redis: ResolvedRedisConfig): Connected {
  const options = connectionOptions(redis)
  const { server, ...behaviour } = options
  if (redis.client === undefined && redis.cluster !== undefined && server !== undefined) {
    const cluster = new Cluster({ ...behaviour, nodes: redis.cluster, login: server })
    return {
      connection: new ClusterConnection(cluster),
      store: (storeOptions) => openShards(cluster, storeOptions),
    }
  }
  const connection = new RedisConnection(options)
  return { connection, store: (storeOptions) => new RedisStore({ ...storeOptions, connection }) }
}

function makeCodec(cache: Config['cache']): Codec {
  const { compressionEnabled, compressionAlgorithm: algorithm, compressionThreshold: thresholdBytes } = cache
  return new Codec(compressionEnabled ? { compression: { algorithm, thresholdBytes } } : {})
}

function connectionOptions(redis: ResolvedRedisConfig): ConnectionOptions {
  const behaviour = {
    commandTimeoutMs: redis.socketTimeout * 1000,
    healthCheckIntervalMs: redis.healthCheckInterval * 1000,
    maxConnections: redis.maxConnections,
  }
  if (redis.client !== undefined) return { ...behaviour, client: redis.client }
  const { host, port, path, sentinel, db, username, password, ssl, socketKeepalive, socketConnectTimeout } = redis
  const login = { username, password, ssl, keepAlive: socketKeepalive, connectTimeoutMs: socketConnectTimeout * 1000 }
  const server = { host, port, path, sentinel, db, ...login }
  return { ...behaviour, server }
}

function listen(store: Store, telemetry: Telemetry): void {
  const { counters, events } = telemetry
  store.listen({
    onEvict: (id) => {
      counters.evictions++
      if (events.has('evict')) events.emit('evict', { id })
    },
    onFault: (error) => telemetry.report(error),
    onBytes: (read, written) => {
      counters.bytesRead += read
      counters.bytesWritten += written
    },
  })
}
