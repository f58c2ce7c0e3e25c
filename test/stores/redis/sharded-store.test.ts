/** The shards of a cluster keep the contract of stores together, and ask no more of Redis than one would. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createCache, RedisConnectionError } from 'tidemark'
import { storeSuite, type StoreUnderTest } from 'tidemark/testing'
import { SHARDS } from '../../../src/key.ts'
import { parseRateLimit, RateLimiter } from '../../../src/rate-limit.ts'
import { ClusterCaches, keysOfShard, slotOfShard } from '../../helpers/cluster-caches.ts'
import { startRedisCluster, type RedisCluster } from '../../helpers/redis-cluster.ts'

let cluster: RedisCluster
const caches = new ClusterCaches(() => cluster)
const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

beforeAll(async () => {
  cluster = await startRedisCluster()
})
afterEach(() => caches.closeAll())
afterAll(() => cluster.stop())

describe('the contract', () => {
  let prefixes = 0
  function makeStore(): StoreUnderTest {
    const keyPrefix = `suite-${prefixes++}:`
    return {
      store: caches.store(keyPrefix),
      another: () => caches.store(keyPrefix),
      dispose: () => caches.closeAll(),
    }
  }

  test.each(storeSuite({ makeStore }))('$name', ({ run }) => run())
})

describe('commands per call', () => {
  const keyPrefix = 'counted:'
  const scripts = (stats: Record<string, number>): number => (stats['evalsha'] ?? 0) + (stats['eval'] ?? 0)

  test('a hit is one, a delete is one, an invalidation is one for each shard', async () => {
    const cache = caches.open({ cache: { keyPrefix } })
    await cache.clear()
    await cache.set('a', 1, { tags: ['t'] })
    await cache.get('a')
    await cluster.resetStats()
    await cache.get('a')
    expect(await cluster.commandStats()).toEqual({ mget: 1, 'config|resetstat': 3 })
    await cluster.resetStats()
    await cache.delete('a')
    expect(scripts(await cluster.commandStats())).toBe(1)
    await cluster.resetStats()
    await cache.invalidateTags('t')
    expect(scripts(await cluster.commandStats())).toBe(SHARDS)
  })

  test('many keys are deleted with one for each shard they are in', async () => {
    const cache = caches.open({ cache: { keyPrefix } })
    const keys = Array.from({ length: 200 }, (_, i) => `many${i}`)
    await Promise.all(keys.map((key) => cache.set(key, 1)))
    await cluster.resetStats()
    expect(await cache.delete([...keys, 'none'])).toBe(200)
    // For every key there are the entry and a parent: 25 of a shard, far below what one script takes.
    expect(scripts(await cluster.commandStats())).toBe(SHARDS)
  })
})

describe('two processes', () => {
  test('share one cache: entries, loads and invalidations, of whatever shard', async () => {
    const [one, other] = [caches.open(), caches.open()]
    const keys = Array.from({ length: 100 }, (_, i) => `shared${i}`)
    await Promise.all(keys.map((key) => one.set(key, key, { tags: ['t'] })))
    expect(await Promise.all(keys.map((key) => other.get(key)))).toEqual(keys)
    await other.invalidateTags('t')
    expect(await one.exists(keys)).toBe(0)
    let loads = 0
    const load = (): number => ++loads
    expect(await Promise.all([one.getOrSet('load', load), other.getOrSet('load', load)])).toEqual([1, 1])
  })

  test('keep entries in memory, and hear of what the other one invalidates', async () => {
    const one = caches.open({ cache: { l1: true } })
    const other = caches.open()
    for (const key of ['a', 'b', 'c', 'd', 'e']) {
      await other.set(key, 1, { tags: [`tag-${key}`] })
      await expect
        .poll(
          async () => {
            await one.get(key)
            await cluster.resetStats()
            await one.get(key)
            return (await cluster.commandStats())['mget']
          },
          { interval: 5 },
        )
        .toBeUndefined()
      await other.invalidateTags(`tag-${key}`, { strict: true })
      expect(await one.get(key)).toBeUndefined()
    }
  })
})

describe('another number of shards', () => {
  const [key] = keysOfShard(0, 1)

  test('is refused: neither would hear of what the other one invalidates', async () => {
    await caches.open({ cache: { keyPrefix: 'split:' } }).set(key!, 1)
    // One who takes a node for all there is.
    const { url } = cluster.masterOf(slotOfShard(0))
    const single = createCache({ redis: { url }, cache: { keyPrefix: 'split:' }, logger: SILENT })
    try {
      const refusal = single.set(key!, 2)
      await expect(refusal).rejects.toThrow(RedisConnectionError)
      await expect(refusal).rejects.toThrow(/used with 16 shards, here it would be 1/)
    } finally {
      await single.close()
    }
  })

  test('a node that is taken for all there is, and is not, says so', async () => {
    const { url } = cluster.masters.find((master) => master !== cluster.masterOf(slotOfShard(0)))!
    const single = createCache({ redis: { url }, logger: SILENT })
    try {
      await expect(single.set('a', 1)).rejects.toThrow(/redis\.cluster/)
    } finally {
      await single.close()
    }
  })
})

test('debug: true tells of loads that a shard refused', async () => {
  const lines: string[] = []
  const logger = { ...SILENT, info: (line: string) => void lines.push(line) }
  const cache = caches.open({ debug: true, logger })
  await cache.getOrSet('overtaken', () => cache.delete('overtaken'))
  await expect.poll(() => lines.filter((line) => /overtaken.* is refused/.test(line))).toHaveLength(1)
})

test('rate limits count on whichever node their key is', async () => {
  const { connection } = caches.open().parts
  const options = { connection, keyPrefix: 'limits' }
  const limiters = [0, 1].map(() => new RateLimiter(parseRateLimit('1/minute'), options))
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
    expect((await limiters[0]!.consume(key)).allowed, key).toBe(true)
    expect((await limiters[1]!.consume(key)).allowed, key).toBe(false)
  }
})

test('it rejects at once, and says why, if no node is there', async () => {
  const cache = createCache({ redis: { cluster: ['127.0.0.1:1'] }, logger: SILENT })
  try {
    await expect(cache.get('a')).rejects.toThrow(/no node of the Redis Cluster says who serves what: .*ECONNREFUSED/)
    expect(await cache.ping()).toBe(false)
    expect(await cache.getOrSet('a', () => 1)).toBe(1)
  } finally {
    await cache.close()
  }
})
