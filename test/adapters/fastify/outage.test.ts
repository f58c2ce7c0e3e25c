/** Redis down, silent, full of garbage: routes answer all the same, with what the handler made. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { addCacheRoutes, cached, cacheBusting, createCacheErrorHandler, setupCache } from 'tidemark/fastify'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { get, inTurn, makeApp, makeCachedApp, makeGate, silent, summary } from './harness.ts'

/** A deadline that a test can wait for. */
const DEADLINE_MS = 300

let redis: RedisServer
let proxy: FaultProxy

beforeAll(async () => void (redis = await startRedis()))
afterAll(() => redis.stop())
beforeEach(async () => void (proxy = await startFaultProxy({ target: redis })))
afterEach(async () => {
  await proxy.close()
  await redis.flush()
})

function makeCache(cache: ApplicationConfig['cache'] = {}, logger: ApplicationConfig['logger'] = silent): CacheManager {
  const { host, port } = proxy
  const made = createCache({ redis: { host, port, socketTimeout: `${DEADLINE_MS}ms` }, logger, cache })
  onTestFinished(() => made.close())
  return made
}

async function timed<T>(asked: Promise<T>): Promise<{ readonly answer: T; readonly ms: number }> {
  const startedAt = performance.now()
  const answer = await asked
  return { answer, ms: performance.now() - startedAt }
}

describe.each([
  ['down', () => (proxy.refuse(), proxy.cut())],
  ['silent', () => proxy.stall()],
])('Redis %s', (_, fail) => {
  test('cached routes answer within the deadline with what the handler made, and are cached again afterwards', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 1', 'HIT run 1'])
    fail()
    const first = await timed(get(app, '/'))
    expect(summary(first.answer)).toBe('MISS run 2')
    expect(first.ms).toBeLessThan(4 * DEADLINE_MS)
    const next = await timed(get(app, '/'))
    expect(summary(next.answer)).toBe('MISS run 3')
    expect(next.answer.headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=unreachable')
    proxy.resume()
    await proxy.accept()
    await expect.poll(async () => (await get(app, '/')).headers['x-cache'], { timeout: 10_000 }).toBe('HIT')
  })

  test('requests at once still share one run of the handler', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async () => {
      await gate.opened
      return `run ${++runs}`
    })
    await cache.ping()
    fail()
    await cache.ping()
    const asked = Array.from({ length: 50 }, () => get(app, '/'))
    await expect.poll(() => cache.getStatistics().coalesced).toBe(49)
    gate.open()
    const found = (await Promise.all(asked)).map(summary)
    expect(found.filter((one) => one === 'HIT run 1')).toHaveLength(49)
    expect(runs).toBe(1)
  })

  test('a response that may not be stored is not shared then either', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('set-cookie', `n=${++runs}`).send('hello'),
    )
    await cache.ping()
    fail()
    const asked = await Promise.all(Array.from({ length: 10 }, () => get(app, '/')))
    expect(new Set(asked.map(({ headers }) => headers['set-cookie'])).size).toBe(10)
  })

  test('a route that busts answers, because it has done its work, and the fault is reported', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    const faults: unknown[] = []
    cache.on('error', ({ error }) => void faults.push(error))
    app.post('/', cacheBusting(cache, { keys: ['a'], tags: ['b'] }), () => 'changed')
    await cache.ping()
    fail()
    const { answer, ms } = await timed(app.inject({ method: 'POST', url: '/' }))
    expect([answer.statusCode, answer.body]).toEqual([200, 'changed'])
    expect(ms).toBeLessThan(4 * DEADLINE_MS)
    expect(faults.length).toBeGreaterThan(0)
  })

  test('its log names the namespace, and says that the invalidation is queued', async () => {
    const lines: string[] = []
    const cache = makeCache()
    const app = makeCachedApp(cache, {
      logger: { level: 'error', stream: { write: (line: string) => void lines.push(line) } },
    })
    app.get('/items', cached(cache, { ttl: 60, namespace: 'things' }), () => 'hello')
    app.post('/', cacheBusting(cache, { keys: ['a'], namespace: 'items' }), () => 'changed')
    app.post('/items', () => 'changed')
    await cache.ping()
    fail()
    for (const url of ['/', '/items']) await app.inject({ method: 'POST', url })
    const said = lines.map((line) => JSON.parse(line) as { msg: string; namespace: string })
    expect(said.map(({ namespace }) => namespace)).toEqual(['items', 'things'])
    expect(said[0]!.msg).toBe(
      'what this request changed in namespace "items" may still be served: its invalidation was not delivered; it is queued, and will be when Redis is back; others like it are logged as debug',
    )
    expect(said[1]!.msg).toContain('in namespace "things"')
  })

  test('its log has one line of a namespace and of a route that fails, and the end says what else there was', async () => {
    const lines: { level: number; msg: string; namespace?: string }[] = []
    const app = makeApp({
      logger: { level: 'debug', stream: { write: (line: string) => void lines.push(JSON.parse(line) as never) } },
    })
    const { host, port } = proxy
    let aheadMs = 0
    const clock = { now: () => Date.now() + aheadMs }
    const cache = setupCache(app, { clock, redis: { host, port, socketTimeout: `${DEADLINE_MS}ms` } })
    createCacheErrorHandler(app)
    const told: unknown[] = []
    cache.on('error', (event) => void told.push(event))
    app.get('/items', cached(cache, { ttl: 60, namespace: 'items' }), () => 'hello')
    app.post('/items', cacheBusting(cache, { keys: ['a'], namespace: 'items' }), () => 'changed')
    app.get('/raw', async () => (await cache.get('a')) ?? 'none')
    await app.ready()
    await cache.ping()
    fail()
    for (let i = 0; i < 5; i++) {
      expect((await app.inject({ method: 'POST', url: '/items' })).statusCode).toBe(200)
      expect((await get(app, '/raw')).statusCode).toBe(503)
    }
    const errors = lines.filter(({ level }) => level === 50)
    expect(errors.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/^what this request changed in namespace "items".*; others like it are logged as debug$/),
      'the cache is out of reach; others like it are logged as debug',
    ])
    const debug = lines.filter(({ level, msg }) => level === 20 && /may still be served|out of reach/.test(msg))
    expect(debug).toHaveLength(8)
    const faults = told.length
    expect(faults).toBeGreaterThanOrEqual(10)
    proxy.resume()
    await proxy.accept()
    const ends = (): string[] => lines.flatMap(({ msg }) => (/is back after/.test(msg) ? [msg] : []))
    await expect.poll(ends, { timeout: 10_000 }).toHaveLength(1)
    expect(ends()[0]).toMatch(
      new RegExp(`queued invalidations? (was|were) delivered; ${faults} calls had to do without it$`),
    )
    // The next outage is told anew, unless it is but a moment later.
    aheadMs = 60_000
    proxy.refuse()
    proxy.cut()
    await app.inject({ method: 'POST', url: '/items' })
    expect(lines.filter(({ level }) => level === 50)).toHaveLength(3)
  })

  test('an application without a logger tells it where the cache logs to', async () => {
    const errors: string[] = []
    const cache = makeCache({}, { info: () => {}, warn: () => {}, error: (message) => void errors.push(message) })
    const app = makeCachedApp(cache)
    app.put('/items/:id', cacheBusting(cache, { keys: ['a'], namespace: 'items' }), () => 'changed')
    for (let i = 0; i < 13; i++) {
      app.put(`/other/${i}`, cacheBusting(cache, { keys: ['a'], namespace: `n${i}` }), () => 'changed')
    }
    await cache.ping()
    fail()
    for (const id of [1, 2]) await app.inject({ method: 'PUT', url: `/items/${id}` })
    expect(errors).toEqual([
      expect.stringMatching(
        /^tidemark: PUT \/items\/:id: what this request changed in namespace "items" may still be served/,
      ),
    ])
    for (let i = 0; i < 13; i++) await app.inject({ method: 'PUT', url: `/other/${i}` })
    expect(errors).toHaveLength(11)
    expect(errors.filter((line) => line.endsWith('; there are more namespaces than are told'))).toEqual([errors[10]])
  })

  test('with onError: throw both fail, and createCacheErrorHandler says 503 and no more', async () => {
    const cache = makeCache({ onError: 'throw' })
    const app = makeCachedApp(cache)
    createCacheErrorHandler(app)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    app.post('/', cacheBusting(cache, { keys: ['a'] }), () => 'changed')
    await cache.ping()
    fail()
    for (const method of ['GET', 'POST'] as const) {
      const answer = await app.inject({ method, url: '/' })
      expect([answer.statusCode, answer.json()]).toEqual([
        503,
        { statusCode: 503, error: 'Service Unavailable', message: 'the cache is unavailable' },
      ])
    }
    expect(runs).toBe(0)
  })

  test('the management routes say so', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    addCacheRoutes(app, cache)
    await cache.ping()
    fail()
    const ping = await get(app, '/cache/ping')
    expect([ping.statusCode, ping.json()]).toEqual([
      503,
      { ok: false, breaker: expect.stringMatching(/open$/), undelivered: 0 },
    ])
    const clear = await app.inject({ method: 'DELETE', url: '/cache/clear' })
    expect([clear.statusCode, clear.json()]).toEqual([503, { ok: false, queued: true }])
    expect((await get(app, '/cache/stats')).statusCode).toBe(200)
  })
})

describe('what fails by another cache than that of the application, which is away', () => {
  test('is told for each answer of its Redis, in the log of the route', async () => {
    const errors: { msg: string; err: { message: string } }[] = []
    const app = makeApp({
      logger: { level: 'error', stream: { write: (line: string) => void errors.push(JSON.parse(line) as never) } },
    })
    const away = makeCache()
    setupCache(app, away)
    createCacheErrorHandler(app)
    const server = await startRedis()
    onTestFinished(() => server.stop())
    const other = createCache({ redis: { url: server.url }, logger: silent })
    onTestFinished(() => other.close())
    const third = createCache({ redis: { host: '127.0.0.1', port: 1 }, logger: silent })
    onTestFinished(() => third.close())
    app.post('/items', async () => String(await other.delete('a')))
    app.post('/third', async () => String(await third.delete('a')))
    for (let i = 0; i < 13; i++) app.post(`/own/${i}`, async () => String(await away.delete('a')))
    await other.set('a', 1)
    await away.ping()
    proxy.refuse()
    proxy.cut()
    for (let i = 0; i < 13; i++) await app.inject({ method: 'POST', url: `/own/${i}` })
    const texts = errors.splice(0).map(({ msg }) => msg)
    const first = 'the cache is out of reach; others like it are logged as debug'
    const last = 'the cache is out of reach; there are more such routes than are told: the others are logged as debug'
    expect(texts).toEqual([...Array.from({ length: 10 }, () => first), last])
    const write = async (): Promise<void> => {
      for (let i = 0; i < 2; i++) expect((await app.inject({ method: 'POST', url: '/items' })).statusCode).toBe(503)
    }
    await server.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
    await write()
    await server.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
    await server.call('ACL', 'SETUSER', 'default', '-eval', '-evalsha')
    await write()
    expect(errors.map(({ err }) => err.message)).toEqual([
      expect.stringContaining('NOREPLICAS'),
      expect.stringMatching(/permission/),
    ])
    // Of a cache that is away as well, whatever the other one has told.
    errors.length = 0
    for (let i = 0; i < 2; i++) await app.inject({ method: 'POST', url: '/third' })
    expect(errors.map(({ msg }) => msg)).toEqual([first])
  })
})

describe('what somebody else wrote to Redis', () => {
  async function keysOf(prefix: string): Promise<string[]> {
    return ((await redis.call('KEYS', `*${prefix}*`)) as string[]).toSorted()
  }

  test('truncated, flipped, swapped with another key’s: a miss, and the right answer', async () => {
    const cache = makeCache()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/:id', cached(cache, { ttl: 60 }), ({ params }) => `${(params as { id: string }).id}, run ${++runs}`)
    const damages: readonly ((key: string, other: string) => Promise<unknown>)[] = [
      (key) => redis.call('SET', key, 'garbage'),
      (key) => redis.call('SET', key, ''),
      (key) => redis.call('SETRANGE', key, '60', 'XXXX'),
      (key) => redis.call('SETRANGE', key, '28', '\0\0\0\0'),
      (key, other) => redis.call('COPY', other, key, 'REPLACE'),
      (key) => redis.call('DEL', key),
    ]
    for (const damage of damages) {
      await inTurn(app, ['/a', '/b'])
      await expect.poll(() => keysOf('v:')).toHaveLength(2)
      const [one, other] = (await keysOf('v:')) as [string, string]
      await damage(one, other)
      const answer = await get(app, '/a')
      expect(answer.statusCode).toBe(200)
      expect(answer.body).toMatch(/^a, run \d+$/)
      expect((await get(app, '/b')).body).toMatch(/^b, run \d+$/)
      await cache.clear()
      await redis.flush()
    }
  })
})
