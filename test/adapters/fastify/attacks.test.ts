/** What somebody may try who wants another's answer, everybody's cache, or the server's time. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cached, type CacheRouteOptions } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, inMemory, inTurn, listen, makeCachedApp, makeGate, summary } from './harness.ts'
import type { RedisConnection } from '../../../src/stores/redis/connection.ts'

/** Answers with what it was asked for, so that nobody can be handed anybody else's answer unnoticed. */
function echoing(app: FastifyInstance, url: string, options: Partial<CacheRouteOptions> = {}): void {
  app.get(url, cached(app.cache, { ttl: 60, ...options }), ({ raw, params, query, host }) => ({
    url: raw.url,
    params,
    query,
    host,
  }))
}

/** The answer to bytes as they are. */
async function sendRaw(origin: string, lines: readonly string[]): Promise<string> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`)
  return Buffer.concat(await socket.toArray()).toString()
}

function bodyOf(answer: string): { url: string; query: unknown; params: unknown; host: string } {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as never
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test('paths that look alike are not each other', async () => {
    const app = makeCachedApp(caches.create())
    echoing(app, '/*')
    const origin = await listen(app)
    const paths = [
      '/x',
      '/x-d',
      '/x/',
      '//x',
      '/x;.css',
      '/x%2F..%2Fy',
      '/x/%2e%2e/y',
      '/x/../y',
      '/%78',
      '/X',
      '/x%00',
      '/x%0d%0a',
      '/x:',
      '/x|y',
      '/{x}',
      '/x*',
      '/caf%C3%A9',
      '/cafe%CC%81',
      '/account/x.css',
      '/account%2Fx.css',
      '/account',
      '/v:/x',
      '/x%3Fa=1',
      '/x.',
      '/x%20',
      '/x+',
    ]
    for (const outcome of ['MISS', 'HIT']) {
      for (const path of paths) {
        const answer = await sendRaw(origin, [`GET ${path} HTTP/1.1`, 'Host: app.test'])
        expect(answer).toContain(`x-cache: ${outcome}\r\n`)
        expect(bodyOf(answer).url).toBe(path)
      }
    }
  })

  test('queries that look alike are not each other, and those that are in another order are', async () => {
    const app = makeCachedApp(caches.create())
    echoing(app, '/')
    const distinct = [
      'a=1',
      'a=1&a=2',
      'a=2&a=1',
      'a=1&%61=2',
      '%61=2&a=1',
      'a=%26b',
      'a=&b',
      'a[]=1&a=2',
      'a=2&a[]=1',
      'a',
      'a=',
      '__proto__=1',
      'constructor=1',
      'a=1&__proto__=1',
      'A=1&a=2',
      'a=2&A=1',
      'a=%00',
      'a=1%20',
      'a=1+',
      '%zz=1&a=2',
      'a=2&%zz=1',
      '?a=1',
      'a=1&',
    ]
    for (const outcome of ['MISS', 'HIT']) {
      for (const query of distinct) {
        const answer = await get(app, `/?${query}`)
        expect([query, answer.headers['x-cache']]).toEqual([query, outcome])
      }
    }
    expect((await get(app, '/?__proto__=1&a=1')).headers['x-cache']).toBe('HIT')
  })

  test('what a router takes for a query is one: a fragment in the request line makes no entry of its own', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    echoing(app, '/', { query: [] })
    const origin = await listen(app)
    expect(await sendRaw(origin, ['GET / HTTP/1.1', 'Host: app.test'])).toContain('x-cache: MISS')
    for (const target of ['/#a', '/?cb=1#b', '/?#', '/#?']) {
      expect(await sendRaw(origin, [`GET ${target} HTTP/1.1`, 'Host: app.test'])).toContain('x-cache: HIT')
    }
  })

  test('a request for the full URL is another than one for its path', async () => {
    const app = makeCachedApp(caches.create())
    echoing(app, '/')
    const origin = await listen(app)
    await sendRaw(origin, ['GET / HTTP/1.1', 'Host: app.test'])
    const answer = await sendRaw(origin, ['GET http://evil.test/ HTTP/1.1', 'Host: app.test'])
    if (answer.startsWith('HTTP/1.1 200')) expect(answer).toContain('x-cache: MISS')
    expect(await sendRaw(origin, ['GET / HTTP/1.1', 'Host: app.test'])).toContain('"url":"/"')
  })

  test('hosts do not poison each other', async () => {
    const app = makeCachedApp(caches.create())
    echoing(app, '/')
    for (const outcome of ['MISS', 'HIT']) {
      for (const host of [
        'app.test',
        'evil.test',
        'app.test:80',
        'app.test.',
        'APP.test',
        'app.test evil.test',
        '1:app.test',
      ]) {
        const answer = await get(app, '/', { host })
        expect([answer.headers['x-cache'], answer.json<{ host: string }>().host]).toEqual([outcome, host])
      }
    }
    const forwarded = await get(app, '/', {
      host: 'app.test',
      'x-forwarded-host': 'evil.test',
      'x-forwarded-proto': 'https',
    })
    expect(forwarded.headers['x-cache']).toBe('HIT')
    expect(forwarded.json()).toMatchObject({ host: 'app.test' })
  })

  test('parameters that nobody declared make no entries', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const properties = { page: { type: 'integer', default: 1 } }
    const schema = { querystring: { type: 'object', properties, additionalProperties: false } }
    app.get('/schema', { ...cached(cache, { ttl: 60 }), schema }, () => 'hello')
    app.get('/list', cached(cache, { ttl: 60, query: ['page'] }), () => 'hello')
    await inTurn(app, ['/schema', '/list'])
    const urls = Array.from({ length: 50 }, (_, i) => [
      `/schema?cb=${i}`,
      `/schema?page=1&cb=${i}`,
      `/list?cb=${i}`,
      `/list?CB&cb[]=${i}`,
    ]).flat()
    expect(new Set(await inTurn(app, urls))).toEqual(new Set(['HIT hello']))
    expect(await inTurn(app, ['/schema?page=2', '/schema?page=02', '/list?page=2'])).toEqual([
      'MISS hello',
      'HIT hello',
      'MISS hello',
    ])
    expect((await get(app, '/schema?page=x')).statusCode).toBe(400)
  })

  test.each([
    ['by reference', { $ref: 'query#' }],
    ['in parts', { type: 'object', allOf: [{ properties: { q: { type: 'string' } } }] }],
    ['one of several', { type: 'object', properties: {}, anyOf: [{ properties: { q: { type: 'string' } } }, {}] }],
    ['where others may be, too', { type: 'object', properties: { a: { type: 'string' } } }],
    ['open', { type: 'object', properties: {}, additionalProperties: true }],
    ['by pattern', { type: 'object', properties: {}, patternProperties: { '^q': { type: 'string' } } }],
    ['not as properties', { type: 'object' }],
  ])('parameters that are declared %s all tell responses apart', async (_, querystring) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.addSchema({ $id: 'query', type: 'object', properties: { q: { type: 'string' } } })
    app.get('/', { ...cached(cache, { ttl: 60 }), schema: { querystring } }, ({ query }) => JSON.stringify(query))
    expect(await inTurn(app, ['/?q=1', '/?q=2', '/?q=1'])).toEqual([
      'MISS {"q":"1"}',
      'MISS {"q":"2"}',
      'HIT {"q":"1"}',
    ])
  })

  test('parameters that a validator of another kind checks all tell responses apart', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.setValidatorCompiler(() => (value) => ({ value: { q: BigInt((value as { q: string }).q) } }))
    const schema = { querystring: { parse: () => undefined } }
    app.get('/', { ...cached(cache, { ttl: 60 }), schema }, ({ query }) => String((query as { q: bigint }).q))
    app.get('/named', { ...cached(cache, { ttl: 60, query: ['q'] }), schema }, ({ query }) =>
      String((query as { q: bigint }).q),
    )
    for (const url of ['/', '/named']) {
      expect(await inTurn(app, [`${url}?q=1`, `${url}?q=2`, `${url}?q=1`])).toEqual(['MISS 1', 'MISS 2', 'HIT 1'])
    }
  })

  test('a key of the route cannot be made to reach another: delimiters, NUL, prototypes', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/:id', cached(cache, { ttl: 60, key: ({ params }) => `item_${params.id}` }), ({ params }) =>
      JSON.stringify(params),
    )
    const ids = [
      'a',
      'a%3Ab',
      'a%00',
      'a%00b',
      '__proto__',
      'constructor',
      'a%0A',
      '*',
      '%7B%7D',
      '%2A',
      'item_a',
      '%F0%9F%98%80',
    ]
    for (const id of ids) await get(app, `/${id}`)
    for (const id of ids) expect((await get(app, `/${id}`)).json()).toEqual({ id: decodeURIComponent(id) })
    expect(await cache.delete('item_a')).toBe(1)
    expect((await get(app, '/a%3Ab')).headers['x-cache']).toBe('HIT')
    expect((await get(app, '/a%00')).headers['x-cache']).toBe('HIT')
    expect((await get(app, '/a')).headers['x-cache']).toBe('MISS')
  })

  test('a key that cannot be one passes by the cache, and nobody waits for it', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const key = ({ params }: { params: Record<string, string> }): string => (params.id === 'bad' ? '' : params.id!)
    app.get('/:id', cached(cache, { ttl: 60, key }), () => 'hello')
    expect(await inTurn(app, ['/bad', '/bad'])).toEqual(['BYPASS hello', 'BYPASS hello'])
    expect(await inTurn(app, ['/good', '/good'])).toEqual(['MISS hello', 'HIT hello'])
  })

  test('a tag function that fails keeps that answer out of the cache, and no other', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let isWell = false
    const tags = (): string[] => {
      if (!isWell) throw new Error('no')
      return ['t']
    }
    app.get('/', cached(cache, { ttl: 60, tags }), () => 'hello')
    expect(await inTurn(app, ['/', '/'])).toEqual(['BYPASS hello', 'BYPASS hello'])
    isWell = true
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS hello', 'HIT hello'])
  })

  test('header values of 14 KB take no time', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, vary: ['accept-language'], allowRefresh: () => false }), () => 'hello')
    const evil = [
      ' '.repeat(14_000),
      'a="'.repeat(4000),
      ','.repeat(14_000),
      `a${' '.repeat(13_000)}b`,
      'no-cache '.repeat(1500),
    ]
    const startedAt = performance.now()
    for (const value of evil) {
      const headers = {
        'accept-language': value,
        'cache-control': value,
        pragma: value,
        range: value,
        'if-none-match': value,
      }
      for (let i = 0; i < 3; i++) expect((await get(app, '/', headers)).statusCode).toBe(200)
    }
    expect(performance.now() - startedAt).toBeLessThan(5000)
  })

  test('a handler whose header values cannot be sent is not stored as something else', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('x-name', '\u{1f600}').send('hello'))
    for (let i = 0; i < 2; i++) expect((await get(app, '/')).headers['x-cache']).not.toBe('HIT')
  })

  test('bytes that a handler changes after it has sent them are not changed in the cache', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const bytes = Buffer.from('hello')
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => {
      void reply.send(bytes)
      bytes.fill('x')
      return reply
    })
    await get(app, '/')
    expect(summary(await get(app, '/'))).toMatch(/^HIT (?:hello|xxxxx)$/)
    bytes.fill('y')
    expect(summary(await get(app, '/'))).not.toContain('y')
  })

  test('a client of our own header names gets nothing else', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    await get(app, '/')
    const headers = {
      'x-cache': 'BYPASS',
      'cache-status': 'tidemark; fwd=bypass',
      age: '999',
      'x-user': 'admin',
      'if-modified-since': 'x',
    }
    expect(summary(await get(app, '/', headers))).toBe('HIT run 1')
  })

  test('queries that nobody declared leave nothing behind in the store, however many there are', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, query: [] }), () => 'hello')
    const size = async (): Promise<unknown> => (cache.parts.connection as RedisConnection | undefined)?.send(['DBSIZE'])
    const filled = nextFill(cache)
    await get(app, '/')
    await filled
    const before = await size()
    for (let i = 0; i < 1000; i += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, (_, j) => get(app, `/?cb=${i + j}`)))
      expect(new Set(answers.map(summary))).toEqual(new Set(['HIT hello']))
    }
    expect([await size(), cache.getStatistics().loads]).toEqual([before, 1])
  })

  test.each(['route', 'rfc9111'] as const)(
    'a header of thousands of values makes sixteen variants and no more, with policy %s',
    async (policy) => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      const options = policy === 'route' ? { ttl: 60, vary: ['accept-language'] } : { policy }
      app.get('/', cached(cache, options), ({ headers }, reply) =>
        reply
          .headers({ vary: 'accept-language', 'cache-control': 'max-age=60' })
          .send(`in ${headers['accept-language']}`),
      )
      const ask = async (i: number): Promise<string> => {
        const answer = await get(app, '/', { 'accept-language': `x-${i}` })
        expect(answer.body).toBe(`in x-${i}`)
        return String(answer.headers['cache-status'])
      }
      const stored: string[] = []
      // In turn, so that each knows of those before.
      for (let i = 0; i < 16; i++) {
        const filled = nextFill(cache)
        stored.push(await ask(i))
        await filled
      }
      const others = Array<string>(15).fill('tidemark; fwd=vary-miss; stored')
      expect(stored).toEqual(['tidemark; fwd=uri-miss; stored', ...others])
      const count = kind === 'memory' ? 10_000 : 2000
      for (let i = 16; i < count; i += 100) {
        const found = await Promise.all(Array.from({ length: 100 }, (_, j) => ask(i + j)))
        expect(new Set(found)).toEqual(new Set(['tidemark; fwd=vary-miss; detail=variants']))
      }
      for (let i = 0; i < 16; i++) expect(await ask(i)).toMatch(/^tidemark; hit/)
    },
  )

  test('only-if-cached makes nobody run: 504 where there is nothing, or nothing fresh (RFC 9111 §5.2.1.7)', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    const headers = { 'cache-control': 'only-if-cached' }
    const cold = await get(app, '/', headers)
    expect([cold.statusCode, cold.headers['x-cache'], runs]).toEqual([504, 'MISS', 0])
    const filled = nextFill(cache)
    await get(app, '/')
    await filled
    expect(summary(await get(app, '/', headers))).toBe('HIT run 1')
    clock.advance(61)
    expect([(await get(app, '/', headers)).statusCode, runs]).toEqual([504, 1])
    expect(summary(await get(app, '/'))).toBe('MISS run 2')
  })

  test('a client that asks for fresh answers again and again makes nobody run', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    const asked = ['no-cache', 'no-store', 'max-age=0', 'min-fresh=1000000', 'no-cache, no-store, max-age=0']
    await get(app, '/')
    for (let i = 0; i < 200; i++) {
      const headers = { 'cache-control': asked[i % asked.length]!, pragma: 'no-cache' }
      expect(summary(await get(app, '/', headers))).toBe('HIT run 1')
    }
  })

  test('a handler that takes too long is given up, nothing is stored of it, and those who waited run it', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache, { handlerTimeout: 100 })
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async () => {
      if (++runs === 1) await gate.opened
      return `run ${runs}`
    })
    const first = get(app, '/')
    await expect.poll(() => runs).toBe(1)
    const other = get(app, '/')
    expect((await first).statusCode).toBe(503)
    expect((await other).body).toBe('run 2')
    gate.open()
    expect((await get(app, '/')).body).toBe('run 2')
  })
})

test('distinct queries by the thousand do not outgrow the memory there is', async () => {
  const cache = inMemory({ cache: { memory: { maxEntries: 100, maxBytes: '1mb' } } })
  const app = makeCachedApp(cache)
  app.get('/', cached(cache, { ttl: 60 }), () => 'x'.repeat(1000))
  for (let i = 0; i < 1000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => get(app, `/?cb=${i + j}`)))
  expect(cache.getStatistics().evictions).toBeGreaterThan(800)
})
