import { ManualClock } from 'tidemark/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Events } from '../src/events.ts'
import { CacheException, LoadTimeoutError, RedisConnectionError, RedisReplyError } from '../src/exceptions.ts'
import { Counters } from '../src/statistics.ts'
import { reporterOf, Telemetry } from '../src/telemetry.ts'

let clock: ManualClock
let logged: string[]
let telemetry: Telemetry

beforeEach(() => {
  clock = new ManualClock()
  logged = []
  const warn = (message: string): void => void logged.push(message)
  telemetry = new Telemetry({ counters: new Counters(true), events: new Events(), clock, warn })
})

test('what happens to an entry is counted and emitted', () => {
  const heard: unknown[] = []
  telemetry.events.on('stale', (event) => heard.push(event))
  telemetry.count('stale', 'a', 'n')
  telemetry.count('hit', 'a', 'n')
  expect(telemetry.statistics()).toMatchObject({ staleHits: 1, hits: 1 })
  expect(heard).toEqual([{ key: 'a', namespace: 'n' }])
})

test('uptime runs from the beginning, or from the last reset', () => {
  clock.advance('1m')
  expect(telemetry.statistics().uptime).toBe(60)
  telemetry.reset()
  clock.advance('250ms')
  expect(telemetry.statistics().uptime).toBe(0.25)
})

describe('a fault', () => {
  const fault = new RedisConnectionError('Redis at redis:6379 cannot be reached')

  test('is counted, emitted and logged, with what it was about', () => {
    const heard: unknown[] = []
    telemetry.events.on('error', (event) => heard.push(event))
    telemetry.report(fault, { key: 'a', namespace: 'n' })
    telemetry.report(fault)
    expect(telemetry.statistics().errors).toBe(2)
    expect(heard).toEqual([{ error: fault, key: 'a', namespace: 'n' }, { error: fault }])
    expect(logged).toEqual([
      'tidemark: Redis at redis:6379 cannot be reached (ERR_CACHE_REDIS_CONNECTION, key "a" in namespace "n")',
    ])
  })

  test('is logged once a minute, however many keys and namespaces it is about; another one at once', () => {
    for (let i = 0; i < 100; i++) telemetry.report(fault, { key: `k${i}`, namespace: `n${i}` })
    expect(logged).toHaveLength(1)
    telemetry.report(new CacheException('another'))
    expect(logged).toHaveLength(2)
    clock.advance('59s')
    telemetry.report(fault)
    expect(logged).toHaveLength(2)
    clock.advance('1s')
    telemetry.report(fault)
    expect(logged).toHaveLength(3)
  })

  test('is another one if Redis refuses for another reason', () => {
    for (const code of ['NOREPLICAS', 'NOPERM', 'NOPERM']) {
      telemetry.report(new RedisReplyError(`Redis at redis:6379 refused EVALSHA: ${code} no`, code))
    }
    expect(logged).toHaveLength(2)
    expect(logged[1]).toContain('NOPERM')
  })

  test('is known to be of the cache that told it, also inside of another error', async () => {
    const own = new RedisConnectionError('lost')
    await expect(telemetry.watch(Promise.reject(own), { key: 'a', namespace: '' })).rejects.toBe(own)
    expect(reporterOf(own)).toBe(telemetry)
    expect(reporterOf(new RedisConnectionError('has run', { cause: own }))).toBe(telemetry)
    expect(reporterOf(new RedisConnectionError('of nobody'))).toBeUndefined()
  })

  test('is logged on one line and in short, whatever a client made up as a key', () => {
    telemetry.report(fault, { key: `a\nFORGED ${'x'.repeat(5000)}`, namespace: '' })
    expect(logged[0]).not.toContain('\n')
    expect(logged[0]!.length).toBeLessThan(300)
  })

  test('on its way to the caller is reported, and is the same one', async () => {
    await expect(telemetry.watch(Promise.reject(fault), { key: 'a', namespace: '' })).rejects.toBe(fault)
    expect(telemetry.statistics().errors).toBe(1)
    expect(await telemetry.watch(5)).toBe(5)
  })

  test('tells each of those who shared it whose call it was', async () => {
    const shared = new RedisConnectionError('lost', { cause: new Error('why') })
    const tell = (key: string): Promise<unknown> => telemetry.watch(Promise.reject(shared), { key, namespace: 'n' })
    await expect(tell('a')).rejects.toMatchObject({ key: 'a', namespace: 'n' })
    const second = await tell('b').catch((error: unknown) => error)
    expect(second).toBeInstanceOf(RedisConnectionError)
    expect(second).toMatchObject({ message: 'lost', key: 'b', namespace: 'n', cause: shared.cause })
    expect(shared.key).toBe('a')
  })

  test('of a route is logged once for each route, whatever clients do', () => {
    const mistake = (cause: string): CacheException => new CacheException('key failed', { cause: new Error(cause) })
    for (const cause of ['a', 'b']) telemetry.report(mistake(cause), { route: 'GET /a' })
    telemetry.report(mistake('a'), { route: 'GET /b' })
    expect(logged).toHaveLength(2)
  })

  test('that is not one of the cache is not logged', () => {
    telemetry.report(new Error('a secret'))
    expect(logged).toEqual([])
    expect(telemetry.statistics().errors).toBe(1)
  })
})

describe('a load that failed, while its callers were served what is stale', () => {
  const about = { key: 'a', namespace: 'n' }

  test('is counted, emitted and logged once a minute for each namespace', () => {
    const heard: unknown[] = []
    telemetry.events.on('error', (event) => heard.push(event))
    const error = new Error('no route\nto host')
    for (const namespace of ['n', 'n', 'm']) telemetry.reportLoad(error, { key: 'a', namespace })
    expect(telemetry.statistics().errors).toBe(3)
    expect(heard[0]).toEqual({ error, ...about })
    expect(logged).toEqual([
      'tidemark: a load failed, what is stale is served: Error: no route\\nto host, key "a" in namespace "n"',
      'tidemark: a load failed, what is stale is served: Error: no route\\nto host, key "a" in namespace "m"',
    ])
    clock.advance('1m')
    telemetry.reportLoad(error, about)
    expect(logged).toHaveLength(3)
  })

  test('by a fault of the cache is told where that occurred, by a timeout here', () => {
    telemetry.reportLoad(new RedisConnectionError('lost'), about)
    expect(telemetry.statistics().errors).toBe(0)
    telemetry.reportLoad(new LoadTimeoutError('no result'), about)
    expect([telemetry.statistics().errors, logged.length]).toEqual([1, 1])
    expect(logged[0]).toContain('a load failed, what is stale is served: LoadTimeoutError: no result, key "a"')
  })
})

describe('a command that Redis did not answer', () => {
  const late = new RedisConnectionError('Redis did not answer all that was asked within 300 ms')
  const confirmMs = 300

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    const warn = (message: string): void => void logged.push(message)
    telemetry = new Telemetry({ counters: new Counters(true), events: new Events(), clock, warn, confirmMs })
  })
  afterEach(() => void vi.useRealTimers())

  test('another server is told in a whole sentence, with an outage before it or without', () => {
    const up = { state: 'up', redis: 'Redis at redis:6379', delivered: 0, waiting: 0, anotherServer: true } as const
    for (const awayMs of [0, 2000]) telemetry.connection({ ...up, awayMs })
    const another = 'is another server than before, so what was stored is invalid'
    expect(logged).toEqual([
      `tidemark: Redis at redis:6379 ${another}`,
      `tidemark: Redis at redis:6379 is back after 2.0 s; it ${another}`,
    ])
  })

  test('is not logged if it was the beginning of an outage, which is', () => {
    telemetry.report(late, { key: 'a', namespace: '' })
    vi.advanceTimersByTime(confirmMs / 2)
    telemetry.connection({ state: 'down', redis: 'Redis at redis:6379', error: late })
    telemetry.connection({
      state: 'up',
      redis: 'Redis at redis:6379',
      awayMs: 5,
      delivered: 0,
      waiting: 0,
      anotherServer: false,
    })
    vi.advanceTimersByTime(confirmMs)
    expect(logged).toEqual([
      expect.stringContaining('Redis did not answer all'),
      expect.stringContaining('Redis at redis:6379 is back'),
    ])
    expect(telemetry.statistics().errors).toBe(1)
  })

  test('is not logged while an outage is on, whichever node of a cluster it was asked of; other faults are', () => {
    telemetry.connection({ state: 'down', redis: 'the Redis Cluster', error: late })
    telemetry.report(new RedisConnectionError('Redis at redis:7001 did not answer GET within 300 ms'))
    telemetry.report(new RedisConnectionError('no node of the Redis Cluster says who serves what'))
    vi.advanceTimersByTime(2 * confirmMs)
    expect(logged).toHaveLength(1)
    expect(telemetry.statistics().errors).toBe(2)
    telemetry.report(new CacheException('another matter'))
    expect(logged).toEqual([logged[0], expect.stringContaining('another matter')])
  })

  test('is logged if Redis is only slow, once for all who were told', () => {
    for (const key of ['a', 'b', 'c']) telemetry.report(late, { key, namespace: '' })
    expect(logged).toEqual([])
    vi.advanceTimersByTime(confirmMs)
    expect(logged).toEqual([expect.stringContaining('key "a"')])
  })
})

describe('requests that failed with Redis', () => {
  const error = new RedisConnectionError('Redis at redis:6379 was lost')
  const down = { state: 'down', redis: 'Redis at redis:6379', error } as const
  const up = { state: 'up', redis: down.redis, awayMs: 5000, delivered: 2, waiting: 0, anotherServer: false } as const

  const refused = (code: string): RedisReplyError => new RedisReplyError(`Redis at other:6379 refused: ${code}`, code)

  test('are news once in ten minutes of an outage, each namespace and route, and again in the next one', () => {
    telemetry.connection(down)
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('first')
    expect(telemetry.newsOf('undelivered', 'users', error)).toBe('first')
    expect(telemetry.newsOf('failed', 'items', error)).toBe('first')
    clock.advance('599s')
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('none')
    clock.advance('1s')
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('first')
    telemetry.connection(up)
    clock.advance('1s')
    telemetry.connection(down)
    clock.advance('1m')
    telemetry.connection(up)
    telemetry.connection(down)
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('first')
  })

  test('are news once a minute without an outage', () => {
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('first')
    clock.advance('59s')
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('none')
    clock.advance('1s')
    expect(telemetry.newsOf('undelivered', 'items', error)).toBe('first')
  })

  test('are news at once if it is another fault', () => {
    expect(telemetry.newsOf('failed', 'POST /x', error)).toBe('first')
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOREPLICAS'))).toBe('first')
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOPERM'))).toBe('first')
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOPERM'))).toBe('none')
  })

  test('are news once a minute if a server refuses while another one is away', () => {
    telemetry.connection(down)
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOPERM'))).toBe('first')
    clock.advance('59s')
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOPERM'))).toBe('none')
    clock.advance('1s')
    expect(telemetry.newsOf('failed', 'POST /x', refused('NOPERM'))).toBe('first')
  })

  test('are ten at most of a kind, and one that says so: many namespaces fill no log, and hide no route or other fault', () => {
    telemetry.connection(down)
    const newsOfMany = (): string[] =>
      Array.from({ length: 1000 }, (_, index) => telemetry.newsOf('undelivered', `tenant-${index}`, error))
    const news = newsOfMany()
    expect(news.slice(0, 12)).toEqual([...Array.from({ length: 10 }, () => 'first'), 'more', 'none'])
    expect(news.filter((one) => one !== 'none')).toHaveLength(11)
    expect(telemetry.newsOf('failed', 'GET /items', error)).toBe('first')
    expect(telemetry.newsOf('undelivered', 'tenant-0', refused('NOPERM'))).toBe('first')
    clock.advance('10m')
    expect(newsOfMany()).toEqual(news)
  })

  test('are told no more often by a server that comes and goes', () => {
    let told = 0
    for (let flap = 0; flap < 10; flap++) {
      telemetry.connection(down)
      for (let i = 0; i < 14; i++) if (telemetry.newsOf('failed', `GET /${i}`, error) !== 'none') told++
      clock.advance('2s')
      telemetry.connection(up)
      clock.advance('2s')
    }
    expect(told).toBe(11)
    clock.advance('1m')
    telemetry.connection(down)
    expect(telemetry.newsOf('failed', 'GET /0', error)).toBe('first')
  })

  test('are counted in the line that ends the outage, each outage by itself', () => {
    telemetry.report(error)
    telemetry.connection(down)
    for (let i = 0; i < 3; i++) telemetry.report(error, { key: `k${i}`, namespace: 'n' })
    telemetry.connection(up)
    telemetry.connection(down)
    telemetry.report(error)
    telemetry.connection(up)
    telemetry.connection(down)
    telemetry.connection(up)
    expect(logged.filter((line) => line.includes('is back'))).toEqual([
      'tidemark: Redis at redis:6379 is back after 5.0 s; 2 queued invalidations were delivered; 3 calls had to do without it',
      'tidemark: Redis at redis:6379 is back after 5.0 s; 2 queued invalidations were delivered; 1 call had to do without it',
      'tidemark: Redis at redis:6379 is back after 5.0 s; 2 queued invalidations were delivered',
    ])
  })
})
