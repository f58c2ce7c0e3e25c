/** bentocache with Redis alone: every read asks Redis, so no process keeps an old copy of its own. */
import { BentoCache, bentostore } from 'bentocache'
import { redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'

export const contestant = {
  name: 'bentocache, Redis alone',
  async create({ redisUrl, keyPrefix }) {
    const connection = new Redis(redisUrl)
    connection.on('error', () => undefined)
    const store = bentostore().useL2Layer(redisDriver({ connection }))
    return underTest(new BentoCache({ default: 'redis', prefix: keyPrefix, stores: { redis: store } }))
  },
}

/** The calls of a bentocache, in whatever configuration. */
export function underTest(bento) {
  return {
    read: (key, load, { ttlMs, tags }) => bento.getOrSet({ key, ttl: ttlMs, tags: [...tags], factory: () => load() }),
    get: (key) => bento.get({ key }),
    invalidateKey: (key) => bento.delete({ key }),
    invalidateTags: (tags) => bento.deleteByTag({ tags: [...tags] }),
    close: () => bento.disconnectAll(),
  }
}
