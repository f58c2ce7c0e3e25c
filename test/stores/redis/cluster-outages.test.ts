/** One outage of a cluster is two lines and two events, and what was asked for once is counted once. */
import { createCache, RedisConnectionError, type CacheEvents, type CacheManager } from 'tidemark'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { keysOfShard, slotOfShard } from '../../helpers/cluster-caches.ts'
import { startRedisCluster, type RedisCluster } from '../../helpers/redis-cluster.ts'
import { freePort } from '../../helpers/redis.ts'

const SHARDS = Array.from({ length: 16 }, (_, shard) => shard)
const KEYS = SHARDS.flatMap((shard) => keysOfShard(shard, 1))
const LAST = SHARDS.at(-1)!
const TIMEOUT_MS = 300

let cluster: RedisCluster
let cache: CacheManager
let lines: string[]
let changes: CacheEvents['connection'][]

beforeAll(async () => {
  // A node that does not see the others serves its own slots all the same.
  cluster = await startRedisCluster({ args: ['--cluster-require-full-coverage', 'no'] })
})
afterAll(() => cluster.stop())
beforeEach(() => {
  lines = []
  changes = []
})
afterEach(() => cache.close())

function open(nodes: readonly string[] = cluster.nodes): void {
  const logger = { info: () => {}, warn: (line: string) => void lines.push(line), error: () => {} }
  cache = createCache({ redis: { cluster: [...nodes], socketTimeout: `${TIMEOUT_MS}ms` }, logger })
  cache.on('connection', (change) => changes.push(change))
}

/** For so long, and once at least. A fault waits for `TIMEOUT_MS` to be logged, in case it is no outage. */
async function askFor(ms: number): Promise<void> {
  const end = performance.now() + ms
  do {
    await Promise.all(KEYS.map((key) => cache.getOrSet(key, () => 1)))
    await new Promise((resolve) => setTimeout(resolve, 10))
  } while (performance.now() < end)
}

async function untilBack(): Promise<void> {
  await expect.poll(() => changes.map(({ state }) => state), { timeout: 15_000 }).toEqual(['down', 'up'])
}

test.each([
  ['one node', () => [cluster.masterOf(slotOfShard(LAST))]],
  ['all nodes', () => cluster.masters],
])(
  '%s that fall silent',
  async (_, silent) => {
    open()
    await askFor(0)
    for (const node of silent()) node.pause()
    try {
      await askFor(4 * TIMEOUT_MS)
      await expect(cache.invalidateTags('a')).rejects.toThrow(/queued/)
      await expect(cache.invalidateTags('b')).rejects.toThrow(/queued/)
      await expect(cache.delete(keysOfShard(LAST, 1))).rejects.toThrow(/queued/)
      expect(await cache.health()).toMatchObject({ ok: false, undelivered: 3 })
      await askFor(2 * TIMEOUT_MS)
    } finally {
      for (const node of silent()) node.resume()
    }
    await untilBack()
    await askFor(2 * TIMEOUT_MS)
    expect(changes[1]).toMatchObject({ state: 'up', delivered: 3, waiting: 0 })
    expect(lines).toEqual([
      expect.stringMatching(/^tidemark: Redis at \S+ cannot be reached: it did not answer/),
      expect.stringMatching(
        /^tidemark: the Redis Cluster is back after .*; 3 queued invalidations were delivered; \d+ calls had to do without it$/,
      ),
    ])
    expect(await cache.health()).toMatchObject({ ok: true, undelivered: 0 })
  },
  40_000,
)

test('idle connections that the nodes end are made anew, and nothing is told', async () => {
  open()
  await askFor(0)
  const ids = async (): Promise<readonly string[]> => {
    const lists = await Promise.all(cluster.masters.map((node) => node.call('CLIENT', 'LIST', 'TYPE', 'normal')))
    return lists.map((list) => /^id=(\d+) .*name=tidemark /m.exec(String(list))?.[1] ?? 'none')
  }
  await expect.poll(ids).not.toContain('none')
  // One that did not last a second is missed.
  await new Promise((resolve) => setTimeout(resolve, 1100))
  const before = await ids()
  for (const node of cluster.masters) await node.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  const kept = async (): Promise<readonly string[]> =>
    (await ids()).filter((id, node) => id === 'none' || id === before[node])
  await expect.poll(kept, { timeout: 5000 }).toEqual([])
  await askFor(2 * TIMEOUT_MS)
  expect([changes, lines]).toEqual([[], []])
})

test('a cluster of which no node is there at first, and that is there later, without another call', async () => {
  const [first] = cluster.masters
  open([`127.0.0.1:${await freePort()}`, `${first!.host}:${first!.port}`])
  first!.pause()
  try {
    expect(await cache.getOrSet(KEYS[0]!, () => 1)).toBe(1)
    await expect(cache.get(KEYS[1]!)).rejects.toThrow(RedisConnectionError)
  } finally {
    first!.resume()
  }
  await untilBack()
  expect(lines).toEqual([
    expect.stringMatching(/^tidemark: no node of the Redis Cluster says who serves what/),
    expect.stringMatching(
      /^tidemark: the Redis Cluster is back after \d+\.\d s(?:; \d+ calls? had to do without it)?$/,
    ),
  ])
}, 20_000)

test('an invalidation that no shard took is one that is lost when the cache is closed', async () => {
  open([`127.0.0.1:${await freePort()}`])
  await expect(cache.invalidateTags('a')).rejects.toThrow(/queued/)
  await cache.close()
  expect(lines.at(-1)).toMatch(/closed with 1 invalidation undelivered/)
})
