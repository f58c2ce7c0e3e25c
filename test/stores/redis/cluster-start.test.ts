/** A cluster of which nobody says who serves what: that costs one deadline once, and is found out behind. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCache, RedisConnectionError, type CacheManager } from 'tidemark'
import { afterEach, expect, test } from 'vitest'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const TIMEOUT_MS = 500

/** Accepts, and says nothing. */
interface Mute {
  readonly server: Server
  readonly sockets: Socket[]
  readonly node: string
}

const mutes: Mute[] = []
let cache: CacheManager

async function startMute(): Promise<Mute> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const mute = { server, sockets, node: `127.0.0.1:${(server.address() as AddressInfo).port}` }
  mutes.push(mute)
  return mute
}

async function open(others: readonly string[] = []): Promise<void> {
  for (let i = 0; i < 6; i++) await startMute()
  const nodes = [...mutes.map(({ node }) => node), ...others]
  cache = createCache({ redis: { cluster: nodes, socketTimeout: `${TIMEOUT_MS}ms` }, logger: SILENT })
}

async function timed(call: () => Promise<unknown>): Promise<number> {
  const since = performance.now()
  await call()
  return performance.now() - since
}

afterEach(async () => {
  await cache.close()
  for (const { server, sockets } of mutes.splice(0)) {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
})

const calls = (): readonly (() => Promise<unknown>)[] => [
  () => expect(cache.get('a')).rejects.toThrow(RedisConnectionError),
  () => expect(cache.getOrSet('a', () => 1)).resolves.toBe(1),
  () => expect(cache.invalidateTags('t')).rejects.toThrow(/queued/),
  () => expect(cache.ping()).resolves.toBe(false),
]

test('six nodes that are silent cost one deadline, and nobody afterwards anything', async () => {
  await open()
  const first = Promise.all(calls().map(timed))
  await sleep(TIMEOUT_MS / 2)
  const meanwhile = Promise.all(calls().map(timed))
  for (const tookMs of await first) {
    expect(tookMs).toBeGreaterThan(TIMEOUT_MS - 10)
    expect(tookMs).toBeLessThan(2 * TIMEOUT_MS)
  }
  for (const tookMs of await meanwhile) expect(tookMs).toBeLessThan(TIMEOUT_MS)
  for (const tookMs of await Promise.all(calls().map(timed))) expect(tookMs).toBeLessThan(TIMEOUT_MS / 2)
})

test('they are all asked, one after the other, by nobody more than once', async () => {
  await open()
  await Promise.all(calls().map((call) => call()))
  const asked = (): number[] => mutes.map(({ sockets }) => sockets.length)
  const end = performance.now() + 10_000
  while (asked().at(-1) === 0 && performance.now() < end) {
    await Promise.all(calls().map((call) => call()))
    const counts = asked()
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    await sleep(20)
  }
  expect(asked().at(-1)).toBe(1)
})

test.each([
  [1, '1s'],
  [2, '2s'],
] as const)(
  'one that speaks, named behind %i that are silent, answers the first callers',
  async (silent, socketTimeout) => {
    const cluster = await startRedisCluster()
    try {
      for (let i = 0; i < silent; i++) await startMute()
      const nodes = [...mutes.map(({ node }) => node), ...cluster.nodes]
      cache = createCache({ redis: { cluster: nodes, socketTimeout }, logger: SILENT })
      await Promise.all([cache.set('a', 1), cache.invalidateTags('t')])
      expect(await cache.get('a')).toBe(1)
    } finally {
      await cluster.stop()
    }
  },
  30_000,
)

test('one behind them that speaks is found, and what waited is delivered', async () => {
  const cluster = await startRedisCluster()
  try {
    await open(cluster.nodes)
    await expect(cache.invalidateTags('t')).rejects.toThrow(RedisConnectionError)
    await expect.poll(async () => (await cache.health()).undelivered, { timeout: 10_000 }).toBe(0)
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
  } finally {
    await cluster.stop()
  }
}, 30_000)
