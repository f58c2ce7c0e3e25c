/** async-cache-dedupe on its Redis storage, with references for tags: its only configuration for several processes. */
import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'

const REFERENCES_SECONDS = 3600

export const contestant = {
  name: 'async-cache-dedupe',
  async create({ redisUrl, keyPrefix }) {
    const client = new Redis(redisUrl, { keyPrefix })
    client.on('error', () => undefined)
    const options = { client, invalidation: { referencesTTL: REFERENCES_SECONDS } }
    const cache = createCache({ storage: { type: 'redis', options } })
    const definition = {
      ttl: 60,
      serialize: ({ key }) => key,
      references: ({ tags }) => tags,
    }
    cache.define('item', definition, ({ load }) => load())
    return {
      read: (key, load, { tags }) => cache.item({ key, load, tags }),
      invalidateKey: (key) => cache.clear('item', { key }),
      invalidateTags: (tags) => cache.invalidateAll([...tags]),
      close: async () => client.disconnect(),
    }
  },
}
