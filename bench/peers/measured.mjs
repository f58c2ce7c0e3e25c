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
import { Redis } from 'ioredis'

const HOUR_SECONDS = 3600
const HOUR_MS = HOUR_SECONDS * 1000
const MAX_ENTRIES = 10_000

export const PEERS = {
  memory: [
    { name: 'async-cache-dedupe', open: dedupeInMemory },
    { name: 'bentocache, not serialized', open: bentoInMemory },
    { name: 'cacheable', open: async (setup) => cacheable(setup, { primary: await keyvMemory() }) },
    { name: 'cache-manager', open: async (setup) => manager(setup, [await keyvMemory()]) },
    { name: 'cachified', open: (setup) => epic(setup, new Map()) },
    { name: 'catbox', open: catboxInMemory },
    { name: 'ocache', open: (setup) => ocache(setup) },
  ],
  redis: [
    { name: 'async-cache-dedupe', hasTags: true, open: dedupeOnRedis },
    { name: 'bentocache', hasTags: true, open: bentoOnRedis },
    { name: 'cacheable', hasTags: true, hasMany: true, open: cacheableOnRedis },
    { name: 'cache-manager', hasMany: true, open: async (setup) => manager(setup, [await keyvRedis(setup)]) },
    { name: 'cachified', open: (setup) => epic(setup, ...jsonOnRedis(setup, 'PX')) },
    { name: 'catbox', open: catboxOnRedis },
    { name: 'ocache', open: (setup) => ocache(setup, ...jsonOnRedis(setup, 'EX')) },
  ],
  tiered: [
    { name: 'bentocache', hasTags: true, open: bentoTiered },
    { name: 'cacheable', hasTags: true, open: cacheableTiered },
    { name: 'cache-manager', open: managerTiered },
  ],
}

async function dedupe({ load, tags }, storage, close = async () => undefined) {
  const { createCache } = await import('async-cache-dedupe')
  const cache = createCache({ storage, ttl: HOUR_SECONDS })
  const references = tags === undefined ? undefined : () => [...tags]
  cache.define('item', { references }, load)
  return { read: (key) => cache.item(key), close }
}

function dedupeInMemory(setup) {
  return dedupe(setup, { type: 'memory', options: { size: MAX_ENTRIES } })
}

function dedupeOnRedis(setup) {
  const client = connect(setup)
  const invalidation = setup.tags === undefined ? false : { referencesTTL: HOUR_SECONDS }
  return dedupe(setup, { type: 'redis', options: { client, invalidation } }, async () => client.disconnect())
}

async function bento({ load, tags }, layers) {
  const { BentoCache, bentostore } = await import('bentocache')
  const store = layers(bentostore())
  const cache = new BentoCache({ default: 'store', ttl: HOUR_MS, stores: { store } })
  return {
    read: (key) => cache.getOrSet({ key, tags, factory: () => load(key) }),
    close: () => cache.disconnectAll(),
  }
}

async function bentoInMemory(setup) {
  // Faster by far, and possible in memory alone: in front of Redis what comes from there fails to be read again.
  const memory = await bentoMemory({ serialize: false })
  return bento(setup, (store) => store.useL1Layer(memory))
}

async function bentoOnRedis(setup) {
  const { redisDriver } = await import('bentocache/drivers/redis')
  return bento(setup, (store) => store.useL2Layer(redisDriver({ connection: connect(setup) })))
}

async function bentoTiered(setup) {
  const { redisBusDriver, redisDriver } = await import('bentocache/drivers/redis')
  const memory = await bentoMemory({})
  const redis = redisDriver({ connection: connect(setup) })
  const bus = redisBusDriver({ connection: { ...setup.redis } })
  return bento(setup, (store) => store.useL1Layer(memory).useL2Layer(redis).useBus(bus))
}

async function bentoMemory(options) {
  const { memoryDriver } = await import('bentocache/drivers/memory')
  return memoryDriver({ maxItems: MAX_ENTRIES, ...options })
}

async function cacheable({ load, tags }, stores) {
  const { Cacheable } = await import('cacheable')
  const cache = new Cacheable(stores)
  const options = { ttl: HOUR_MS, tags }
  return {
    read: (key) => cache.getOrSet(key, () => load(key), options),
    readMany: (keys) => cache.getMany(keys),
    close: () => cache.disconnect(),
  }
}

async function cacheableOnRedis(setup) {
  return cacheable(setup, { primary: await keyvRedis(setup) })
}

async function cacheableTiered(setup) {
  return cacheable(setup, { primary: await keyvMemory(), secondary: await keyvRedis(setup) })
}

async function manager({ load }, stores) {
  const { createCache } = await import('cache-manager')
  const cache = createCache({ stores, ttl: HOUR_MS })
  return {
    read: (key) => cache.wrap(key, () => load(key)),
    readMany: (keys) => cache.mget(keys),
    close: () => cache.disconnect(),
  }
}

async function managerTiered(setup) {
  return manager(setup, [await keyvMemory(), await keyvRedis(setup)])
}

/** Neither copied nor serialized. */
async function keyvMemory() {
  const { CacheableMemory, Keyv } = await import('cacheable')
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

async function keyvRedis({ redis }) {
  const { createKeyv } = await import('@keyv/redis')
  const keyv = createKeyv(`redis://${redis.host}:${redis.port}/${redis.db ?? 0}`)
  keyv.on('error', ignore)
  return keyv
}

async function epic({ load }, cache, close = async () => undefined) {
  const { cachified } = await import('@epic-web/cachified')
  return { read: (key) => cachified({ key, cache, ttl: HOUR_MS, getFreshValue: () => load(key) }), close }
}

async function catboxInMemory(setup) {
  const { Engine } = await import('@hapi/catbox-memory')
  return catbox(setup, Engine, { maxByteSize: 512 * 1024 * 1024 })
}

async function catboxOnRedis(setup) {
  const { Engine } = await import('@hapi/catbox-redis')
  return catbox(setup, Engine, { ...setup.redis, partition: 'catbox' })
}

async function catbox({ load }, Engine, options) {
  const { Client, Policy } = await import('@hapi/catbox')
  const client = new Client(Engine, options)
  await client.start()
  const policy = new Policy({ expiresIn: HOUR_MS, generateFunc: load, generateTimeout: 10_000 }, client, 'items')
  return { read: (key) => policy.get(key), close: () => client.stop() }
}

async function ocache({ load }, storage, close = async () => undefined) {
  const { cachedFunction } = await import('ocache')
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
