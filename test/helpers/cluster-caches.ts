/** Caches and stores over a cluster, each with connections of its own, as different processes have them. */
import { createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { systemClock } from '../../src/clock.ts'
import { Codec } from '../../src/codec/codec.ts'
import { entryId, hashTag, shardOf, SHARDS } from '../../src/key.ts'
import { Cluster } from '../../src/stores/redis/cluster.ts'
import { openShards, type ShardedStore } from '../../src/stores/redis/sharded-store.ts'
import { slotOf } from '../../src/stores/redis/slots.ts'
import type { RedisCluster } from './redis-cluster.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

export class ClusterCaches {
  readonly #cluster: () => RedisCluster
  readonly #open: { close(): Promise<void> }[] = []

  constructor(cluster: () => RedisCluster) {
    this.#cluster = cluster
  }

  open({ redis, ...config }: Omit<ApplicationConfig, 'redis'> & { redis?: object } = {}): CacheManager {
    const cache = createCache({ redis: { cluster: this.#cluster().nodes, ...redis }, logger: SILENT, ...config })
    this.#open.push(cache)
    return cache
  }

  store(keyPrefix: string): ShardedStore {
    const nodes = this.#cluster().masters.map(({ host, port }) => ({ host, port }))
    const login = { ssl: false, keepAlive: true, connectTimeoutMs: 5000 }
    const behaviour = { commandTimeoutMs: 5000, healthCheckIntervalMs: 0, maxConnections: 50 }
    const store = openShards(new Cluster({ nodes, login, ...behaviour }), {
      codec: new Codec({}),
      keyPrefix,
      stampsMs: 86_400_000,
      clock: systemClock,
      decodeResponses: true,
      onFailover: 'invalidate',
    })
    this.#open.push(store)
    return store
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((one) => one.close()))
  }
}

/** So many keys whose entries are in one shard. */
export function keysOfShard(shard: number, count: number): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < count; i++) if (shardOf(entryId('', `k${i}`), SHARDS) === shard) keys.push(`k${i}`)
  return keys
}

export function slotOfShard(shard: number): number {
  return slotOf(hashTag(shard))
}
