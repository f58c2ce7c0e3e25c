/** The library itself, with all that it can do; each process with another client, as applications have them. */
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import {
  cached,
  createCache,
  RedisConnectionError,
  type CacheManager,
  type GetOrSetOptions,
  type LoadContext,
  type RedisClient,
  type SetOptions,
} from '../../../../src/index.ts'
import type { CacheUnderTest, Contestant, ContestantSetup, Load, ReadOptions, Value } from '../contestant.ts'

/** Where the keys are that are read by a function alone. */
const WRAPPED = 'wrapped'

export const contestant: Contestant = {
  name: 'tidemark',
  metadata: {
    watermark: (keyPrefix) => `${keyPrefix}{#0}w`,
    stamps: (keyPrefix) => `${keyPrefix}{#0}t`,
    marker: '!',
  },
  async create(setup) {
    const [client, closeClient] = setup.redis === undefined ? clientOf(setup) : [undefined, () => undefined]
    const cache = cacheOf(setup, client)
    const counts = { hits: 0, fills: 0, fences: 0 }
    cache.on('hit', () => counts.hits++)
    cache.on('fill', () => counts.fills++)
    cache.on('fence', () => counts.fences++)
    return {
      ...reads(cache),
      ...invalidations(cache),
      counts: () => counts,
      onFault(listener) {
        cache.on('error', ({ error, key, namespace }) => {
          if (!(error instanceof RedisConnectionError)) return
          listener(key === undefined ? undefined : `${namespace}/${key}`)
        })
      },
      async close() {
        await cache.close()
        closeClient()
      },
    }
  },
}

function cacheOf(setup: ContestantSetup, client: RedisClient | undefined): CacheManager {
  const { keyPrefix, commandTimeoutMs, leaseMs, waitMs, maxStalenessMs } = setup
  const socketTimeout = commandTimeoutMs / 1000
  const place = setup.redis ?? { url: setup.redisUrl }
  const redis = client === undefined ? { ...place, socketConnectTimeout: socketTimeout } : { client }
  return createCache({
    redis: { ...redis, socketTimeout, onFailover: 'invalidate' },
    cache: {
      keyPrefix,
      leaseTime: leaseMs / 1000,
      waitTime: waitMs / 1000,
      l1: maxStalenessMs === undefined ? false : { maxStaleness: maxStalenessMs / 1000 },
    },
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
  })
}

/**
 * Half of the processes leave the client to the library; the others bring ioredis or node-redis, and listen through a
 * proxy of their own, so that what is heard and what is asked can be late by themselves.
 */
function clientOf({ process: name, redisUrl, subscriberUrl }: ContestantSetup): [RedisClient | undefined, () => void] {
  const port = Number(new URL(subscriberUrl).port)
  if (name % 4 === 1) {
    const client = new Redis(redisUrl, {
      lazyConnect: true,
      retryStrategy: () => 50,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
    })
    client.on('error', () => undefined)
    const duplicate = client.duplicate.bind(client)
    client.duplicate = (override) => duplicate({ ...override, port })
    return [client, () => client.disconnect()]
  }
  if (name % 4 === 3) {
    const socket = { reconnectStrategy: 50, connectTimeout: 300 }
    const client = createClient({ url: redisUrl, disableOfflineQueue: true, socket })
    client.on('error', () => undefined)
    const duplicate = client.duplicate.bind(client)
    client.duplicate = (override) => duplicate({ ...override, url: subscriberUrl })
    return [client, () => client.destroy()]
  }
  return [undefined, () => undefined]
}

type Reads = Pick<CacheUnderTest, 'read' | 'readWrapped' | 'get' | 'getMany' | 'fillByHand' | 'set'>

function reads(cache: CacheManager): Reads {
  const wrapped = cached(cache, {
    key: (key: string) => key,
    namespace: WRAPPED,
    ttl: '2s',
    tags: (_key: string, _load: Load, { tags }: ReadOptions) => tags,
  })(async (_key: string, load: Load, _options: ReadOptions) => load())
  return {
    async read(key, load, options) {
      const { namespace, name } = placeOf(key)
      return cache.getOrSet(name, (context) => loaded(context, load, options), { ...settingsOf(options), namespace })
    },
    readWrapped: (key, load, options) => wrapped(placeOf(key).name, load, options),
    async get(key) {
      const { namespace, name } = placeOf(key)
      return cache.get<Value>(name, { namespace })
    },
    async getMany(keys) {
      const names = keys.map((key) => placeOf(key).name)
      return cache.getMany<Value>(names, { namespace: placeOf(keys[0]!).namespace })
    },
    async fillByHand(key, load, options) {
      const { namespace, name } = placeOf(key)
      const token = await cache.begin(name, { namespace })
      await token.set(await load(), { ...windowsOf(options), tags: options.tags })
    },
    async set(key, value, options) {
      const { namespace, name } = placeOf(key)
      await cache.set(name, value, { ...windowsOf(options), tags: options.tags, namespace })
    },
  }
}

async function loaded(context: LoadContext<Value>, load: Load, { learntTags }: ReadOptions): Promise<Value> {
  const value = await load(context)
  context.tag(...learntTags)
  return value
}

type Invalidations = Pick<
  CacheUnderTest,
  'invalidateKey' | 'invalidateKeys' | 'invalidateTags' | 'invalidateSoftly' | 'clear'
>

function invalidations(cache: CacheManager): Invalidations {
  return {
    async invalidateKey(key) {
      const { namespace, name } = placeOf(key)
      await cache.delete(name, { namespace })
    },
    async invalidateKeys(keys) {
      const names = keys.map((key) => placeOf(key).name)
      await cache.delete(names, { namespace: placeOf(keys[0]!).namespace })
    },
    invalidateTags: (tags, { isStrict = false } = {}) => cache.invalidateTags(tags, { strict: isStrict }),
    invalidateSoftly: (tags) => cache.invalidateTags(tags, { soft: true }),
    clear: (namespace) => cache.clear({ namespace }),
  }
}

function placeOf(key: string): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = ''] = key.split('/')
  return { namespace, name }
}

function settingsOf(options: ReadOptions): GetOrSetOptions {
  return {
    ...windowsOf(options),
    tags: options.tags.filter((tag) => !options.learntTags.includes(tag)),
    softTimeout: secondsOf(options.softTimeoutMs),
    hardTimeout: secondsOf(options.hardTimeoutMs),
    forceRefresh: options.isForced,
    earlyRefresh: options.isEarly,
  }
}

function windowsOf({ ttlMs, swrMs, graceMs, jitter }: ReadOptions): SetOptions {
  return { ttl: ttlMs / 1000, swr: swrMs / 1000, grace: graceMs / 1000, jitter }
}

function secondsOf(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
