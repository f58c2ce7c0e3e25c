import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { CacheConfigurationError, RedisConnectionError } from '../src/exceptions.ts'
import { clientNetwork, parseRateLimit, RateLimiter, type RateLimiterOptions } from '../src/rate-limit.ts'
import type { ServerOptions } from '../src/stores/redis/client.ts'
import { RedisConnection } from '../src/stores/redis/connection.ts'
import { startFaultProxy, type FaultProxy } from '../src/testing/fault-proxy.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

describe('the grammar', () => {
  test.each([
    ['100/minute', 100, 60_000],
    ['100 per minute', 100, 60_000],
    ['100 / minute', 100, 60_000],
    ['5 per 10 seconds', 5, 10_000],
    ['5/10s', 5, 10_000],
    ['1 per day', 1, 86_400_000],
    ['10/second', 10, 1000],
    ['10/1 Second', 10, 1000],
    ['10/sec', 10, 1000],
    ['10/s', 10, 1000],
    ['3/minutes', 3, 60_000],
    ['3/min', 3, 60_000],
    ['3/m', 3, 60_000],
    ['500/hours', 500, 3_600_000],
    ['500/h', 500, 3_600_000],
    ['2 per 7 days', 2, 7 * 86_400_000],
    ['2/d', 2, 86_400_000],
    ['1000/month', 1000, 30 * 86_400_000],
    ['1000 per 2 years', 1000, 730 * 86_400_000],
    ['  7  PER\t2   HOURS ', 7, 7_200_000],
  ])('%j is %i hits in %i ms', (text, limit, windowMs) => {
    expect(parseRateLimit(text)).toEqual([{ limit, windowMs }])
  })

  test.each(['10/second; 500/hour', '10/second,500/hour', '10 per second | 500 per hour'])(
    '%j is two windows',
    (text) => {
      expect(parseRateLimit(text)).toEqual([
        { limit: 10, windowMs: 1000 },
        { limit: 500, windowMs: 3_600_000 },
      ])
    },
  )

  test.each([
    '',
    '100',
    'minute',
    '100/fortnight',
    '100//minute',
    '100/minute/2',
    '-1/minute',
    '1.5/minute',
    '0/minute',
    '5 per 0 seconds',
    '10/second;',
    '10/second 500/hour',
    '99999999999999999999/minute',
    '1/constructor',
  ])('%j is refused', (text) => {
    expect(() => parseRateLimit(text)).toThrow(CacheConfigurationError)
  })

  test('a refusal names what cannot be read, and says how a limit looks', () => {
    expect(() => parseRateLimit('hundred a minute')).toThrow(/'100\/minute'.*got 'hundred a minute'/)
    expect(() => parseRateLimit('10/second; 5/fortnight')).toThrow(/got '5\/fortnight' in '10\/second; 5\/fortnight'/)
    expect(() => parseRateLimit(100 as unknown as string)).toThrow(/got 100/)
  })
})

describe('who is counted', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3::8', '1:2:3:0::/64'],
    ['1::4:5:6:7:8', '1:0:0:4::/64'],
    ['64:ff9b::203.0.113.7', '64:ff9b:0:0::/64'],
    ['203.0.113.7:1001', '203.0.113.7'],
    ['[::ffff:203.0.113.7]:1001', '203.0.113.7'],
    ['[2001:db8:1:2::6]:443', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::6]', '2001:db8:1:2::/64'],
    ['local', 'local'],
    ['local:1', 'local:1'],
  ])('%s counts as %s', (ip, network) => {
    expect(clientNetwork(ip)).toBe(network)
  })
})

describe('in memory', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }))
  afterEach(() => void vi.useRealTimers())

  const limiterOf = (limit: string): RateLimiter => new RateLimiter(parseRateLimit(limit), { keyPrefix: 'test' })

  test('the limit is granted, and no more', async () => {
    const limiter = limiterOf('2/minute')
    expect(await limiter.consume('a')).toEqual({
      allowed: true,
      limit: 2,
      remaining: 1,
      resetMs: 60_000,
      retryAfterMs: 0,
    })
    expect(await limiter.consume('a')).toMatchObject({ allowed: true, remaining: 0 })
    vi.advanceTimersByTime(20_000)
    expect(await limiter.consume('a')).toEqual({
      allowed: false,
      limit: 2,
      remaining: 0,
      resetMs: 40_000,
      retryAfterMs: 40_000,
    })
  })

  test('a window that has ended begins anew', async () => {
    const limiter = limiterOf('1/minute')
    await limiter.consume('a')
    vi.advanceTimersByTime(59_999)
    expect(await limiter.consume('a')).toMatchObject({ allowed: false })
    vi.advanceTimersByTime(1)
    expect(await limiter.consume('a')).toMatchObject({ allowed: true })
  })

  test('keys do not share a count', async () => {
    const limiter = limiterOf('1/minute')
    await limiter.consume('a')
    expect(await limiter.consume('b')).toMatchObject({ allowed: true })
  })

  test('long keys are told apart', async () => {
    const limiter = limiterOf('1/minute')
    await limiter.consume(`${'x'.repeat(5000)}1`)
    expect(await limiter.consume(`${'x'.repeat(5000)}2`)).toMatchObject({ allowed: true })
    expect(await limiter.consume(`${'x'.repeat(5000)}1`)).toMatchObject({ allowed: false })
  })

  test('of several windows the one with the least left is reported', async () => {
    const limiter = limiterOf('2/second; 4/hour')
    expect(await limiter.consume('a')).toMatchObject({ limit: 2, remaining: 1 })
    expect(await limiter.consume('a')).toMatchObject({ limit: 2, remaining: 0 })
    vi.advanceTimersByTime(1000)
    expect(await limiter.consume('a')).toMatchObject({ limit: 4, remaining: 1 })
  })

  test('what a short window refuses uses up nothing of a longer one, whatever their order', async () => {
    const limiter = limiterOf('3/hour; 1/second')
    await limiter.consume('a')
    for (let i = 0; i < 10; i++) {
      expect(await limiter.consume('a')).toMatchObject({ allowed: false, limit: 1, retryAfterMs: 1000 })
    }
    vi.advanceTimersByTime(1000)
    expect(await limiter.consume('a')).toMatchObject({ allowed: true })
    vi.advanceTimersByTime(1000)
    expect(await limiter.consume('a')).toMatchObject({ allowed: true, limit: 3, remaining: 0 })
    vi.advanceTimersByTime(1000)
    expect(await limiter.consume('a')).toMatchObject({ allowed: false, limit: 3, retryAfterMs: 3_597_000 })
  })

  test('a window longer than a timer can be still holds', async () => {
    const limiter = limiterOf('1/year')
    await limiter.consume('a')
    vi.advanceTimersByTime(20 * 86_400_000)
    expect(await limiter.consume('a')).toMatchObject({ allowed: false })
  })

  test('beyond 20,000 keys the one seen longest ago is forgotten', async () => {
    const limiter = limiterOf('1/day')
    await limiter.consume('first')
    await limiter.consume('second')
    await limiter.consume('first')
    for (let i = 0; i < 19_999; i++) await limiter.consume(`other ${i}`)
    expect(await limiter.consume('first')).toMatchObject({ allowed: false })
    expect(await limiter.consume('second')).toMatchObject({ allowed: true })
  })
})

describe.each(['ioredis', 'node-redis'] as const)('in Redis, over %s', (kind) => {
  let redis: RedisServer
  let proxy: FaultProxy
  /** A clock that stands still: Redis is tried again when the test says so. */
  let now: number

  beforeAll(async () => void (redis = await startRedis()))
  afterAll(() => redis.stop())
  beforeEach(async () => {
    now = 1_000_000
    await redis.flush()
    proxy = await startFaultProxy({ target: redis })
  })
  afterEach(() => proxy.close())

  function connect(): RedisConnection {
    const behaviour = { commandTimeoutMs: 5000, healthCheckIntervalMs: 0, maxConnections: 1 }
    const connection = new RedisConnection({ ...behaviour, ...destination() })
    onTestFinished(() => connection.close())
    return connection
  }

  function destination(): { server: ServerOptions } | { client: unknown } {
    const { host, port } = proxy
    if (kind === 'ioredis') {
      return { server: { host, port, db: 0, ssl: false, keepAlive: true, connectTimeoutMs: 5000 } }
    }
    const client = createClient({ socket: { host, port, reconnectStrategy: 10 } })
    client.on('error', () => undefined)
    onTestFinished(() => client.destroy())
    void client.connect()
    return { client }
  }

  function limiterOf(limit: string, options: Partial<RateLimiterOptions>): RateLimiter {
    return new RateLimiter(parseRateLimit(limit), { keyPrefix: 'cache:rl:test', clock: { now: () => now }, ...options })
  }

  const retry = (): void => void (now += 1000)

  test('processes share a count', async () => {
    const [one, other] = [
      limiterOf('3/minute', { connection: connect() }),
      limiterOf('3/minute', { connection: connect() }),
    ]
    const results = [await one.consume('a'), await other.consume('a'), await one.consume('a'), await other.consume('a')]
    expect(results.map(({ remaining }) => remaining)).toEqual([2, 1, 0, 0])
    expect(results.map(({ allowed }) => allowed)).toEqual([true, true, true, false])
    expect(results[3]!.retryAfterMs).toBeGreaterThan(50_000)
  })

  test('keys stand under the prefix, one per window, and expire with it', async () => {
    const limiter = limiterOf('10/second; 500/hour', { connection: connect() })
    await limiter.consume('a')
    expect(await redis.call('KEYS', '*')).toEqual(
      expect.arrayContaining(['cache:rl:test:10/1:a', 'cache:rl:test:500/3600:a']),
    )
    expect(await redis.call('TTL', 'cache:rl:test:500/3600:a')).toBeGreaterThan(3500)
  })

  test('hits that come at once are all counted', async () => {
    const limiter = limiterOf('5/minute', { connection: connect() })
    await limiter.ready()
    const results = await Promise.all(Array.from({ length: 20 }, () => limiter.consume('a')))
    expect(results.filter(({ allowed }) => allowed)).toHaveLength(5)
  })

  test('the first hits wait for the connection, and are counted in Redis', async () => {
    // Longer than the deadline of a hit.
    proxy.delay(50)
    const onOutage = vi.fn<(error: Error) => void>()
    const limiter = limiterOf('5/minute', { connection: connect(), onOutage })
    const ready = limiter.ready().then(() => proxy.delay(0))
    await Promise.all([ready, limiter.consume('a'), limiter.consume('a')])
    expect(await redis.call('GET', 'cache:rl:test:5/60:a')).toBe('2')
    expect(onOutage).not.toHaveBeenCalled()
  })

  test('down: hits are counted in memory, an outage is told once, and a server that is back counts again', async () => {
    const onOutage = vi.fn<(error: Error) => void>()
    const connection = connect()
    const limiter = limiterOf('2/minute', { connection, onOutage })
    const other = limiterOf('9/minute', { connection, onOutage })
    await limiter.consume('a')
    proxy.refuse()
    proxy.cut()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(false))

    const results = [await limiter.consume('a'), await limiter.consume('a'), await limiter.consume('a')]
    expect(results.map(({ allowed }) => allowed)).toEqual([true, true, false])
    expect(await other.consume('a')).toMatchObject({ allowed: true, remaining: 8 })
    retry()
    expect(await other.consume('a')).toMatchObject({ remaining: 7 })
    expect(onOutage).toHaveBeenCalledTimes(1)
    expect(onOutage.mock.calls[0]![0].message).toContain('cannot be reached')

    await proxy.accept()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(true), { timeout: 5000 })
    expect(await other.consume('a'), 'not tried yet').toMatchObject({ remaining: 6 })
    retry()
    expect(await other.consume('a'), 'tried').toMatchObject({ remaining: 8 })
    expect(await limiter.consume('a'), 'what was counted before the outage still counts').toMatchObject({
      remaining: 0,
    })
  })

  test('silent: the first hit waits for the deadline of the limit, the others for nothing, and one in a while tries', async () => {
    const onOutage = vi.fn<(error: Error) => void>()
    const connection = connect()
    const run = vi.spyOn(connection, 'run')
    const limiter = limiterOf('2/minute', { connection, onOutage })
    await limiter.consume('a')
    redis.pause()
    onTestFinished(() => redis.resume())

    const results = [await limiter.consume('a'), await limiter.consume('a'), await limiter.consume('a')]
    expect(results.map(({ allowed }) => allowed)).toEqual([true, true, false])
    expect(run, 'one hit before, one at the beginning of the silence').toHaveBeenCalledTimes(2)
    retry()
    await Promise.all(Array.from({ length: 50 }, () => limiter.consume('b')))
    expect(run, 'one of fifty tries again').toHaveBeenCalledTimes(3)
    expect(onOutage).toHaveBeenCalledTimes(1)
    expect(onOutage.mock.calls[0]![0].message).toBe('Redis did not answer within 40 ms')

    redis.resume()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(true))
    retry()
    await limiter.consume('c')
    expect(await redis.call('GET', 'cache:rl:test:2/60:c')).toBe('1')
  })

  test('a second outage is told again', async () => {
    const onOutage = vi.fn<(error: Error) => void>()
    const connection = connect()
    const limiter = limiterOf('2/minute', { connection, onOutage })
    await limiter.consume('a')
    for (let outage = 1; outage <= 2; outage++) {
      proxy.stall()
      await limiter.consume('a')
      await limiter.consume('a')
      expect(onOutage).toHaveBeenCalledTimes(outage)
      proxy.resume()
      expect(await connection.ping()).toBe(true)
      retry()
      await limiter.consume('a')
    }
  })

  test('an error that Redis answers with is an outage too', async () => {
    const onOutage = vi.fn<(error: Error) => void>()
    const limiter = limiterOf('2/minute', { connection: connect(), onOutage })
    await redis.call('SET', 'cache:rl:test:2/60:a', 'not a number')
    expect(await limiter.consume('a')).toMatchObject({ allowed: true, remaining: 1 })
    expect(onOutage).toHaveBeenCalledTimes(1)
  })
})

test('an answer to what was asked before a failure does not end the outage', async () => {
  // No server answers in this order on demand.
  const run = vi.fn<RedisConnection['run']>().mockResolvedValue([1, 60_000])
  const onOutage = vi.fn<(error: Error) => void>()
  let now = 1_000_000
  const limiter = new RateLimiter(parseRateLimit('9/minute'), {
    connection: { run, ping: async () => true },
    keyPrefix: 'cache:rl:test',
    clock: { now: () => now },
    onOutage,
  })
  await limiter.ready()
  let answer = (_reply: number[]): void => undefined
  const early = new Promise<number[]>((resolve) => (answer = resolve))
  run.mockReturnValueOnce(early)
  const waiting = limiter.consume('a')
  now += 10
  run.mockRejectedValueOnce(new RedisConnectionError('gone'))
  await limiter.consume('a')
  answer([1, 60_000])
  await waiting
  await limiter.consume('a')
  expect(run).toHaveBeenCalledTimes(2)
  now += 1000
  await limiter.consume('a')
  await limiter.consume('a')
  expect(run).toHaveBeenCalledTimes(4)
  expect(onOutage).toHaveBeenCalledTimes(1)
})

test('a server that is silent from the beginning holds hits up for a second and not for a command’s deadline', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const proxy = await startFaultProxy({ target: redis })
  onTestFinished(() => proxy.close())
  proxy.stall()
  const { host, port } = proxy
  const connection = new RedisConnection({
    server: { host, port, db: 0, ssl: false, keepAlive: true, connectTimeoutMs: 60_000 },
    commandTimeoutMs: 60_000,
    healthCheckIntervalMs: 0,
    maxConnections: 1,
  })
  onTestFinished(() => connection.close())
  const limiter = new RateLimiter(parseRateLimit('1/minute'), { connection, keyPrefix: 'cache:rl:test' })
  expect(await limiter.consume('a')).toMatchObject({ allowed: true })
  expect(await limiter.consume('a')).toMatchObject({ allowed: false })
})
