/** cacheable with Redis as its first store: nothing in memory, so no process keeps an old copy of its own. */
import { createKeyv } from '@keyv/redis'
import { Cacheable } from 'cacheable'

export const contestant = {
  name: 'cacheable, Redis alone',
  async create({ redisUrl, keyPrefix }) {
    return underTest(new Cacheable({ primary: redisStore(redisUrl, keyPrefix) }))
  },
}

export function redisStore(redisUrl, keyPrefix) {
  const store = createKeyv(redisUrl, { namespace: keyPrefix })
  store.on('error', () => undefined)
  return store
}

/** The calls of a cacheable, in whatever configuration. */
export function underTest(cache) {
  cache.on('error', () => undefined)
  return {
    read: (key, load, { ttlMs }) => cache.getOrSet(key, () => load(), { ttl: ttlMs }),
    get: (key) => cache.get(key),
    async invalidateKey(key) {
      await cache.delete(key)
    },
    close: () => cache.disconnect(),
  }
}
