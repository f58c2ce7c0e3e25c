/** A cluster that changes while it is used: slots move, masters die, and nobody is handed what was invalidated. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { doctor, RedisConnectionError, type CacheManager } from 'tidemark'
import { ClusterCaches, keysOfShard, slotOfShard } from '../../helpers/cluster-caches.ts'
import {
  moveSlot,
  startRedisCluster,
  type RedisCluster,
  type RedisClusterOptions,
} from '../../helpers/redis-cluster.ts'
import type { RedisServer } from '../../helpers/redis.ts'

const SHARD = 5
const SLOT = slotOfShard(SHARD)
const MAX_STALENESS_MS = 200
const L1 = { cache: { l1: { maxStaleness: '200ms' } } } as const

let cluster: RedisCluster
const caches = new ClusterCaches(() => cluster)

afterEach(async () => {
  await caches.closeAll()
  await cluster.stop()
})

function start(options: RedisClusterOptions): void {
  beforeEach(async () => {
    cluster = await startRedisCluster(options)
  })
}

/** The master of the shard, and another one. */
function ends(): [RedisServer, RedisServer] {
  const from = cluster.masterOf(SLOT)
  return [from, cluster.masters.find((master) => master !== from)!]
}

const isDone = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => true,
    () => false,
  )

/** Whether `get` is answered from memory. */
async function isNear(cache: CacheManager, key: string): Promise<boolean> {
  await cache.get(key)
  await cluster.resetStats()
  await cache.get(key)
  return (await cluster.commandStats())['mget'] === undefined
}

/**
 * Readers, loaders and an invalidator, until they are told to end. What is loaded is the version of the moment; what is
 * read must not be older than the last version whose invalidation had resolved before the read began: with memory in
 * front, `MAX_STALENESS_MS` before.
 */
class Traffic {
  readonly stale: string[] = []
  reads = 0
  invalidations = 0
  readonly refusals: unknown[] = []
  #version = 1
  readonly #committed: { readonly at: number; readonly version: number }[] = [{ at: -Infinity, version: 0 }]
  #isOver = false
  readonly #running: Promise<void>[]

  constructor(keys: readonly string[], { far, near, writer }: Record<'far' | 'near' | 'writer', CacheManager>) {
    const readers = [far, far, near, near].map((cache) =>
      this.#read(keys, cache, cache === near ? MAX_STALENESS_MS : 0),
    )
    this.#running = [...readers, this.#invalidate(writer)]
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running)
  }

  async #read(keys: readonly string[], cache: CacheManager, lagMs: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const key = keys[(i * 7) % keys.length]!
      const begunAt = performance.now()
      const least = this.#committed.findLast(({ at }) => at <= begunAt - lagMs)!.version
      const value = await cache.getOrSet(
        key,
        async () => {
          const version = this.#version
          await sleep(Math.random() * 5)
          return version
        },
        { tags: ['t'] },
      )
      this.reads++
      if (value < least) this.stale.push(`${key}: ${value} instead of ${least}${lagMs > 0 ? ', from memory' : ''}`)
      // A hit in memory takes no time at all: the others want to run too.
      await sleep(0)
    }
  }

  async #invalidate(cache: CacheManager): Promise<void> {
    for (; !this.#isOver; await sleep(15)) {
      const version = ++this.#version
      try {
        await cache.invalidateTags('t')
        this.#committed.push({ at: performance.now(), version })
        this.invalidations++
      } catch (error) {
        this.refusals.push(error)
      }
    }
  }
}

const traffic = (redis: object = {}): Traffic =>
  new Traffic(keysOfShard(SHARD, 60), {
    far: caches.open({ redis }),
    near: caches.open({ redis, ...L1 }),
    writer: caches.open({ redis }),
  })

describe('a slot that moves while reads, loads and invalidations go on', () => {
  start({ masters: 2 })

  test('there and back again: nothing stale is read, and invalidations resolve', async () => {
    const [from, to] = ends()
    const running = traffic()
    await sleep(200)
    for (const way of [
      [from, to],
      [to, from],
    ] as const) {
      await moveSlot(cluster, SLOT, way)
      const { invalidations } = running
      await expect.poll(() => running.invalidations, { timeout: 5000 }).toBeGreaterThan(invalidations + 3)
    }
    await running.end()
    expect(running.stale).toEqual([])
    expect(running.refusals).toEqual([])
    expect(running.reads).toBeGreaterThan(0)
  }, 40_000)

  test('half moved: reads find nothing, loads are not stored, an invalidation rejects and is delivered later', async () => {
    const [from, to] = ends()
    const [key, other] = keysOfShard(SHARD, 2)
    const cache = caches.open({ redis: { socketTimeout: '300ms' } })
    await cache.set(key!, 'old', { tags: ['t'] })
    const ids = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')].map(String)
    await to.call('CLUSTER', 'SETSLOT', String(SLOT), 'IMPORTING', ids[0]!)
    await from.call('CLUSTER', 'SETSLOT', String(SLOT), 'MIGRATING', ids[1]!)
    await from.call('MIGRATE', to.host, String(to.port), `cache:{#${SHARD}}k::${key}`, '0', '5000')
    expect(await cache.get(key!)).toBeUndefined()
    expect(await cache.getOrSet(key!, () => 'loaded')).toBe('loaded')
    expect(await cache.getOrSet(other!, () => 1)).toBe(1)
    expect(await cache.getOrSet(other!, () => 2)).toBe(2)
    await expect(cache.invalidateTags('t')).rejects.toThrow(RedisConnectionError)
    await moveSlot(cluster, SLOT, [from, to])
    await expect.poll(() => cache.get(key!).catch((error: unknown) => error), { timeout: 5000 }).toBeUndefined()
    await cache.set(other!, 3)
    expect(await cache.get(other!)).toBe(3)
  })

  test("its entries are not trusted on the new node, unless onFailover is 'trust'", async () => {
    const keys = keysOfShard(SHARD, 2)
    const [wary, trusting] = [
      caches.open(),
      caches.open({ redis: { onFailover: 'trust' }, cache: { keyPrefix: 'b:' } }),
    ]
    for (const cache of [wary, trusting]) await cache.set(keys[0]!, 1)
    await moveSlot(cluster, SLOT, ends())
    expect(await wary.get(keys[0]!)).toBeUndefined()
    expect(await trusting.get(keys[0]!)).toBe(1)
  })

  test('memory in front is dropped, also of a process that asks nothing of Redis', async () => {
    const [key] = keysOfShard(SHARD, 1)
    const [near, far] = [caches.open(L1), caches.open()]
    await far.set(key!, 1, { tags: ['t'] })
    await expect.poll(() => isNear(near, key!)).toBe(true)
    await moveSlot(cluster, SLOT, ends())
    await far.invalidateTags('t', { strict: true })
    expect(await near.get(key!)).toBeUndefined()
    await far.set(key!, 2, { tags: ['t'] })
    await expect.poll(() => isNear(near, key!)).toBe(true)
    await far.invalidateTags('t', { strict: true })
    expect(await near.get(key!)).toBeUndefined()
  })
})

describe('a master that dies', () => {
  start({ masters: 3, replicas: 1 })

  test('loads go on; when its replica has taken over there are hits again, and nothing stale', async () => {
    const running = traffic({ socketTimeout: '500ms' })
    const other = keysOfShard((SHARD + 1) % 16, 1)[0]!
    await sleep(200)
    await ends()[0].kill()
    const cache = caches.open({ redis: { cluster: cluster.nodes, socketTimeout: '500ms' } })
    expect(await cache.getOrSet(keysOfShard(SHARD, 1)[0]!, () => 1)).toBeTypeOf('number')
    expect(await cache.getOrSet(other, () => 1)).toBe(1)
    const { invalidations } = running
    await expect.poll(() => running.invalidations, { timeout: 20_000 }).toBeGreaterThan(invalidations + 3)
    await running.end()
    expect(running.stale).toEqual([])
    expect(running.refusals.every((error) => error instanceof RedisConnectionError)).toBe(true)
    await expect.poll(() => isDone(cache.set(keysOfShard(SHARD, 1)[0]!, 'new')), { timeout: 5000 }).toBe(true)
    expect(await cache.get(keysOfShard(SHARD, 1)[0]!)).toBe('new')
  }, 60_000)

  test('silent instead of dead, it is passed over too', async () => {
    const [key] = keysOfShard(SHARD, 1)
    const cache = caches.open({ redis: { socketTimeout: '300ms' } })
    await cache.set(key!, 'old')
    const [from] = ends()
    from.pause()
    expect(await cache.getOrSet(key!, () => 'loaded')).toBe('loaded')
    await expect
      .poll(
        () =>
          cache.set(key!, 'new').then(
            () => true,
            () => false,
          ),
        { timeout: 20_000 },
      )
      .toBe(true)
    expect(await cache.get(key!)).toBe('new')
    from.resume()
    expect(await cache.get(key!)).toBe('new')
  }, 60_000)

  test('one that is demoted by hand: nothing stale is read', async () => {
    const running = traffic()
    await sleep(200)
    const index = cluster.masters.indexOf(ends()[0])
    await cluster.replicas[index]![0]!.call('CLUSTER', 'FAILOVER')
    const { invalidations } = running
    await expect.poll(() => running.invalidations, { timeout: 20_000 }).toBeGreaterThan(invalidations + 30)
    await running.end()
    expect(running.stale).toEqual([])
  }, 60_000)
})

describe('the doctor', () => {
  start({ masters: 3 })

  test('examines every master', async () => {
    const findings = await doctor(caches.open())
    const rights = findings.filter(({ check }) => check === 'rights')
    expect(rights.map(({ level }) => level)).toEqual(['ok', 'ok', 'ok'])
    for (const { port } of cluster.masters) expect(rights.some(({ found }) => found.includes(`:${port}: `))).toBe(true)
    await cluster.masters[2]!.kill()
    expect(
      (await doctor(caches.open({ redis: { socketTimeout: '300ms' } }))).some(({ level }) => level === 'problem'),
    ).toBe(true)
  })
})
