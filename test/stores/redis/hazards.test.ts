/** Clients that send later what was given up: that they do, that the operator is told, and that the remedy is one. */
import { Cluster, Redis } from 'ioredis'
import { Cluster as ValkeyCluster, Redis as Valkey } from 'iovalkey'
import { createClient, createCluster } from 'redis'
import { createCache, type RedisClient } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { RedisConnection } from '../../../src/stores/redis/connection.ts'
import { hazardsOf } from '../../../src/stores/redis/hazards.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const TIMEOUT_MS = 300
const LOGGER = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
const closers: (() => unknown)[] = []

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
  await proxy.close()
  await server.stop()
})

interface Remedy {
  readonly autoResendUnfulfilledCommands?: false
}

const options = { lazyConnect: true, retryStrategy: () => 20 }

describe.each<[string, (place: { host: string; port: number } & Remedy) => Redis | Valkey]>([
  ['ioredis', (place) => new Redis({ ...options, ...place })],
  ['iovalkey', (place) => new Valkey({ ...options, ...place })],
])('autoResendUnfulfilledCommands of %s', (_, open) => {
  function make(remedy: Remedy): Redis | Valkey {
    const client = open({ host: proxy.host, port: proxy.port, ...remedy })
    client.on('error', () => undefined)
    closers.push(() => client.disconnect())
    return client
  }

  /** How many of the sets that were given up are there once Redis is back. */
  async function comeToLife(client: RedisClient): Promise<number> {
    const cache = createCache({ redis: { client, socketTimeout: TIMEOUT_MS / 1000 }, logger: LOGGER })
    closers.push(() => cache.close())
    await cache.set('warm', 1)
    proxy.stall()
    const keys = ['a', 'b', 'c']
    const given = await Promise.allSettled(keys.map((key) => cache.set(key, 1)))
    expect(given.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    proxy.cut()
    proxy.resume()
    await vi.waitFor(async () => expect(await cache.ping()).toBe(true), { timeout: 10_000 })
    return cache.exists(keys)
  }

  test('sends again what was given up, and is told of', async () => {
    const client = make({})
    expect(hazardsOf(client, TIMEOUT_MS)).toEqual([expect.stringContaining('autoResendUnfulfilledCommands: false')])
    expect(await comeToLife(client)).toBe(3)
  })

  test('does not when it is false, and nothing is told', async () => {
    const client = make({ autoResendUnfulfilledCommands: false })
    expect(hazardsOf(client, TIMEOUT_MS)).toEqual([])
    expect(await comeToLife(client)).toBe(0)
  })
})

describe.each<[string, (place: { host: string; port: number; commandTimeout: number } & Remedy) => Redis | Valkey]>([
  ['ioredis', (place) => new Redis({ ...options, ...place })],
  ['iovalkey', (place) => new Valkey({ ...options, ...place })],
])('a commandTimeout of %s below ours', (_, open) => {
  test('is told of, and the silence it cuts short opens the breaker as ours does', async () => {
    const { host, port } = proxy
    const client = open({ host, port, autoResendUnfulfilledCommands: false, commandTimeout: TIMEOUT_MS / 3 })
    client.on('error', () => undefined)
    closers.push(() => client.disconnect())
    expect(hazardsOf(client, TIMEOUT_MS)).toEqual([expect.stringContaining('commandTimeout of 100 ms')])
    expect(hazardsOf(client, TIMEOUT_MS / 3)).toEqual([])
    const connection = new RedisConnection({
      client,
      commandTimeoutMs: TIMEOUT_MS,
      healthCheckIntervalMs: 0,
      maxConnections: 1,
    })
    closers.push(() => connection.close())
    expect(await connection.ping()).toBe(true)
    proxy.stall()
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/did not answer GET within its commandTimeout$/)
    expect(connection.breaker).toBe('open')
    // Nobody waits any more.
    const next = connection.send(['GET', 'a']).catch((error: unknown) => String(error))
    expect(await Promise.race([next, new Promise((resolve) => setImmediate(resolve, 'waits'))])).toContain(
      'cannot be reached: it did not answer GET',
    )
    proxy.resume()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(true), { timeout: 10_000 })
    expect(connection.breaker).toBe('closed')
  })
})

describe('the offline queue of node-redis', () => {
  function make(remedy: object): ReturnType<typeof createClient> {
    const socket = { host: server.host, port: server.port, reconnectStrategy: () => 20 }
    const client = createClient({ socket, ...remedy }) as ReturnType<typeof createClient>
    client.on('error', () => undefined)
    closers.push(() => client.destroy())
    return client
  }

  /** The same, with more than fits into the buffers of a silent connection: the rest waits in the client. */
  async function comeToLife(client: unknown): Promise<number> {
    const options = { commandTimeoutMs: TIMEOUT_MS, healthCheckIntervalMs: 0, maxConnections: 1 }
    const connection = new RedisConnection({ client, ...options })
    closers.push(() => connection.close())
    await connection.ping()
    server.pause()
    const large = Buffer.alloc(1_000_000)
    const writes = Array.from({ length: 40 }, (_, i) => connection.send(['SET', `k${i}`, large]))
    expect((await Promise.allSettled(writes)).every(({ status }) => status === 'rejected')).toBe(true)
    await server.kill()
    await server.restart()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(true), { timeout: 10_000 })
    return (await connection.send(['DBSIZE'])) as number
  }

  test('sends later what was given up, and is told of', async () => {
    const client = make({})
    expect(hazardsOf(client, TIMEOUT_MS)).toEqual([expect.stringContaining('disableOfflineQueue: true')])
    expect(await comeToLife(client)).toBeGreaterThan(0)
  })

  test('does not when it is off, and nothing is told', async () => {
    const client = make({ disableOfflineQueue: true })
    expect(hazardsOf(client, TIMEOUT_MS)).toEqual([])
    expect(await comeToLife(client)).toBe(0)
  })
})

describe("a cluster's client, over which nothing is sent", () => {
  const place = { host: '127.0.0.1', port: 1 }
  const later = { lazyConnect: true, redisOptions: { commandTimeout: 1, autoResendUnfulfilledCommands: true } }

  test.each<[string, () => unknown]>([
    ['ioredis', () => new Cluster([place], later)],
    ['iovalkey', () => new ValkeyCluster([place], later)],
    ['node-redis', () => createCluster({ rootNodes: [{ socket: place }], defaults: { disableOfflineQueue: false } })],
  ])('of %s is told nothing of', (_, make) => {
    expect(hazardsOf(make(), TIMEOUT_MS)).toEqual([])
  })
})

test('the operator is told once, however many caches are made', () => {
  const lines: string[] = []
  const logger = { ...LOGGER, warn: (line: string) => void lines.push(line) }
  for (let i = 0; i < 3; i++) {
    const client = createClient({ url: 'redis://:secret@127.0.0.1:1' })
    createCache({ redis: { client }, cache: { keyPrefix: `told-${i}:` }, logger })
  }
  expect(lines).toEqual([expect.stringMatching(/^tidemark: redis\.client: make it with disableOfflineQueue: true: /)])
})
