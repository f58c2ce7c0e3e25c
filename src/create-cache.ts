/** From a configuration to a cache: the one place where the parts are put together. */
import { CacheManager } from './cache-manager.ts'
import { Codec } from './codec/codec.ts'
import type { ApplicationConfig } from './config/application-config.ts'
import type { Config, ResolvedRedisConfig } from './config/config.ts'
import { loadConfig, provenanceOf } from './config/load-config.ts'
import { logEvents } from './debug-log.ts'
import { EntryIds } from './entry-ids.ts'
import { Events } from './events.ts'
import { Loads } from './load.ts'
import { Counters } from './statistics.ts'
import { EntryTable } from './stores/entry-table.ts'
import { MemoryStore } from './stores/memory.ts'
import type { ServerOptions } from './stores/redis/client.ts'
import { isClusterClient, placeOf, type ClusterPlace } from './stores/redis/cluster-client.ts'
import { ClusterConnection } from './stores/redis/cluster-connection.ts'
import { Cluster } from './stores/redis/cluster.ts'
import { RedisConnection } from './stores/redis/connection.ts'
import { hazardsOf } from './stores/redis/hazards.ts'
import { RedisStore, type RedisStoreOptions } from './stores/redis/redis-store.ts'
import { openShards } from './stores/redis/sharded-store.ts'
import type { Store } from './stores/store.ts'
import { TieredStore, type FarStore } from './stores/tiered.ts'
import { Telemetry } from './telemetry.ts'

/** Stamps outlive every entry: ttl, swr and grace are each clamped to maxTtl. */
const WINDOWS = 3

/** What has been said, once in a process. */
const told = new Set<string>()

function tellOnce(message: string, log: (message: string) => void): void {
  if (told.has(message)) return
  told.add(message)
  log(`tidemark: ${message}`)
}

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
  const { client, socketTimeout = 0 } = resolved.redis ?? {}
  const hints = [...provenanceOf(resolved).hints, ...hazardsOf(client, socketTimeout * 1000)]
  for (const hint of hints) tellOnce(hint, (message) => logger.warn(message))
  const maxTtlMs = cache.maxTtl * 1000
  const connected = resolved.redis && connect(resolved.redis)
  const store = resolved.store ?? makeStore(resolved, connected)
  const telemetry = new Telemetry({
    counters: new Counters(cache.enableStatistics),
    events: new Events(),
    clock,
    warn: (message) => logger.warn(message),
    ...(resolved.redis !== undefined && { confirmMs: resolved.redis.socketTimeout * 1000 }),
  })
  const trace = resolved.debug ? (what: string): void => logger.info(`tidemark: ${what}`) : undefined
  listen(store, telemetry, trace)
  if (trace !== undefined) logEvents(telemetry.events, trace)
  const isStrict = cache.onError === 'throw'
  const leaseMs = cache.leaseTime * 1000
  const waitMs = cache.waitTime * 1000
  const storeMs = (resolved.redis?.socketTimeout ?? Infinity) * 1000
  const loads = new Loads({ store, clock, telemetry, leaseMs, waitMs, maxTtlMs, storeMs, isStrict })
  const limits = { defaultTtlMs: cache.defaultTtl * 1000, maxTtlMs }
  const { environment } = resolved
  const { keyPrefix, compressionThreshold: thresholdBytes } = cache
  const algorithm = cache.compressionEnabled ? cache.compressionAlgorithm : undefined
  return new CacheManager({
    store,
    loads,
    ids: new EntryIds(cache.memory.maxEntries),
    telemetry,
    clock,
    logError: (message) => logger.error(message),
    leaseMs,
    storeMs,
    isStrict,
    connection: connected?.connection,
    failFast: resolved.redis?.failFast === true,
    keyPrefix,
    environment,
    compression: { algorithm, thresholdBytes },
    ...limits,
  })
}

function makeStore(config: Config, connected: Connected | undefined): Store {
  const { cache, clock, redis, logger } = config
  const stampsMs = WINDOWS * cache.maxTtl * 1000
  const table = { ...cache.memory, strategy: cache.strategy }
  if (connected !== undefined && redis !== undefined) {
    const { decodeResponses, onFailover } = redis
    const { keyPrefix, l1 } = cache
    const far = connected.store({ codec: makeCodec(cache), keyPrefix, stampsMs, clock, decodeResponses, onFailover })
    if (l1 === false) return far
    return new TieredStore({ near: new EntryTable(table), far, maxStalenessMs: l1.maxStaleness * 1000, clock })
  }
  if (!provenanceOf(config).isMemoryMeant)
    tellOnce('no Redis configured, entries are kept in the memory of this process', (it) => logger.info(it))
  return new MemoryStore({ ...table, stampsMs, clock })
}

/** Redis, whichever way it is set up. */
interface Connected {
  readonly connection: RedisConnection | ClusterConnection
  store(options: Omit<RedisStoreOptions, 'connection' | 'shard'>): FarStore
}

function connect(redis: ResolvedRedisConfig): Connected {
  const behaviour = {
    commandTimeoutMs: redis.socketTimeout * 1000,
    healthCheckIntervalMs: redis.healthCheckInterval * 1000,
    maxConnections: redis.maxConnections,
  }
  const place = placeIn(redis)
  if ('nodes' in place) {
    const cluster = new Cluster({ ...behaviour, ...place })
    return {
      connection: new ClusterConnection(cluster),
      store: (storeOptions) => openShards(cluster, storeOptions),
    }
  }
  const connection = new RedisConnection({ ...behaviour, ...place })
  return { connection, store: (storeOptions) => new RedisStore({ ...storeOptions, connection }) }
}

function makeCodec(cache: Config['cache']): Codec {
  const {
    compressionEnabled,
    compressionAlgorithm: algorithm,
    compressionThreshold: thresholdBytes,
    signingKey,
  } = cache
  return new Codec({ ...(compressionEnabled && { compression: { algorithm, thresholdBytes } }), signingKey })
}

/** A cluster, one server, or a client of one that the user brought. */
function placeIn(redis: ResolvedRedisConfig): ClusterPlace | { server: ServerOptions } | { client: unknown } {
  const socket = { keepAlive: redis.socketKeepalive, connectTimeoutMs: redis.socketConnectTimeout * 1000 }
  if (redis.client !== undefined) {
    return isClusterClient(redis.client) ? placeOf(redis.client, socket) : { client: redis.client }
  }
  const { host, port, path, sentinel, db, username, password, ssl, cluster } = redis
  const login = { username, password, ssl, ...socket }
  return cluster === undefined ? { server: { host, port, path, sentinel, db, ...login } } : { nodes: cluster, login }
}

function listen(store: Store, telemetry: Telemetry, trace: ((what: string) => void) | undefined): void {
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
    onConnection: (change) => telemetry.connection(change),
    ...(trace !== undefined && { onTrace: trace }),
  })
}
