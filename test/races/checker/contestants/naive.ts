/** What everybody writes first: GET, load, SET with a ttl; DEL to invalidate. It loses the race against a slow load. */
import { Redis } from 'ioredis'
import type { Contestant, Value } from '../contestant.ts'

export const contestant: Contestant = {
  name: 'naive',
  async create({ redisUrl, keyPrefix }) {
    const redis = new Redis(redisUrl)
    redis.on('error', () => undefined)
    const get = async (key: string): Promise<Value | undefined> => {
      const text = await redis.get(keyPrefix + key)
      return text === null ? undefined : (JSON.parse(text) as Value)
    }
    return {
      get,
      async read(key, load, { ttlMs }) {
        const found = await get(key)
        if (found !== undefined) return found
        const value = await load()
        await redis.set(keyPrefix + key, JSON.stringify(value), 'PX', Math.ceil(ttlMs))
        return value
      },
      async invalidateKey(key) {
        await redis.del(keyPrefix + key)
      },
      async close() {
        redis.disconnect()
      },
    }
  },
}
