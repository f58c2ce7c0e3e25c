/** An outage is told when it begins and when it ends: one event and one line each. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createCache,
  RedisConnectionError,
  type ApplicationConfig,
  type CacheEvents,
  type CacheManager,
  type RedisClient,
  type RedisConfig,
} from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Outages } from '../src/stores/redis/outages.ts'
import type { Undelivered } from '../src/stores/redis/undelivered.ts'
import { Connections, KINDS } from './helpers/connections.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

let server: RedisServer
let proxy: FaultProxy
let cache: CacheManager
let lines: string[]
let changes: CacheEvents['connection'][]

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  proxy = await startFaultProxy({ target: server })
  lines = []
  changes = []
})
afterEach(async () => {
  await cache.close()
  await proxy.close()
})

function start(
  redis: RedisConfig = { host: proxy.host, port: proxy.port, socketTimeout: '200ms' },
  rest?: ApplicationConfig['cache'],
): void {
  const logger = { info: () => {}, warn: (line: string) => void lines.push(line), error: () => {} }
  cache = createCache({ redis, logger, ...(rest && { cache: rest }) })
  cache.on('connection', (change) => changes.push(change))
}

function cutOff(): void {
  proxy.refuse()
  proxy.cut()
}

const states = (): string[] => changes.map(({ state }) => state)
const ofOutages = (count: number): string[] => Array.from({ length: count }, () => ['down', 'up']).flat()
const soon = { timeout: 5000 }

/** In good order, as `timeout` does. */
const endAll = (): Promise<unknown> => server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
/** Only a connection that has lasted a second can be one that nobody misses. */
const untilStable = (): Promise<void> => sleep(1100)

test('Redis that is lost, and back with the invalidations that waited for it', async () => {
  start()
  await cache.set('a', 1)
  expect(changes).toEqual([])
  cutOff()
  await expect.poll(states).toEqual(['down'])
  await expect(cache.delete(['a', 'b'])).rejects.toThrow(RedisConnectionError)
  await expect(cache.invalidateTags('red')).rejects.toThrow(RedisConnectionError)
  expect(await cache.getOrSet('a', () => 2)).toBe(2)

  await proxy.accept()
  await expect.poll(states, soon).toEqual(['down', 'up'])
  const redis = `Redis at ${proxy.host}:${proxy.port}`
  expect(changes).toEqual([
    { state: 'down', redis, error: expect.any(RedisConnectionError) },
    { state: 'up', redis, awayMs: expect.any(Number), delivered: 2, waiting: 0, anotherServer: false },
  ])
  expect(lines).toEqual([
    expect.stringMatching(/^tidemark: Redis at \S+ was lost: .+ \(ERR_CACHE_REDIS_CONNECTION\)$/),
    expect.stringMatching(
      /^tidemark: Redis at \S+ is back after \d+\.\d s; 2 queued invalidations were delivered; 3 calls had to do without it$/,
    ),
  ])
})

test('Redis that cannot be reached at first use', async () => {
  proxy.refuse()
  start()
  expect(await cache.getOrSet('a', () => 1)).toBe(1)
  expect(await cache.getOrSet('b', () => 1)).toBe(1)
  expect(states()).toEqual(['down'])
  expect(lines).toEqual([expect.stringMatching(/^tidemark: Redis at \S+ cannot be reached: /)])
  await proxy.accept()
  await expect.poll(states, soon).toEqual(['down', 'up'])
  expect(lines[1]).toMatch(/is back after \d+\.\d s; 2 calls had to do without it$/)
})

test('one queued invalidation is one', async () => {
  start()
  await cache.set('a', 1)
  cutOff()
  await expect.poll(states).toEqual(['down'])
  await cache.delete('a').catch(() => undefined)
  await proxy.accept()
  await expect.poll(states, soon).toEqual(['down', 'up'])
  expect(lines[1]).toMatch(/; 1 queued invalidation was delivered; 1 call had to do without it$/)
})

describe('another server than before', () => {
  test('after an outage, to every process', async () => {
    start()
    await cache.set('a', 1)
    const other = createCache({ redis: { url: server.url }, logger: { info() {}, warn() {}, error() {} } })
    const heard: CacheEvents['connection'][] = []
    other.on('connection', (change) => heard.push(change))
    await other.get('a')
    await server.restart()
    await expect
      .poll(() => [...states(), ...heard.map(({ state }) => state)], soon)
      .toEqual(['down', 'up', 'down', 'up'])
    await other.close()
    expect([changes[1], heard[1]]).toEqual(Array(2).fill(expect.objectContaining({ anotherServer: true })))
    expect(lines[1]).toMatch(
      /^tidemark: Redis at \S+ is back after \d+\.\d s; it is another server than before, so what was stored is invalid$/,
    )
  })

  test('without an outage, once', () => {
    const told: unknown[] = []
    const undelivered = { waiting: 0 } as Undelivered
    const outages = new Outages({ redis: 'Redis', undelivered, tell: (change) => void told.push(change) })
    for (const run of ['a', 'a', 'b', 'b']) outages.onGreeted(run)
    expect(told).toEqual([{ state: 'up', redis: 'Redis', awayMs: 0, delivered: 0, waiting: 0, anotherServer: true }])
  })
})

describe('an idle connection that the server ends (`timeout`)', () => {
  const connections = new Connections()
  let strict: RedisServer

  beforeAll(async () => {
    strict = await startRedis({ args: ['--timeout', '2'] })
  })
  afterEach(() => connections.closeAll())
  afterAll(() => strict.stop())

  /** How many connections there have been; the one that asks is never idle. */
  const made = async (): Promise<number> =>
    Number(/total_connections_received:(\d+)/.exec(String(await strict.call('INFO', 'stats')))![1])

  test.each(KINDS)('is made anew, and nothing is told: %s', { timeout: 20_000 }, async (kind) => {
    const client = kind === 'own' ? undefined : (connections.client(kind, strict) as unknown as RedisClient)
    start(client === undefined ? { url: strict.url } : { client })
    // What is said of the client's own settings.
    lines.length = 0
    await cache.set('a', 1)
    const before = await made()
    await expect.poll(made, { timeout: 15_000, interval: 200 }).toBeGreaterThan(before + 1)
    expect(await cache.get('a')).toBe(1)
    expect([changes, lines]).toEqual([[], []])
  })

  test('is none where messages are listened to, and memory in front serves again', { timeout: 20_000 }, async () => {
    start({ url: strict.url }, { l1: true })
    await cache.set('a', 1)
    const isNear = async (): Promise<unknown> => {
      await cache.get('a')
      await strict.resetStats()
      await cache.get('a')
      return (await strict.commandStats())['mget']
    }
    await expect.poll(isNear, soon).toBeUndefined()
    const listening = async (): Promise<unknown> =>
      /^id=(\d+) .* sub=1 /m.exec(String(await strict.call('CLIENT', 'LIST')))?.[1]
    const id = await listening()
    const before = await made()
    await expect.poll(made, { timeout: 15_000, interval: 200 }).toBeGreaterThan(before + 1)
    await expect.poll(isNear, soon).toBeUndefined()
    expect([await listening(), changes, lines]).toEqual([id, [], []])
    expect(id).toBeDefined()
  })

  test('and that cannot be made anew is an outage from its end on, without a command', async () => {
    start()
    await cache.set('a', 1)
    await untilStable()
    proxy.refuse()
    await endAll()
    await expect.poll(states, soon).toEqual(['down'])
    // Why it is away, not how that began.
    expect(lines).toEqual([expect.stringMatching(/cannot be reached: /)])
    await proxy.accept()
    await expect.poll(states, soon).toEqual(['down', 'up'])
    expect(lines).toHaveLength(2)
    cutOff()
    await expect.poll(states, soon).toEqual(['down', 'up', 'down'])
  })

  test('and that nobody answers again is one as soon as the attempt is given up', async () => {
    start({ host: proxy.host, port: proxy.port, socketConnectTimeout: '400ms' })
    await cache.set('a', 1)
    // Also of the end.
    proxy.delay(2000)
    await endAll()
    await expect.poll(states, soon).toEqual(['down'])
    expect(lines).toEqual([expect.stringMatching(/cannot be reached: no connection within 400 ms/)])
    proxy.delay(0)
    await expect.poll(states, soon).toEqual(['down', 'up'])
    expect(changes[1]).toMatchObject({ awayMs: expect.toSatisfy((ms: number) => ms >= 399) })
  })

  test('because it does not want us any more is an outage that says so', async () => {
    start()
    await cache.set('a', 1)
    await untilStable()
    await server.call('CONFIG', 'SET', 'requirepass', 'secret')
    try {
      await endAll()
      await expect.poll(states, soon).toEqual(['down'])
      expect(lines).toEqual([expect.stringMatching(/refused the connection: NOAUTH/)])
    } finally {
      await server.call('CONFIG', 'SET', 'requirepass', '')
    }
    await expect.poll(states, soon).toEqual(['down', 'up'])
  })

  test.each(KINDS)('soon after it was made is an outage, since callers wait for the next one: %s', async (kind) => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      start(kind === 'own' ? undefined : { client: connections.client(kind, proxy) as unknown as RedisClient })
      lines.length = 0
      await cache.set('a', 1)
      await endAll()
      await expect.poll(states, soon).toEqual(['down', 'up'])
      expect(lines[0]).toMatch(/was lost: /)
    } finally {
      vi.useRealTimers()
    }
  })

  /** While their answers are held back, so that two are in flight when the end comes. */
  const endWithTwoInFlight = async (): Promise<void> => {
    proxy.stall()
    const asked = Promise.allSettled(['a', 'b'].map((key) => cache.delete(key)))
    await endAll()
    proxy.resume()
    expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  }

  describe.each(['ioredis', 'iovalkey', 'node-redis'] as const)('with invalidations in flight, %s', (kind) => {
    test('is an outage each time, whatever the client sends again', { timeout: 20_000 }, async () => {
      start({ client: connections.client(kind, proxy) as unknown as RedisClient })
      await cache.set('a', 1)
      for (const outages of [1, 2, 3]) {
        await untilStable()
        await endWithTwoInFlight()
        await expect.poll(states, soon).toEqual(ofOutages(outages))
        expect(lines.at(-1)).toMatch(/; 2 queued invalidations were delivered/)
      }
    })

    test('is an outage after silences too', { timeout: 20_000 }, async () => {
      start({ client: connections.client(kind, proxy) as unknown as RedisClient, socketTimeout: '200ms' })
      await cache.set('a', 1)
      for (const outages of [1, 2]) {
        proxy.stall()
        await expect(cache.get('a')).rejects.toThrow(/did not answer/)
        proxy.resume()
        await expect.poll(states, soon).toEqual(ofOutages(outages))
      }
      await untilStable()
      await endWithTwoInFlight()
      await expect.poll(states, soon).toEqual(ofOutages(3))
      expect(lines.at(-1)).toMatch(/; 2 queued invalidations were delivered/)
    })
  })

  test('with a command unanswered is an outage', async () => {
    start()
    await cache.set('a', 1)
    proxy.stall()
    const asked = cache.get('a')
    proxy.cut()
    proxy.resume()
    await expect(asked).rejects.toThrow(/was lost before it answered MGET/)
    await expect.poll(states, soon).toEqual(['down', 'up'])
  })
})

test('Redis that is silent', async () => {
  start()
  await cache.set('a', 1)
  proxy.stall()
  await expect(cache.get('a')).rejects.toThrow(/did not answer/)
  expect(lines).toEqual([expect.stringMatching(/cannot be reached: it did not answer \w+ within 200 ms \(/)])
  proxy.resume()
  await expect.poll(states, soon).toEqual(['down', 'up'])
  // It was away from the first command on that it did not answer, not only from when that was known.
  expect(changes[1]).toMatchObject({ awayMs: expect.toSatisfy((ms: number) => ms >= 199) })
})

describe('a server that is there and refuses us', () => {
  test.each<[string, RedisConfig, RegExp]>([
    ['a wrong password', { username: 'nobody', password: 'wrong' }, /refused the connection: WRONGPASS/],
    ['a database that it has not', { db: 9999 }, /refused the connection: ERR .*out of range/],
  ])('%s', async (_, redis, message) => {
    start({ host: proxy.host, port: proxy.port, ...redis })
    await expect(cache.get('a')).rejects.toThrow(message)
    expect(lines).toEqual([expect.stringMatching(message)])
    expect(lines[0]).not.toContain('cannot be reached')
  })
})

test('it is published too, and nothing of it when the cache is closed', async () => {
  const published: unknown[] = []
  const listener = (event: unknown): void => void published.push(event)
  subscribe('tidemark:connection', listener)
  try {
    start()
    await cache.set('a', 1)
    cutOff()
    await expect.poll(() => published).toHaveLength(1)
    await cache.close()
    await proxy.accept()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(states()).toEqual(['down'])
  } finally {
    unsubscribe('tidemark:connection', listener)
  }
})
