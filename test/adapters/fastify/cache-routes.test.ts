/** The management routes: who may call them, what they answer, and what they leave alone. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import swagger from '@fastify/swagger'
import type { FastifyInstance, FastifyRequest, LightMyRequestResponse } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CacheConfigurationError, type CacheManager } from 'tidemark'
import { addCacheRoutes, cached, type CacheRoutesOptions } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { inMemory, inTurn, listen, makeApp, makeCachedApp, type RequestHeaders } from './harness.ts'

const CALLS = [
  ['GET', '/cache/stats'],
  ['GET', '/cache/ping'],
  ['DELETE', '/cache/clear'],
  ['POST', '/cache/reset-stats'],
  ['GET', '/cache/reset-stats'],
] as const
const CHANGES = CALLS.slice(2)

type Method = (typeof CALLS)[number][0] | 'HEAD'

interface Started {
  readonly app: FastifyInstance
  readonly cache: CacheManager
  readonly call: (
    method: Method,
    url: string,
    headers?: RequestHeaders,
    remoteAddress?: string,
  ) => Promise<LightMyRequestResponse>
}

function start(options?: CacheRoutesOptions, cache: CacheManager = inMemory()): Started {
  const app = makeCachedApp(cache)
  addCacheRoutes(app, cache, options)
  const call: Started['call'] = (method, url, headers = {}, remoteAddress = '127.0.0.1') =>
    app.inject({ method, url, headers, remoteAddress })
  return { app, cache, call }
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test('they answer JSON that nobody stores', async () => {
    const { call } = start({}, caches.create())
    for (const [method, url] of CALLS) {
      const answer = await call(method, url)
      expect([url, answer.statusCode, answer.headers['cache-control']]).toEqual([url, 200, 'no-store'])
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
      if (url !== '/cache/stats') expect(answer.json()).toMatchObject({ ok: true })
    }
  })

  test('ping tells how the store stands, and health() the same', async () => {
    const cache = caches.create()
    await cache.ping()
    const { call } = start({}, cache)
    const redis = kind === 'Redis' ? { breaker: 'closed', undelivered: 0 } : {}
    const expected = { ok: true, latencyMs: expect.any(Number), ...redis }
    expect((await call('GET', '/cache/ping')).json()).toEqual(expected)
    expect(await cache.health()).toEqual(expected)
  })

  test('stats tell everything that is counted, per namespace too', async () => {
    const cache = caches.create()
    const { app, call } = start({}, cache)
    app.get('/', cached(cache, { ttl: 60, namespace: 'pages' }), () => 'hello')
    await inTurn(app, ['/', '/', '/'])
    const stats = (await call('GET', '/cache/stats')).json<ReturnType<CacheManager['getStatistics']>>()
    const { uptime: _uptime, bytesRead: _read, bytesWritten: _written, ...expected } = cache.getStatistics()
    expect(stats).toMatchObject(expected)
    expect(stats).toMatchObject({ hits: 2, misses: 1, namespaces: { pages: { hits: 2, misses: 1, loads: 1 } } })
    expect(Object.keys(stats).toSorted()).toEqual(Object.keys(cache.getStatistics()).toSorted())
    expect(Object.keys(stats.namespaces.pages!).toSorted()).toEqual(
      Object.keys(cache.getStatistics().namespaces.pages!).toSorted(),
    )
  })

  test('names that are made up to be run by a browser are JSON, whatever is answered', async () => {
    const cache = caches.create()
    const { call } = start({}, cache)
    const namespace = '"><script>alert(1)</script>'
    await cache.set('<img src=x onerror=alert(1)>', 1, { namespace })
    const query = `?namespace=${encodeURIComponent(namespace)}`
    const answers = [
      await call('GET', '/cache/stats'),
      await call('DELETE', `/cache/clear${query}`),
      await call('DELETE', `/cache/clear${query}&${query.slice(1)}`),
      await call('DELETE', `/cache/clear${query}`, { 'sec-fetch-site': 'cross-site' }),
    ]
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 400, 403])
    for (const { headers, body } of answers) {
      expect(headers['content-type']).toMatch(/^application\/json/)
      expect(() => JSON.parse(body) as unknown).not.toThrow()
    }
    expect(answers[0]!.json()).toHaveProperty(['namespaces', namespace])
  })

  test.each(['POST', 'GET'] as const)('%s reset-stats begins to count anew', async (method) => {
    const cache = caches.create()
    const { call } = start({}, cache)
    await cache.get('a')
    await call(method, '/cache/reset-stats')
    expect(cache.getStatistics().misses).toBe(0)
  })

  test('clear takes one namespace, or all', async () => {
    const cache = caches.create()
    const { call } = start({}, cache)
    const fill = async (): Promise<void> => {
      for (const namespace of ['', 'a', 'b', 'a:b', 'a%b', '*']) await cache.set('k', 1, { namespace })
    }
    const left = async (): Promise<string[]> => {
      const found: string[] = []
      for (const namespace of ['', 'a', 'b', 'a:b', 'a%b', '*'])
        if (await cache.exists('k', { namespace })) found.push(namespace)
      return found
    }
    await fill()
    await call('DELETE', '/cache/clear?namespace=a')
    expect(await left()).toEqual(['', 'b', 'a:b', 'a%b', '*'])
    await call('DELETE', '/cache/clear?namespace=*')
    expect(await left()).toEqual(['', 'b', 'a:b', 'a%b'])
    await call('DELETE', '/cache/clear?namespace=a%3Ab')
    expect(await left()).toEqual(['', 'b', 'a%b'])
    await call('DELETE', '/cache/clear?namespace=')
    expect(await left()).toEqual(['b', 'a%b'])
    expect((await call('DELETE', '/cache/clear?namespace=a&namespace=b')).statusCode).toBe(400)
    expect(await left()).toEqual(['b', 'a%b'])
    for (const query of ['namespase=b', 'namespace=b&x=1', '__proto__=b', 'constructor=']) {
      const answer = await call('DELETE', `/cache/clear?${query}`)
      expect([answer.statusCode, answer.json()]).toEqual([
        400,
        {
          statusCode: 400,
          error: 'Bad Request',
          message: expect.stringMatching(/^query: expected namespace or nothing/),
        },
      ])
    }
    expect(await left()).toEqual(['b', 'a%b'])
    await call('DELETE', '/cache/clear')
    expect(await left()).toEqual([])
  })

  test('clear on a view takes its namespace alone', async () => {
    const cache = caches.create()
    const { call } = start({}, cache.namespace('a'))
    await cache.set('k', 1, { namespace: 'a' })
    await cache.set('k', 1)
    await call('DELETE', '/cache/clear')
    expect([await cache.exists('k', { namespace: 'a' }), await cache.exists('k')]).toEqual([0, 1])
  })
})

test('they stand where prefix says', async () => {
  const { call } = start({ prefix: '/admin/cache' })
  expect((await call('GET', '/admin/cache/ping')).statusCode).toBe(200)
  expect((await call('GET', '/cache/ping')).statusCode).toBe(404)
})

describe('without authorize', () => {
  test.each(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])('%s is answered', async (address) => {
    const { call } = start()
    for (const [method, url] of CALLS) expect((await call(method, url, {}, address)).statusCode).toBe(200)
  })

  test.each(['10.0.0.1', '203.0.113.7', '2001:db8::1', '::ffff:10.0.0.1', '127.0.0.1.evil.test', '::'])(
    '%s is not, and learns nothing',
    async (address) => {
      const { cache, call } = start()
      await cache.set('a', 1)
      for (const [method, url] of CALLS) {
        const answer = await call(method, url, {}, address)
        expect([answer.statusCode, answer.headers['cache-control']]).toEqual([403, 'no-store'])
        expect(answer.json()).toEqual({
          statusCode: 403,
          error: 'Forbidden',
          message: 'not allowed to manage the cache',
        })
      }
      expect((await call('HEAD', '/cache/stats', {}, address)).statusCode).toBe(403)
      expect(await cache.exists('a')).toBe(1)
      expect(cache.getStatistics().sets).toBe(1)
    },
  )

  test.each([
    { 'x-forwarded-for': '203.0.113.7' },
    { 'x-forwarded-for': '127.0.0.1' },
    { forwarded: 'for=203.0.113.7' },
    { 'x-real-ip': '203.0.113.7' },
    { via: '1.1 proxy' },
    { 'x-forwarded-proto': 'https' },
    { 'x-forwarded-host': 'localhost' },
    { 'cf-connecting-ip': '203.0.113.7' },
  ])('what a proxy of this machine passes on is not: %j', async (headers) => {
    const { call } = start()
    expect((await call('GET', '/cache/stats', headers)).statusCode).toBe(403)
  })

  test.each(['app.test', 'localhost.evil.test', '127.0.0.1.evil.test', '10.0.0.1', '', 'localhost@evil.test', '[::2]'])(
    'nor is what was asked of another name, as a page on the web can make a browser do: %j',
    async (host) => {
      const { call } = start()
      expect((await call('GET', '/cache/stats', { host })).statusCode).toBe(host === '' ? 200 : 403)
    },
  )

  test.each(['localhost', 'LOCALHOST:3000', '127.0.0.1:3000', '[::1]:3000', '127.1.2.3'])(
    'but of this machine’s: %s',
    async (host) => {
      const { call } = start()
      expect((await call('GET', '/cache/stats', { host })).statusCode).toBe(200)
    },
  )

  test('trustProxy does not make a client local', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache, { trustProxy: true })
    addCacheRoutes(app, cache)
    const answer = await app.inject({
      url: '/cache/stats',
      remoteAddress: '10.0.0.1',
      headers: { 'x-forwarded-for': '127.0.0.1' },
    })
    expect(answer.statusCode).toBe(403)
  })

  test('over real connections: directly, and through a proxy on this machine', async () => {
    const { app } = start()
    const origin = await listen(app)
    expect((await fetch(`${origin}/cache/stats`)).status).toBe(200)
    const proxy = createServer((incoming, outgoing) => {
      const headers = { ...incoming.headers, 'x-forwarded-for': incoming.socket.remoteAddress }
      const passed = httpRequest(`${origin}${incoming.url}`, { headers }, (answer) => {
        outgoing.statusCode = answer.statusCode!
        answer.pipe(outgoing)
      })
      passed.end()
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void proxy.close())
    const response = await fetch(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/cache/stats`)
    expect(response.status).toBe(403)
    expect(await response.text()).not.toContain('hits')
  })

  test('over a unix socket there is no address, and no answer', async () => {
    const { app } = start()
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-socket-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const socketPath = join(folder, 'app.sock')
    await app.listen({ path: socketPath })
    const asked = httpRequest({ socketPath, path: '/cache/stats', headers: { host: 'localhost' } }).end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    answer.resume()
    expect(answer.statusCode).toBe(403)
  })
})

describe('authorize', () => {
  const outsider = '203.0.113.7'
  const foreign = { host: 'app.test' }

  test('decides about every call, at once or later; only true is a yes', async () => {
    for (const [authorize, status] of [
      [() => true, 200],
      [async () => true, 200],
      [() => false, 403],
      [async () => false, 403],
      [() => undefined, 403],
      [() => 'yes', 403],
      [() => 1, 403],
      [async () => ({}), 403],
    ] as const) {
      const { call } = start({ authorize: authorize as () => boolean })
      for (const [method, url] of CALLS) expect((await call(method, url, foreign, outsider)).statusCode).toBe(status)
      for (const [method, url] of CALLS) expect((await call(method, url)).statusCode).toBe(status)
    }
  })

  test('sees the request', async () => {
    const { call } = start({ authorize: ({ headers }: FastifyRequest) => headers['x-admin-key'] === 'secret' })
    expect((await call('GET', '/cache/stats', { 'x-admin-key': 'secret' }, outsider)).statusCode).toBe(200)
    expect((await call('GET', '/cache/stats', { 'x-admin-key': 'guess' }, outsider)).statusCode).toBe(403)
  })

  test('that throws or rejects lets nobody in', async () => {
    for (const authorize of [
      () => {
        throw new Error('no directory')
      },
      () => Promise.reject(new Error('no directory')),
    ]) {
      const { cache, call } = start({ authorize })
      await cache.set('a', 1)
      for (const [method, url] of CALLS) {
        const answer = await call(method, url)
        expect([answer.statusCode, answer.headers['cache-control']]).toEqual([500, 'no-store'])
      }
      expect(await cache.exists('a')).toBe(1)
    }
  })

  test('false lets everybody in', async () => {
    const { call } = start({ authorize: false })
    for (const [method, url] of CALLS) expect((await call(method, url, foreign, outsider)).statusCode).toBe(200)
  })

  test('is asked before anything of the request is looked at', async () => {
    const { call } = start({ authorize: () => false })
    expect((await call('DELETE', '/cache/clear?namespace=a&namespace=b')).statusCode).toBe(403)
  })
})

describe('in production', () => {
  const production = (): CacheManager => inMemory({ environment: 'production' })

  test('there must be an authorize, or an open false', () => {
    const cache = production()
    expect(() => addCacheRoutes(makeApp(), cache)).toThrow(CacheConfigurationError)
    expect(() => addCacheRoutes(makeApp(), cache, {})).toThrow(/authorize: expected a function .* got undefined/)
    expect(() => addCacheRoutes(makeApp(), cache, { authorize: undefined })).toThrow(CacheConfigurationError)
    expect(() => addCacheRoutes(makeApp(), cache, { authorize: false })).not.toThrow()
    expect(() => addCacheRoutes(makeApp(), cache, { authorize: () => true })).not.toThrow()
  })

  test.each([null, true, 'yes', 0, {}])('an authorize that is neither is refused, everywhere: %j', (authorize) => {
    for (const cache of [production(), inMemory()]) {
      expect(() => addCacheRoutes(makeApp(), cache, { authorize: authorize as never })).toThrow(CacheConfigurationError)
    }
  })
})

test('an option that is misspelt is refused', () => {
  const options = { authorise: () => false } as object
  expect(() => addCacheRoutes(makeApp(), inMemory(), options)).toThrow(/authorise: .*did you mean 'authorize'/)
})

describe('a browser that asks on behalf of another site', () => {
  test.each(['cross-site', 'same-site', 'garbage'])('changes nothing: Sec-Fetch-Site %s', async (site) => {
    for (const options of [{}, { authorize: false }, { authorize: () => true }] as const) {
      const { cache, call } = start(options)
      await cache.set('a', 1)
      for (const [method, url] of CHANGES)
        expect((await call(method, url, { 'sec-fetch-site': site })).statusCode).toBe(403)
      expect([await cache.exists('a'), cache.getStatistics().sets]).toEqual([1, 1])
    }
  })

  test.each(['same-origin', 'none'])('is one of our own: %s', async (site) => {
    const { call } = start()
    for (const [method, url] of CALLS)
      expect((await call(method, url, { 'sec-fetch-site': site })).statusCode).toBe(200)
  })

  test.each(['http://evil.example', 'http://localhost:81', 'http://localhost.evil.example', 'null', 'file://', 'x'])(
    'changes nothing by its Origin alone, where it knows no Fetch Metadata: %s',
    async (origin) => {
      const { cache, call } = start({ authorize: false })
      await cache.set('a', 1)
      for (const [method, url] of CHANGES)
        expect((await call(method, url, { origin, host: 'localhost:80' })).statusCode).toBe(403)
      expect([await cache.exists('a'), cache.getStatistics().sets]).toEqual([1, 1])
    },
  )

  test.each([
    ['http://localhost:3000', 'localhost:3000'],
    ['http://localhost', 'localhost:80'],
    ['https://localhost', 'LOCALHOST:443'],
  ])('is one of our own by its Origin: %s at %s', async (origin, host) => {
    const { call } = start()
    for (const [method, url] of CALLS) expect((await call(method, url, { origin, host })).statusCode).toBe(200)
  })

  test('a HEAD resets nothing', async () => {
    const { call } = start()
    expect((await call('HEAD', '/cache/reset-stats')).statusCode).toBe(404)
  })
})

interface Described {
  readonly summary: string
  readonly tags: readonly string[]
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly schema?: { properties: object } }>
  >
}

test('they are in OpenAPI where @fastify/swagger is registered', async () => {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  await app.register(swagger)
  addCacheRoutes(app, cache)
  await app.ready()
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Described>> }
  const found = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary, tags, responses }]) => {
      expect([typeof summary, tags]).toEqual(['string', ['cache']])
      expect(responses['403']?.description).toBe('Not allowed to manage the cache')
      return `${method.toUpperCase()} ${path}`
    }),
  )
  expect(found.toSorted()).toEqual(CALLS.map((call) => call.join(' ')).toSorted())
  expect(Object.keys(paths['/cache/clear']!.delete!.responses)).toEqual(['200', '400', '403', '503'])
  const { responses } = paths['/cache/ping']!.get!
  for (const status of ['200', '503']) {
    expect(Object.keys(responses[status]?.schema?.properties ?? {})).toEqual([
      'ok',
      'latencyMs',
      'breaker',
      'undelivered',
    ])
  }
  expect(paths['/cache/clear']!.delete).toMatchObject({
    parameters: [{ in: 'query', name: 'namespace', required: false }],
  })
})
