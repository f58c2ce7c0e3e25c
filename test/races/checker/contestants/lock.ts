/** The usual remedy: a lock (SET NX) around the load. One loads at a time, and the one who loads is still late. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Contestant, Value } from '../contestant.ts'

const PAUSE_MS = 5

export const contestant: Contestant = {
  name: 'lock',
  async create({ redisUrl, keyPrefix, leaseMs, process: name }) {
    const redis = new Redis(redisUrl)
    redis.on('error', () => undefined)
    let locks = 0
    const get = async (key: string): Promise<Value | undefined> => {
      const text = await redis.get(keyPrefix + key)
      return text === null ? undefined : (JSON.parse(text) as Value)
    }
    const unlock = async (lock: string, token: string): Promise<void> => {
      if ((await redis.get(lock)) === token) await redis.del(lock)
    }
    return {
      get,
      async read(key, load, { ttlMs }) {
        const lock = `${keyPrefix}lock:${key}`
        const token = `${name}.${locks++}`
        for (;;) {
          const found = await get(key)
          if (found !== undefined) return found
          if ((await redis.set(lock, token, 'PX', leaseMs, 'NX')) === 'OK') break
          await sleep(PAUSE_MS)
        }
        try {
          const value = await load()
          await redis.set(keyPrefix + key, JSON.stringify(value), 'PX', Math.ceil(ttlMs))
          return value
        } finally {
          await unlock(lock, token)
        }
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
