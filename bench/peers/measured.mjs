/**
 * Other caches as they are measured: each in the configuration that makes it fastest without making it wrong.
 *
 * `PEERS[place]` holds those that can keep entries there: `memory`, `redis`, or `tiered` (memory in front of Redis).
 * `open({ redis: { host, port, db }, load, tags })` resolves with `{ read, close }`: `read(key)` returns what is stored of the key, or what
 * `load(key)` returned (`readMany(keys)`, of those that `hasMany`: the values that are stored), which is then stored for an hour, under `tags` if the peer has them (`hasTags`).
 *
 * Not among them: @fastify/caching, which stores no answers, only that an ETag was once sent; apicache's Redis store, which
 * is for a client of 2021.
 */
import { cachified } from '@epic-web/cachified'
import { Client, Policy } from '@hapi/catbox'
import { Engine as CatboxMemory } from '@hapi/catbox-memory'
import { Engine as CatboxRedis } from '@hapi/catbox-redis'
import { createKeyv as createRedisKeyv } from '@keyv/redis'
import { createCache as createDedupe } from 'async-cache-dedupe'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { createCache as createManager } from 'cache-manager'
import { Cacheable, CacheableMemory, Keyv } from 'cacheable'
import { Redis } from 'ioredis'
import { cachedFunction } from 'ocache'

const HOUR_SECONDS = 3600
const HOUR_MS = HOUR_SECONDS * 1000
const MAX_ENTRIES = 10_000

export const PEERS = {
  memory: [
    { name: 'async-cache-dedupe', open: (setup) => dedupe(setup, { type: 'memory', options: { size: MAX_ENTRIES } }) },
    { name: 'bentocache, not serialized', open: (setup) => bento(setup, bentostore().useL1Layer(bentoMemory())) },
    { name: 'cacheable', open: async (setup) => cacheable(setup, new Cacheable({ primary: keyvMemory() })) },
    { name: 'cache-manager', open: async (setup) => manager(setup, [keyvMemory()]) },
    { name: 'cachified', open: async (setup) => epic(setup, new Map()) },
    { name: 'catbox', open: (setup) => catbox(setup, new Client(CatboxMemory, { maxByteSize: 512 * 1024 * 1024 })) },
    { name: 'ocache', open: async (setup) => ocache(setup) },
  ],
  redis: [
    { name: 'async-cache-dedupe', hasTags: true, open: dedupeOnRedis },
    { name: 'bentocache', hasTags: true, open: (setup) => bentoOnRedis(setup, bentostore()) },
    {
      name: 'cacheable',
      hasTags: true,
      hasMany: true,
      open: async (setup) => cacheable(setup, new Cacheable({ primary: keyvRedis(setup) })),
    },
    { name: 'cache-manager', hasMany: true, open: async (setup) => manager(setup, [keyvRedis(setup)]) },
    { name: 'cachified', open: async (setup) => epic(setup, ...jsonOnRedis(setup, 'PX')) },
    {
      name: 'catbox',
      open: (setup) => catbox(setup, new Client(CatboxRedis, { ...setup.redis, partition: 'catbox' })),
    },
    { name: 'ocache', open: async (setup) => ocache(setup, ...jsonOnRedis(setup, 'EX')) },
  ],
  tiered: [
    { name: 'bentocache, not serialized', hasTags: true, open: bentoTiered },
    { name: 'cacheable', hasTags: true, open: async (setup) => cacheable(setup, cacheableTiered(setup)) },
    { name: 'cache-manager', open: async (setup) => manager(setup, [keyvMemory(), keyvRedis(setup)]) },
  ],
}

async function dedupe({ load, tags }, storage, close = async () => undefined) {
  const cache = createDedupe({ storage, ttl: HOUR_SECONDS })
  const references = tags === undefined ? undefined : () => [...tags]
  cache.define('item', { references }, load)
  return { read: (key) => cache.item(key), close }
}

function dedupeOnRedis(setup) {
  const client = connect(setup)
  const invalidation = setup.tags === undefined ? false : { referencesTTL: HOUR_SECONDS }
  return dedupe(setup, { type: 'redis', options: { client, invalidation } }, async () => client.disconnect())
}

async function bento({ load, tags }, store, close = async () => undefined) {
  const cache = new BentoCache({ default: 'store', ttl: HOUR_MS, stores: { store } })
  return {
    read: (key) => cache.getOrSet({ key, tags, factory: () => load(key) }),
    async close() {
      await cache.disconnectAll()
      await close()
    },
  }
}

function bentoMemory() {
  return memoryDriver({ maxItems: MAX_ENTRIES, serialize: false })
}

function bentoOnRedis(setup, store) {
  return bento(setup, store.useL2Layer(redisDriver({ connection: connect(setup) })))
}

function bentoTiered(setup) {
  const bus = redisBusDriver({ connection: { ...setup.redis } })
  return bentoOnRedis(setup, bentostore().useL1Layer(bentoMemory()).useBus(bus))
}

function cacheable({ load, tags }, cache) {
  const options = { ttl: HOUR_MS, tags }
  return {
    read: (key) => cache.getOrSet(key, () => load(key), options),
    readMany: (keys) => cache.getMany(keys),
    close: () => cache.disconnect(),
  }
}

function cacheableTiered(setup) {
  return new Cacheable({ primary: keyvMemory(), secondary: keyvRedis(setup) })
}

function manager({ load }, stores) {
  const cache = createManager({ stores, ttl: HOUR_MS })
  return {
    read: (key) => cache.wrap(key, () => load(key)),
    readMany: (keys) => cache.mget(keys),
    close: () => cache.disconnect(),
  }
}

/** Neither copied nor serialized. */
function keyvMemory() {
  const store = new CacheableMemory({ useClone: false, lruSize: MAX_ENTRIES })
  return new Keyv({ store: storeOf(store), serialize: undefined, deserialize: undefined })
}

/** What Keyv asks of a store, of one that keeps values as they are. */
function storeOf(memory) {
  return {
    opts: {},
    get: (key) => memory.get(key),
    set: (key, value, ttl) => void memory.set(key, value, ttl),
    delete: (key) => (memory.delete(key), true),
    clear: () => memory.clear(),
  }
}

function keyvRedis({ redis }) {
  const keyv = createRedisKeyv(`redis://${redis.host}:${redis.port}/${redis.db ?? 0}`)
  keyv.on('error', ignore)
  return keyv
}

function epic({ load }, cache, close = async () => undefined) {
  return { read: (key) => cachified({ key, cache, ttl: HOUR_MS, getFreshValue: () => load(key) }), close }
}

async function catbox({ load }, client) {
  await client.start()
  const policy = new Policy({ expiresIn: HOUR_MS, generateFunc: load, generateTimeout: 10_000 }, client, 'items')
  return { read: (key) => policy.get(key), close: () => client.stop() }
}

function ocache({ load }, storage, close = async () => undefined) {
  const options = { name: 'item', maxAge: HOUR_SECONDS, swr: false, getKey: (key) => key }
  const item = cachedFunction(load, storage === undefined ? options : { ...options, storage })
  return { read: (key) => item(key), close }
}

/** The adapter that a user writes for a cache which has none, and how it is closed. */
function jsonOnRedis(setup, unit) {
  const redis = connect(setup)
  const duration = unit === 'EX' ? HOUR_SECONDS : HOUR_MS
  const adapter = {
    async get(key) {
      const text = await redis.get(key)
      return text === null ? null : JSON.parse(text)
    },
    set: (key, value) => redis.set(key, JSON.stringify(value), unit, duration),
    delete: (key) => redis.del(key),
  }
  return [adapter, async () => redis.disconnect()]
}

function connect({ redis }) {
  return new Redis(redis).on('error', ignore)
}

/** What comes of it shows in the answers: a value that is loaded anew ends the run. */
function ignore() {}
