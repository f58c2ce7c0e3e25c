/** bentocache as its documents recommend it: memory in front of Redis, kept in step over a bus. */
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import { Redis } from 'ioredis'
import { underTest } from './bentocache.mjs'

export const contestant = {
  name: 'bentocache, memory + Redis + bus',
  async create({ redisUrl, keyPrefix }) {
    const connection = new Redis(redisUrl)
    connection.on('error', () => undefined)
    const { hostname: host, port } = new URL(redisUrl)
    const store = bentostore()
      .useL1Layer(memoryDriver({ maxItems: 10_000 }))
      .useL2Layer(redisDriver({ connection }))
      .useBus(redisBusDriver({ connection: { host, port: Number(port) } }))
    return underTest(new BentoCache({ default: 'tiered', prefix: keyPrefix, stores: { tiered: store } }))
  },
}
