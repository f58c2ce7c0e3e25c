/** How an application gets its cache: what is refused at start-up, what is whose, and what is closed with what. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import { CacheConfigurationError, CacheManager, loadConfig } from 'tidemark'
import tidemark, {
  addCacheRoutes,
  cached,
  cacheBusting,
  rateLimit,
  setupCache,
  type CacheRouteOptions,
} from 'tidemark/fastify'
import { get, inMemory, inTurn, makeApp, makeCachedApp, makeGate, silent } from './harness.ts'

async function refusalOf(app: FastifyInstance): Promise<string> {
  const error = await app.ready().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(CacheConfigurationError)
  return (error as Error).message
}

describe('setupCache', () => {
  test('makes a cache of the environment, and closes it with the application', async () => {
    const app = makeApp()
    const cache = setupCache(app)
    expect(cache).toBeInstanceOf(CacheManager)
    expect(app.cache).toBe(cache)
    await cache.set('a', 1)
    let isClosed = false
    const { close } = cache.parts.store
    cache.parts.store.close = async () => {
      isClosed = true
      await close.call(cache.parts.store)
    }
    await app.close()
    expect(isClosed).toBe(true)
  })

  test('makes a cache of a configuration, and refuses one that makes no sense', () => {
    const app = makeApp()
    expect(setupCache(app, { redis: false, cache: { defaultTtl: '5m' } }).parts.defaultTtlMs).toBe(300_000)
    expect(() => setupCache(makeApp(), { cach: {} } as never)).toThrow(CacheConfigurationError)
    const refusal = /^invalid tidemark configuration:\n {2}config: expected .* for a URL, got a string$/
    expect(() => setupCache(makeApp(), 'redis://:secret@h' as never)).toThrow(refusal)
  })

  test('a manager of your own is not closed with the application', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    await cache.set('a', 1)
    await app.close()
    expect(await cache.get('a')).toBe(1)
  })

  test('logs where the application logs', async () => {
    const lines: string[] = []
    const app = makeApp({ logger: { level: 'warn', stream: { write: (line: string) => void lines.push(line) } } })
    const cache = setupCache(app, { redis: { host: '127.0.0.1', port: 1 } })
    await cache.getOrSet('a', () => 1)
    expect(lines.join('')).toMatch(/"msg":"tidemark: .*ERR_CACHE_REDIS_CONNECTION/)
  })

  test('logs there too with a configuration that was loaded before, unless that names a logger', async () => {
    const lines: string[] = []
    const own: string[] = []
    const logger = { level: 'warn', stream: { write: (line: string) => void lines.push(line) } }
    const place = { redis: { host: '127.0.0.1', port: 1 } }
    await setupCache(makeApp({ logger }), loadConfig({}, place)).getOrSet('a', () => 1)
    expect(lines.join('')).toMatch(/"msg":"tidemark: .*ERR_CACHE_REDIS_CONNECTION/)
    lines.length = 0
    const named = loadConfig({}, { ...place, logger: { ...silent, warn: (line) => void own.push(line) } })
    await setupCache(makeApp({ logger }), named).getOrSet('a', () => 1)
    expect([lines.length, own.length]).toEqual([0, 1])
  })

  test('twice in one application is refused', () => {
    const app = makeCachedApp(inMemory())
    const refused = /app\.cache: expected one setupCache .*app\.register\), got a second setupCache/
    expect(() => setupCache(app, inMemory())).toThrow(refused)
  })

  test('beside a decorator of somebody else’s is refused', () => {
    const app = makeApp()
    app.decorate('cache', 'mine' as never)
    expect(() => setupCache(app)).toThrow(
      'app.cache: expected to be free for setupCache: decorate the application with',
    )
  })

  test('a part of an application may have a cache of its own', async () => {
    const app = makeCachedApp(inMemory())
    const own = inMemory()
    await app.register(async (part) => {
      expect(setupCache(part, own)).toBe(part.cache)
    })
    expect(app.cache).not.toBe(own)
  })
})

describe('as a plugin', () => {
  test('twice in one application is refused', async () => {
    const app = makeApp()
    await app.register(tidemark, { redis: false })
    void app.register(tidemark, { redis: false })
    expect(await refusalOf(app)).toMatch(/got a second setupCache/)
  })

  test('it is the default export, and takes a configuration or a manager', async () => {
    const cache = inMemory()
    const app = makeApp()
    await app.register(tidemark, { manager: cache })
    expect(app.cache).toBe(cache)
    app.get('/', cached(app.cache, { ttl: 60 }), () => 'hello')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS hello', 'HIT hello'])

    const other = makeApp()
    await other.register(tidemark, { redis: false, cache: { defaultTtl: 7 }, prefix: '/ignored', logLevel: 'warn' })
    expect(other.cache.parts.defaultTtlMs).toBe(7000)
  })

  test('it is for the application that registers it, its parts included', async () => {
    const app = makeApp()
    await app.register(tidemark, { redis: false })
    await app.register(async (part) => void part.get('/', { config: { cache: { ttl: 60 } } }, () => 'hello'), {
      prefix: '/part',
    })
    expect(await inTurn(app, ['/part', '/part'])).toEqual(['MISS hello', 'HIT hello'])
  })

  test('a configuration that makes no sense fails the start, and not the process', async () => {
    const app = makeApp()
    void app.register(tidemark, { nonsense: 1 } as never)
    expect(await refusalOf(app)).toMatch(/nonsense/)
  })
})

describe('a route that asks to be cached is refused at start-up', () => {
  const expected = 'setupCache(app) with the same cache, before the route is registered'

  test('if it was registered before setupCache', async () => {
    const cache = inMemory()
    const app = makeApp()
    app.get('/early', cached(cache, { ttl: 60 }), () => 'hello')
    app.post('/early', cacheBusting(cache, { keys: ['a'] }), () => 'hello')
    app.get('/limited', rateLimit(cache, '1/minute'), () => 'hello')
    setupCache(app, cache)
    app.get('/late', cached(cache, { ttl: 60 }), () => 'hello')
    const message = await refusalOf(app)
    for (const route of ['GET /early', 'HEAD /early', 'POST /early', 'GET /limited']) {
      expect(message).toContain(`${route}: expected ${expected}, got a route from before it, or with another cache`)
    }
    expect(message).not.toContain('/late')
  })

  test('if it was registered before setupCache as plain config', async () => {
    const app = makeApp()
    app.get('/early', { config: { cache: { ttl: 60 } } }, () => 'hello')
    setupCache(app, inMemory())
    expect(await refusalOf(app)).toContain('GET /early')
  })

  test('if it has another cache', async () => {
    const app = makeCachedApp(inMemory())
    app.get('/', cached(inMemory(), { ttl: 60 }), () => 'hello')
    expect(await refusalOf(app)).toContain('GET /')
  })

  test('if there is no setupCache at all', async () => {
    const app = makeApp()
    app.get('/', cached(inMemory(), { ttl: 60 }), () => 'hello')
    expect(await refusalOf(app)).toContain('got no setupCache')
  })

  test('if the cache was set up in another part', async () => {
    const cache = inMemory()
    const app = makeApp()
    void app.register(async (part) => void setupCache(part, cache))
    void app.register(async (part) => void part.get('/', cached(cache, { ttl: 60 }), () => 'hello'))
    expect(await refusalOf(app)).toContain('GET /')
  })

  test('and listening fails, too', async () => {
    const app = makeApp()
    app.get('/', cached(inMemory(), { ttl: 60 }), () => 'hello')
    await expect(app.listen({ port: 0, host: '127.0.0.1' })).rejects.toThrow(CacheConfigurationError)
  })

  test('config.cache of somebody else’s plugin is left alone, where tidemark is not set up', async () => {
    const app = makeApp()
    app.get('/', { config: { cache: { expiresIn: 5 } as never } }, () => 'hello')
    expect((await get(app, '/')).body).toBe('hello')
  })
})

describe('options that make no sense are refused, with the name of the route and all that is wrong', () => {
  test.each([
    [{}, 'ttl: expected seconds as a number'],
    [{ ttl: 0 }, 'above zero, got 0'],
    [{ ttl: -1 }, 'got -1'],
    [{ ttl: '5 minutes' }, "got '5 minutes'"],
    [
      { ttl: 60, swr: 'soon' },
      "swr: expected seconds as a number, or a string such as '250ms', '30s', '5m', '1h', '7d', got 'soon'",
    ],
    [{ ttl: 60, grace: null }, 'grace: '],
    [{ ttl: 60, grace: 60, softTimeout: 'soon' }, 'softTimeout: expected seconds as a number'],
    [{ ttl: 60, softTimeout: 1 }, 'softTimeout: expected nothing without grace, got 1'],
    [{ ttl: 60, namespace: 7 }, 'namespace: expected a string, got 7'],
    [{ ttl: 60, key: '' }, "key: expected a non-empty string or a function of the request, got ''"],
    [{ ttl: 60, tags: 7 }, 'tags: expected a non-empty string, an array of them, or a function of the request, got 7'],
    [{ ttl: 60, tags: [''] }, 'tags: '],
    [{ ttl: 60, vary: 7 }, 'vary: expected a header name, or an array of them, got 7'],
    [{ ttl: 60, vary: 'accept, cookie' }, "got ['accept, cookie']"],
    [{ ttl: 60, vary: ['*'] }, 'vary: '],
    [{ ttl: 60, vary: ['accept language'] }, 'vary: '],
    [{ ttl: 60, query: [1] }, 'query: expected the name of a parameter, or an array of them, got [1]'],
    [{ ttl: 60, user: 'id' }, "user: expected a function of the request, got 'id'"],
    [{ ttl: 60, methods: ['POST'] }, "methods: expected an array of 'GET', 'HEAD' and 'QUERY', got ['POST']"],
    [
      { ttl: 60, statuses: [500] },
      'statuses: expected an array of statuses from 200 to 499, without 206, 304, 428, 429 and 431',
    ],
    [{ ttl: 60, statuses: [429] }, 'statuses: expected an array of statuses'],
    [{ ttl: 60, statuses: [206] }, 'statuses: '],
    [{ ttl: 60, maxBodyBytes: 0 }, 'maxBodyBytes: expected a whole number above zero, got 0'],
    [{ ttl: 60, policy: 'rfc' }, "policy: expected 'route' or 'rfc9111', got 'rfc'"],
    [{ ttl: 60, allowRefresh: true }, 'allowRefresh: expected a function of the request, got true'],
    [{ ttl: 60, strict: 1 }, 'strict: expected true or false, got 1'],
    [{ ttl: 60, auth: 'none' }, "auth: expected 'shared', got 'none'"],
    [{ ttl: 60, hosts: [] }, 'hosts: expected an array of hosts, at least one'],
    [{ ttl: 60, hosts: ['http://a.example'] }, 'hosts: expected an array of hosts, at least one'],
    [{ ttl: 60, tll: 60, vari: [] }, "tll: expected a known option (did you mean 'ttl'?)"],
    [{ ttl: 60, __proto__: null, constructor: 1 }, 'constructor: '],
    [null, 'options: expected an object'],
    [60, 'options: expected an object, got 60'],
  ])('%j', (options, message) => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const add = (): unknown => app.get('/items/:id', cached(cache, options as CacheRouteOptions), () => 'hello')
    expect(add).toThrow(CacheConfigurationError)
    expect(add).toThrow(message)
    expect(add).toThrow('cache options of GET /items/:id')
    const addPlain = (): unknown => app.get('/plain', { config: { cache: options as never } }, () => 'hello')
    expect(addPlain).toThrow('cache options of GET /plain')
  })

  test.each([
    [{}, 'keys: expected keys or tags to invalidate, got neither'],
    [{ keys: 7 }, 'keys: expected a non-empty string, an array of them, or a function of the request, got 7'],
    [{ keys: [''] }, 'keys: '],
    [{ tags: '' }, 'tags: '],
    [{ key: 'a' }, "key: expected a known option (did you mean 'keys'?)"],
    [{ keys: 'a', namespace: 7 }, 'namespace: '],
  ])('cacheBusting %j', (options, message) => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const add = (): unknown => app.post('/items', cacheBusting(cache, options as never), () => 'hello')
    expect(add).toThrow(message)
    expect(add).toThrow('cacheBusting options of POST /items')
  })

  test('a ttl beyond maxTtl is shortened to it', async () => {
    const cache = inMemory({ cache: { maxTtl: 30, defaultTtl: 30 } })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: '7d' }), () => 'hello')
    await get(app, '/')
    expect((await get(app, '/')).headers['cache-status']).toMatch(/ttl=(?:29|30)$/)
  })
})

describe('where routes stand', () => {
  test('under a prefix, in parts, with or without a trailing slash', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    let runs = 0
    await app.register(
      async (part) => {
        part.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
        await part.register(
          async (inner) => void inner.get('/:id', cached(cache, { ttl: 60 }), () => `run ${++runs}`),
          { prefix: '/inner' },
        )
      },
      { prefix: '/part' },
    )
    expect(
      await inTurn(app, ['/part', '/part', '/part/', '/part/', '/part/inner/1', '/part/inner/2', '/part/inner/1']),
    ).toEqual(['MISS run 1', 'HIT run 1', 'MISS run 2', 'HIT run 2', 'MISS run 3', 'MISS run 4', 'HIT run 3'])
  })

  test('a view of the cache is the same cache, with its namespace', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const items = cache.namespace('items')
    app.get('/', cached(items, { ttl: 60, key: 'list' }), () => 'hello')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS hello', 'HIT hello'])
    expect(await cache.delete('list')).toBe(0)
    expect(await items.delete('list')).toBe(1)
  })

  test('a part may have a cache of its own, which its plain config means', async () => {
    const [outer, inner] = [inMemory(), inMemory()]
    const app = makeCachedApp(outer)
    const config = { cache: { ttl: 60, key: 'name' } }
    app.get('/outer', { config }, () => 'outer')
    void app.register(async (part) => {
      setupCache(part, inner)
      part.get('/inner', { config }, () => 'inner')
      part.get('/shared', cached(outer, { ttl: 60, key: 'shared' }), () => 'shared')
    })
    expect(await inTurn(app, ['/outer', '/inner', '/shared', '/shared'])).toEqual([
      'MISS outer',
      'MISS inner',
      'MISS shared',
      'HIT shared',
    ])
    expect([await inner.exists('name'), await outer.exists('name'), await outer.exists('shared')]).toEqual([1, 1, 1])
    expect(await inner.exists('shared')).toBe(0)
  })

  test('two applications in one process do not know each other', async () => {
    const apps = ['one', 'two'].map((name) => {
      const app = makeApp()
      app.get('/', cached(setupCache(app, { redis: false }), { ttl: 60 }), () => name)
      return app
    })
    for (const outcome of ['MISS', 'HIT']) {
      expect(await Promise.all(apps.map((app) => inTurn(app, ['/'])))).toEqual([[`${outcome} one`], [`${outcome} two`]])
    }
    await apps[0]!.close()
    expect(await inTurn(apps[1]!, ['/'])).toEqual(['HIT two'])
  })

  test('so are routes that differ in constraints of any kind, and what cannot be told apart is refused', async () => {
    const cache = inMemory()
    const tenant = {
      name: 'tenant',
      storage: () => {
        const handlers = new Map<string, never>()
        return {
          get: (value: unknown) => handlers.get(JSON.stringify(value)) ?? null,
          set: (value: unknown, handler: unknown) => void handlers.set(JSON.stringify(value), handler as never),
        }
      },
      deriveConstraint: (request: { headers: Record<string, unknown> }) => ({ id: request.headers['x-tenant'] }),
      mustMatchWhenDerived: true,
      validate: () => true,
    }
    const app = makeCachedApp(cache, { constraints: { tenant: tenant as never } })
    for (const id of ['a', 'b']) {
      app.get('/x', { ...cached(cache, { ttl: 60 }), constraints: { tenant: { id } } }, () => `tenant ${id}`)
    }
    for (const id of ['a', 'b']) {
      expect((await app.inject({ url: '/x', headers: { 'x-tenant': id } })).body).toBe(`tenant ${id}`)
    }
    const other = makeCachedApp(inMemory(), { constraints: { tenant: tenant as never } })
    const odd = { ...cached(other.cache, { ttl: 60 }), constraints: { tenant: new Date(0) } }
    expect(() => other.get('/x', odd, () => 1)).toThrow('constraints.tenant: expected a string, a RegExp or plain data')
  })

  test('two routes of one URL that differ in a constraint', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    for (const version of ['1.0.0', '2.0.0']) {
      app.get('/', { ...cached(cache, { ttl: 60 }), constraints: { version } }, () => `version ${version}`)
    }
    for (const outcome of ['MISS', 'HIT']) {
      for (const version of ['1.0.0', '2.0.0']) {
        const answer = await get(app, '/', { 'accept-version': version })
        expect([answer.headers['x-cache'], answer.body]).toEqual([outcome, `version ${version}`])
      }
    }
  })

  test('options of three kinds spread together, and leave config to its owner', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const config = { mine: 1 } as object
    app.get(
      '/',
      { ...rateLimit(cache, '3/minute'), ...cached(cache, { ttl: 60 }), config },
      ({ routeOptions }) => routeOptions.config,
    )
    const answers = [await get(app, '/'), await get(app, '/'), await get(app, '/'), await get(app, '/')]
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 429])
    expect(answers.map(({ headers }) => headers['x-cache'])).toEqual(['MISS', 'HIT', 'HIT', undefined])
    expect(answers.map(({ headers }) => headers['x-ratelimit-remaining'])).toEqual(['2', '1', '0', '0'])
    expect(answers[1]!.json()).toMatchObject(config)
  })

  test('hits are free where the limit counts misses', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    app.get(
      '/:id',
      { ...rateLimit(cache, '2/minute', { count: 'misses' }), ...cached(cache, { ttl: 60 }) },
      () => 'hello',
    )
    const statuses: number[] = []
    for (const url of ['/1', '/1', '/1', '/2', '/3', '/1', '/2']) statuses.push((await get(app, url)).statusCode)
    expect(statuses).toEqual([200, 200, 200, 200, 429, 200, 200])
  })

  test('a request that is turned away behind the lookup keeps nobody waiting, and one of those who wait leads', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let runs = 0
    const key = ({ headers }: FastifyRequest): string => String(headers['x-who'])
    const limit = rateLimit(cache, '1/minute', { count: 'misses', key, name: 'one' })
    app.get('/spend', limit, () => 'spent')
    app.get('/', { ...limit, ...cached(cache, { ttl: 60 }) }, async () => {
      await gate.opened
      return `run ${++runs}`
    })
    await get(app, '/spend', { 'x-who': 'a' })
    const refused = get(app, '/', { 'x-who': 'a' })
    const others = ['b', 'c', 'd'].map((who) => get(app, '/', { 'x-who': who }))
    expect((await refused).statusCode).toBe(429)
    gate.open()
    expect((await Promise.all(others)).map(({ body }) => body)).toEqual(Array(3).fill('run 1'))
  })

  test('with trustProxy scheme and host are those of the client', async () => {
    const cache = inMemory()
    const handler = ({ protocol, host }: { protocol: string; host: string }): string => `${protocol}://${host}`
    for (const [trustProxy, outcomes] of [
      [true, ['MISS https://a.test', 'MISS https://b.test', 'HIT https://a.test']],
      [false, ['MISS http://localhost:80', 'HIT http://localhost:80', 'HIT http://localhost:80']],
    ] as const) {
      const app = makeCachedApp(cache.namespace(String(trustProxy)), { trustProxy })
      app.get('/', cached(app.cache, { ttl: 60 }), handler)
      const found: string[] = []
      for (const host of ['a.test', 'b.test', 'a.test']) {
        const { headers, body } = await get(app, '/', { 'x-forwarded-host': host, 'x-forwarded-proto': 'https' })
        found.push(`${String(headers['x-cache'])} ${body}`)
      }
      expect(found).toEqual(outcomes)
    }
  })
})

describe('in the place of a cache', () => {
  const none = undefined as unknown as CacheManager

  test.each<[string, (cache: CacheManager) => unknown]>([
    ['options of cached', (cache) => cached(cache, { ttl: 60 })],
    ['options of cacheBusting', (cache) => cacheBusting(cache, { keys: 'a' })],
    ['rate limit', (cache) => rateLimit(cache, '1/minute')],
    ['management routes', (cache) => addCacheRoutes(makeApp(), cache)],
  ])('%s: what is none is named', (subject, ask) => {
    const expected = 'cache: expected a CacheManager, as createCache() or setupCache() returns it, got'
    // As `app.cache` is before the plugin has run.
    expect(() => ask(none)).toThrow(`invalid ${subject}:\n  ${expected} undefined`)
    expect(() => ask({} as CacheManager)).toThrow(`${expected} an object`)
    expect(() => ask(inMemory().namespace('a'))).not.toThrow()
  })

  test('options that were not made by cached() and the like are refused with the route’s name', () => {
    const app = makeCachedApp(inMemory())
    const options = { cache: { ttl: 60 }, rateLimit: '1/minute' } as never
    expect(() => app.get('/items', options, () => 'hello')).toThrow(
      'invalid options of GET /items:\n  cache: expected to be made by cached(): { ...cached(cache, …), schema }, got an object' +
        "\n  rateLimit: expected to be made by rateLimit(): { ...rateLimit(cache, …), schema }, got '1/minute'",
    )
  })
})
