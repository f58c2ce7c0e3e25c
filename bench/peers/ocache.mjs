/** ocache on Redis, without stale-while-revalidate: whoever misses waits for the new value. */
import { Redis } from 'ioredis'
import { cachedFunction } from 'ocache'

export const contestant = {
  name: 'ocache, without swr',
  create: (setup) => create(setup, false),
}

/** ocache with a storage in Redis, as a user writes it. */
export async function create({ redisUrl, keyPrefix }, swr) {
  const redis = new Redis(redisUrl)
  redis.on('error', () => undefined)
  const storage = {
    async get(key) {
      const text = await redis.get(keyPrefix + key)
      return text === null ? null : JSON.parse(text)
    },
    async set(key, value, { ttl } = {}) {
      if (value === null || value === undefined) await redis.del(keyPrefix + key)
      else if (ttl === undefined) await redis.set(keyPrefix + key, JSON.stringify(value))
      else await redis.set(keyPrefix + key, JSON.stringify(value), 'EX', Math.ceil(ttl))
    },
  }
  const options = { name: 'item', maxAge: 60, swr, storage, getKey: ({ key }) => key }
  const item = cachedFunction(({ load }) => load(), options)
  return {
    read: (key, load) => item({ key, load }),
    invalidateKey: (key) => item.invalidate({ key }),
    close: async () => redis.disconnect(),
  }
}
