import fastifyRateLimit from '@fastify/rate-limit'
import Fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  cached,
  rateLimit,
  setupCache,
  type RateLimitOptions,
  type RouteRequest,
} from '../../../src/adapters/fastify/index.ts'
import type { CacheManager } from '../../../src/cache-manager.ts'
import { createCache } from '../../../src/create-cache.ts'
import type { CacheEvents } from '../../../src/events.ts'
import { CacheConfigurationError, RedisReplyError } from '../../../src/exceptions.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const NOW = 1_700_000_000_000

const clock = { now: (): number => NOW }
const silent = { info: (): void => undefined, warn: (): void => undefined, error: (): void => undefined }
const inMemory = (): CacheManager => createCache({ clock, logger: silent })

function makeApp(cache: CacheManager, options: FastifyServerOptions = {}): FastifyInstance {
  const app: FastifyInstance = Fastify(options)
  setupCache(app, cache)
  onTestFinished(() => app.close())
  return app
}

function limited(limit: string, options: RateLimitOptions = {}): FastifyInstance {
  const cache = inMemory()
  const app = makeApp(cache)
  app.get('/', rateLimit(cache, limit, options), () => 'ok')
  return app
}

const statuses = async (app: FastifyInstance, urls: readonly string[]): Promise<number[]> => {
  const found: number[] = []
  for (const url of urls) found.push((await app.inject(url)).statusCode)
  return found
}

const limitHeaders = ({ headers }: LightMyRequestResponse): unknown[] =>
  ['limit', 'remaining', 'reset'].map((name) => headers[`x-ratelimit-${name}`])

describe('answers', () => {
  test('each tells the limit, what is left of it, and when it begins anew, in seconds since the epoch', async () => {
    const app = limited('2/minute')
    const response = await app.inject('/')
    expect(response.body).toBe('ok')
    expect(limitHeaders(response)).toEqual(['2', '1', String(NOW / 1000 + 60)])
    expect(response.headers).not.toHaveProperty('retry-after')
  })

  test('a request too many is answered 429 with Retry-After, and nothing of who was counted or how', async () => {
    const app = limited('1/minute', { key: () => 'secret-key' })
    await app.inject('/')
    const response = await app.inject('/')
    expect(response.statusCode).toBe(429)
    expect(limitHeaders(response)).toEqual(['1', '0', String(NOW / 1000 + 60)])
    expect(response.headers['retry-after']).toBe('60')
    expect(response.json()).toEqual({
      statusCode: 429,
      code: 'ERR_CACHE_RATE_LIMIT',
      error: 'Too Many Requests',
      message: 'rate limit exceeded, retry in 60 s',
    })
  })

  test('an error handler of the application gets the refusal', async () => {
    const app = limited('1/minute')
    app.setErrorHandler((error: Error & { statusCode: number }, _request, reply) =>
      reply.code(error.statusCode).send({ oops: error.name }),
    )
    await app.inject('/')
    const response = await app.inject('/')
    expect(response.statusCode).toBe(429)
    expect(response.json()).toEqual({ oops: 'RateLimitError' })
    expect(response.headers['retry-after']).toBe('60')
  })

  test('a handler is not reached by a request too many', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    let handled = 0
    app.post('/', rateLimit(cache, '1/minute'), () => ({ handled: ++handled }))
    await app.inject({ method: 'POST', url: '/' })
    await app.inject({ method: 'POST', url: '/' })
    expect(handled).toBe(1)
  })
})

describe('what is counted together', () => {
  test('each client for itself', async () => {
    const app = limited('1/minute')
    const from = async (remoteAddress: string): Promise<number> =>
      (await app.inject({ url: '/', remoteAddress })).statusCode
    expect(await from('203.0.113.1')).toBe(200)
    expect(await from('203.0.113.2')).toBe(200)
    expect(await from('203.0.113.1')).toBe(429)
    expect(await from('::ffff:203.0.113.2')).toBe(429)
    expect(await from('2001:db8::1')).toBe(200)
    expect(await from('2001:db8::2'), 'the same /64 network').toBe(429)
  })

  test('a client behind a proxy that tells its port, whatever that is', async () => {
    const cache = inMemory()
    const app = makeApp(cache, { trustProxy: '127.0.0.1' })
    app.get('/', rateLimit(cache, '1/minute'), () => 'hello')
    const from = async (address: string): Promise<number> =>
      (await app.inject({ url: '/', headers: { 'x-forwarded-for': address } })).statusCode
    expect(await from('1.2.3.4:1001')).toBe(200)
    expect(await from('1.2.3.4:1002')).toBe(429)
    expect(await from('1.2.3.4')).toBe(429)
    expect(await from('1.2.3.5:1001')).toBe(200)
  })

  test('behind a proxy that is trusted, the client and not the proxy', async () => {
    const cache = inMemory()
    const app = makeApp(cache, { trustProxy: true })
    app.get('/', rateLimit(cache, '1/minute'), () => 'ok')
    const from = async (client: string): Promise<number> =>
      (await app.inject({ url: '/', headers: { 'x-forwarded-for': client } })).statusCode
    expect([await from('203.0.113.1'), await from('203.0.113.2'), await from('203.0.113.1')]).toEqual([200, 200, 429])
  })

  test('a header that a client makes up does not count without trustProxy', async () => {
    const app = limited('1/minute')
    const from = async (client: string): Promise<number> =>
      (await app.inject({ url: '/', headers: { 'x-forwarded-for': client } })).statusCode
    expect([await from('203.0.113.1'), await from('203.0.113.2')]).toEqual([200, 429])
  })

  test('each route for itself: by its pattern, and by its method', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    app.get('/items/:id', rateLimit(cache, '2/minute'), () => 'ok')
    app.put('/items/:id', rateLimit(cache, '2/minute'), () => 'ok')
    app.get('/users/:id', rateLimit(cache, '2/minute'), () => 'ok')
    expect(await statuses(app, ['/items/1', '/items/2', '/items/3', '/users/1'])).toEqual([200, 200, 429, 200])
    expect((await app.inject({ method: 'PUT', url: '/items/1' })).statusCode).toBe(200)
  })

  test('a HEAD request with the GET requests of its route, and once', async () => {
    const app = limited('2/minute')
    const head = (): Promise<LightMyRequestResponse> => app.inject({ method: 'HEAD', url: '/' })
    expect((await head()).headers['x-ratelimit-remaining']).toBe('1')
    expect((await app.inject('/')).headers['x-ratelimit-remaining']).toBe('0')
    expect((await head()).statusCode).toBe(429)
  })

  test('routes of one name and limit, in memory too', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    app.get('/a', rateLimit(cache, '2/minute', { name: 'search' }), () => 'ok')
    app.get('/b', rateLimit(cache, '2/minute', { name: 'search' }), () => 'ok')
    app.get('/c', rateLimit(cache, '5/minute', { name: 'search' }), () => 'ok')
    expect(await statuses(app, ['/a', '/b', '/a', '/b', '/c'])).toEqual([200, 200, 429, 429, 200])
  })

  test('what the key says', async () => {
    const app = limited('1/minute', { key: (request) => String(request.headers['x-api-key']) })
    const as = async (user: string): Promise<number> =>
      (await app.inject({ url: '/', headers: { 'x-api-key': user } })).statusCode
    expect([await as('ada'), await as('grace'), await as('ada')]).toEqual([200, 200, 429])
  })

  test('a key may read the parameters of its route', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    app.get('/:id', rateLimit(cache, '1/minute', { key: (request) => `item ${request.params['id']}` }), () => 'ok')
    expect(await statuses(app, ['/1', '/2', '/1'])).toEqual([200, 200, 429])
  })

  test.each([
    ['is undefined', () => undefined, /expected a non-empty string, got undefined; the address counts/],
    ['is empty', () => '', /got ''; the address counts/],
    ['cannot be made', (request: RouteRequest) => request.params['a']!.trim(), /key of GET \/ failed: TypeError: /],
  ])(
    'the address, where the key %s: no request fails for it, none is free, and it is told',
    async (_, key, message) => {
      const cache = inMemory()
      const told: unknown[] = []
      cache.on('error', (event) => told.push(event))
      const app = makeApp(cache)
      app.get('/', rateLimit(cache, '1/minute', { key }), () => 'ok')
      expect(await statuses(app, ['/', '/'])).toEqual([200, 429])
      expect((await app.inject({ url: '/', remoteAddress: '10.0.0.1' })).statusCode).toBe(200)
      const error = expect.objectContaining({ code: 'ERR_CACHE_KEY', message: expect.stringMatching(message) })
      expect(told[0]).toEqual({ error, route: 'GET /' })
    },
  )

  test('who would be skipped, had the function that says so not failed', async () => {
    const skip = (): boolean => {
      throw new Error('no')
    }
    expect(await statuses(limited('1/minute', { skip }), ['/', '/'])).toEqual([200, 429])
  })

  test('nothing that is skipped', async () => {
    const app = limited('1/minute', { skip: (request) => request.headers['x-health-check'] !== undefined })
    const check = (): Promise<LightMyRequestResponse> => app.inject({ url: '/', headers: { 'x-health-check': '1' } })
    await check()
    expect(await statuses(app, ['/', '/'])).toEqual([200, 429])
    const response = await check()
    expect(response.statusCode).toBe(200)
    expect(response.headers).not.toHaveProperty('x-ratelimit-limit')
  })
})

describe('what the cache answers', () => {
  function behindCache(options: RateLimitOptions): FastifyInstance {
    const cache = inMemory()
    const app = makeApp(cache)
    app.get('/:id', { ...rateLimit(cache, '2/minute', options), ...cached(cache, { ttl: 60 }) }, () => 'ok')
    return app
  }

  test('counts by default', async () => {
    expect(await statuses(behindCache({}), ['/1', '/1', '/1'])).toEqual([200, 200, 429])
  })

  test("is free with count: 'misses'", async () => {
    const urls = ['/1', '/1', '/1', '/2', '/3', '/1', '/2']
    expect(await statuses(behindCache({ count: 'misses' }), urls)).toEqual([200, 200, 200, 200, 429, 200, 200])
  })
})

describe('mistakes', () => {
  test.each([
    ['a limit', ['hundred'], /'100\/minute'.*got 'hundred'/],
    ['an option that does not exist', ['1/minute', { max: 3 }], /max: expected one of key, skip, count, name/],
    ['a key that is no function', ['1/minute', { key: 'ip' }], /key: expected a function of the request, got 'ip'/],
    ['a skip that is no function', ['1/minute', { skip: true }], /skip: expected a function of the request, got true/],
    ['a count', ['1/minute', { count: 'all' }], /count: expected 'hits' or 'misses', got 'all'/],
    [
      'all that is wrong at once',
      ['hundred', { max: 3, key: 7 }],
      /got 'hundred'\n.*max: [^]*key: expected a function/,
    ],
    ['an empty name', ['1/minute', { name: '' }], /name: expected a non-empty string, got ''/],
  ] as const)('%s is refused when the route is written', (_what, [limit, options], message) => {
    const mistake = (): unknown => rateLimit(inMemory(), limit, options as RateLimitOptions)
    expect(mistake).toThrow(CacheConfigurationError)
    expect(mistake).toThrow(message)
  })
})

describe('beside @fastify/rate-limit', () => {
  test('each reads its own option, and both hold', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    await app.register(fastifyRateLimit, { global: false })
    app.get('/ours', rateLimit(cache, '1/minute'), () => 'ok')
    app.get('/theirs', { config: { rateLimit: { max: 2, timeWindow: 60_000 } } }, () => 'ok')
    app.get('/ours-first', { ...rateLimit(cache, '1/minute'), config: { rateLimit: { max: 9 } } }, () => 'ok')
    app.get('/theirs-first', { ...rateLimit(cache, '9/minute'), config: { rateLimit: { max: 1 } } }, () => 'ok')
    expect(await statuses(app, ['/ours', '/ours', '/theirs', '/theirs', '/theirs'])).toEqual([200, 429, 200, 200, 429])
    expect(await statuses(app, ['/ours-first', '/ours-first'])).toEqual([200, 429])
    expect(await statuses(app, ['/theirs-first', '/theirs-first'])).toEqual([200, 429])
  })

  test('its global limit and ours', async () => {
    const cache = inMemory()
    const app = makeApp(cache)
    await app.register(fastifyRateLimit, { max: 3 })
    app.get('/', rateLimit(cache, '1/minute'), () => 'ok')
    app.get('/other', () => 'ok')
    // Ours was registered first: what it refuses does not reach theirs.
    expect(await statuses(app, ['/', '/', '/other', '/other', '/other'])).toEqual([200, 429, 200, 200, 429])
  })
})

describe('in Redis', () => {
  let redis: RedisServer
  const warnings: string[] = []

  beforeAll(async () => void (redis = await startRedis()))
  afterAll(() => redis.stop())
  beforeEach(async () => {
    warnings.length = 0
    await redis.flush()
  })

  function start(): FastifyInstance {
    const logger = { ...silent, warn: (message: string): void => void warnings.push(message) }
    const cache = createCache({ redis: { url: redis.url }, clock, logger })
    onTestFinished(() => cache.close())
    const app = makeApp(cache)
    app.get('/items/:id', rateLimit(cache, '3/minute'), () => 'ok')
    app.get('/more', rateLimit(cache.namespace('more'), '3/minute'), () => 'ok')
    app.delete('/', () => cache.clear())
    return app
  }

  test('servers share a count from the first request on', async () => {
    const [one, other] = [start(), start()]
    const found = [one, other, one, other].map(async (app) => (await app.inject('/items/1')).statusCode)
    expect((await Promise.all(found)).filter((status) => status === 429)).toHaveLength(1)
    expect(await redis.call('KEYS', 'cache:rl:*')).toEqual(['cache:rl:GET /items/:id:3/60:127.0.0.1'])
  })

  test('clearing the cache does not clear the count', async () => {
    const app = start()
    await app.inject('/items/1')
    expect((await app.inject({ method: 'DELETE', url: '/' })).statusCode).toBe(200)
    expect((await app.inject('/items/1')).headers['x-ratelimit-remaining']).toBe('1')
  })

  test('while it is silent requests are answered, the limit holds, and the log says so once', async () => {
    const app = start()
    await app.inject('/items/1')
    redis.pause()
    onTestFinished(() => redis.resume())
    const urls = ['/items/1', '/items/1', '/items/1', '/items/1', '/more']
    expect(await statuses(app, urls)).toEqual([200, 200, 200, 429, 200])
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(
      'rate limits are counted in memory until Redis serves them again: Redis did not answer',
    )
  })

  test('while it is silent no request feels it: most are answered in less than 50 ms', async () => {
    const app = start()
    await app.inject('/items/1')
    redis.pause()
    onTestFinished(() => redis.resume())
    const times: number[] = []
    for (let i = 0; i < 21; i++) {
      const startedAt = performance.now()
      await app.inject(`/items/${i}`)
      times.push(performance.now() - startedAt)
    }
    expect(times.toSorted((one, other) => one - other)[10]).toBeLessThan(50)
  })

  test('a server that is full is told as that, with the route, and the limit holds', async () => {
    const app = start()
    const told: CacheEvents['error'][] = []
    app.cache.on('error', (event) => told.push(event))
    await app.inject('/more')
    await redis.call('CONFIG', 'SET', 'maxmemory', '1')
    onTestFinished(async () => void (await redis.call('CONFIG', 'SET', 'maxmemory', '0')))
    expect(await statuses(app, ['/items/1', '/items/1', '/items/1', '/items/1', '/more'])).toEqual([
      200, 200, 200, 429, 200,
    ])
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ route: 'GET /items/:id', error: { replyCode: 'OOM' } })
    expect(told[0]!.error).toBeInstanceOf(RedisReplyError)
    expect(warnings).toEqual([
      expect.stringMatching(
        /rate limits are counted in memory .* refused EVAL(SHA)?: OOM [^()]* \(first at GET \/items\/:id\) \(ERR_CACHE_REDIS_REPLY\)$/,
      ),
    ])
  })

  test('with a server that is not there the application starts, and the limit holds', async () => {
    await redis.kill()
    onTestFinished(() => redis.restart())
    const app = start()
    expect(await statuses(app, ['/more', '/more', '/more', '/more'])).toEqual([200, 200, 200, 429])
    expect(warnings).toEqual([
      expect.stringMatching(/Redis at \S+ cannot be reached/),
      expect.stringMatching(/rate limits are counted in memory until Redis serves them again/),
    ])
  })
})
