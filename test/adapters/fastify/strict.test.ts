/** `strict`: an answer that depends on what is not in its key is not stored, and says what that was. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import { CacheKeyError } from 'tidemark'
import { cached, createCacheErrorHandler, rateLimit, setupCache, type CacheRouteOptions } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inMemory, inTurn, makeApp, makeCachedApp, summary } from './harness.ts'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

async function verdict(app: FastifyInstance, url = '/', headers: Record<string, string> = {}): Promise<unknown> {
  return (await get(app, url, headers)).headers['cache-status']
}

const STORED = 'tidemark; fwd=uri-miss; stored'
const refused = (what: string): string => `tidemark; fwd=uri-miss; detail=unkeyed-${what}`

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  function start(options: Partial<CacheRouteOptions>, handler: Handler): FastifyInstance {
    const cache = caches.create({ environment: 'production' })
    const app = makeCachedApp(cache)
    app.decorateRequest('cookies', null as never)
    app.addHook('onRequest', async (request) => {
      Object.assign(request, { cookies: { sid: request.headers.cookie } })
    })
    app.get('/', cached(cache, { ttl: 60, strict: true, ...options }), handler as () => unknown)
    return app
  }

  test('what the key knows may be read', async () => {
    const app = start({ vary: ['X-Tenant'] }, ({ headers, query }) =>
      JSON.stringify([headers['x-tenant'], query, headers.host]),
    )
    expect(await verdict(app, '/?a=1', { 'x-tenant': 't' })).toBe(STORED)
    expect(summary(await get(app, '/?a=1', { 'x-tenant': 't' }))).toMatch(/^HIT \["t",/)
  })

  test('another header keeps the answer out, and nobody gets what was made for it', async () => {
    const app = start({}, ({ headers }) => `for ${String(headers['x-tenant'])}`)
    expect(await verdict(app, '/', { 'x-tenant': 'a' })).toBe(refused('header-x-tenant'))
    expect(summary(await get(app, '/', { 'x-tenant': 'b' }))).toBe('MISS for b')
  })

  test.each<[string, string, Handler]>([
    ['its absence', 'header-x-a', ({ headers }) => ('x-a' in headers ? 1 : 2)],
    ['Object.hasOwn', 'header-x-a', ({ headers }) => Object.hasOwn(headers, 'x-a')],
    ['a list of all headers', 'header', ({ headers }) => Object.keys(headers)],
    ['a copy of all headers', 'header', ({ headers }) => ({ ...headers })],
    ['JSON of all headers', 'header', ({ headers }) => JSON.stringify(headers)],
    ['a cookie', 'cookie-sid', (request) => `for ${(request as unknown as { cookies: { sid: string } }).cookies.sid}`],
    ['the cookies', 'header-cookie', ({ headers }) => `for ${headers.cookie}`],
    ['Authorization', 'header-authorization', ({ headers }) => `for ${headers.authorization}`],
    [
      'a part of the request that was taken before',
      'header-x-a',
      async ({ headers }) => {
        await new Promise((resolve) => setImmediate(resolve))
        return `for ${String(headers['x-a'])}`
      },
    ],
  ])('%s counts as reading it', async (_what, detail, handler) => {
    const app = start({}, handler)
    expect(await verdict(app)).toBe(refused(detail))
    expect((await get(app, '/')).headers['x-cache']).toBe('MISS')
  })

  test('a stream that reads one while it flows is not stored', async () => {
    const app = start({}, ({ headers }, reply) => {
      async function* body(): AsyncGenerator<string> {
        yield 'for '
        await new Promise((resolve) => setImmediate(resolve))
        yield String(headers['x-tenant'])
      }
      return reply.send(Readable.from(body()))
    })
    expect((await get(app, '/', { 'x-tenant': 'a' })).body).toBe('for a')
    expect(summary(await get(app, '/', { 'x-tenant': 'b' }))).toBe('MISS for b')
  })

  test('query parameters beside those of the key count', async () => {
    const app = start({ query: ['page'] }, ({ query }) => {
      const { page, sort } = query as Record<string, string>
      return page === '1' ? 'first' : `by ${sort}`
    })
    expect(await verdict(app, '/?page=1')).toBe(refused('query-sort'))
    const keys = start({ query: ['page'] }, ({ query }) => Object.keys(query as object))
    expect(await verdict(keys, '/?page=1')).toBe(refused('query'))
    const one = start({ query: ['page'] }, ({ query }) => `page ${(query as { page: string }).page}`)
    expect(await verdict(one, '/?page=1')).toBe(STORED)
  })

  test('what `key` and `user` read is in the key', async () => {
    const byTenant = {
      key: ({ headers, query }: FastifyRequest) => `${String(headers['x-tenant'])} ${(query as { a?: string }).a}`,
    }
    const keyed: Handler = ({ headers, query }) => `${String(headers['x-tenant'])} ${(query as { a?: string }).a}`
    expect(await verdict(start(byTenant, keyed), '/?a=1')).toBe(STORED)
    expect(await verdict(start(byTenant, ({ query }) => (query as { b?: string }).b ?? 'none'))).toBe(
      refused('query-b'),
    )
    expect(await verdict(start({ key: ({ url }) => url }, ({ query }) => Object.keys(query as object)))).toBe(STORED)
    const user = ({ headers }: FastifyRequest): string => String(headers['x-user'])
    const mine: Handler = (request) => {
      const { headers, cookies } = request as FastifyRequest & { cookies: { sid: string } }
      return [headers['x-user'], headers.authorization, headers.cookie, cookies.sid].join()
    }
    expect(await verdict(start({ user }, mine))).toBe(STORED)
  })

  test('under rfc9111 a header counts as known if the response says that it varies by it', async () => {
    const app = start({ ttl: undefined, policy: 'rfc9111' }, ({ headers, query }, reply) => {
      const { vary } = query as { vary?: string }
      if (vary !== undefined) reply.header('vary', vary)
      return reply.header('cache-control', 'max-age=60').send(`for ${String(headers['x-tenant'])}`)
    })
    expect(await verdict(app, '/?vary=x-tenant', { 'x-tenant': 'a' })).toBe(STORED)
    expect(await verdict(app, '/?vary=x-other', { 'x-tenant': 'a' })).toBe(refused('header-x-tenant'))
    expect(await verdict(app, '/')).toBe(refused('header-x-tenant'))
  })

  test('hooks before the handler and behind it read what they like, and see the request as it is', async () => {
    const cache = caches.create({ environment: 'production' })
    const app = makeCachedApp(cache)
    const seen: unknown[] = []
    const read = async (request: FastifyRequest): Promise<void> =>
      void seen.push([
        request.headers['x-a'],
        Object.keys(request.headers).length > 0,
        ['headers', 'host'].some((name) => Object.hasOwn(request, name)),
      ])
    app.addHook('onSend', read)
    app.addHook('onResponse', read)
    const limit = rateLimit(cache, '9/minute', { count: 'misses', key: ({ headers }) => String(headers['x-a']) })
    const hooks = { preHandler: read, preSerialization: read, onSend: read }
    app.get('/', { ...cached(cache, { ttl: 60, strict: true }), ...limit, ...hooks }, async () => ({ hello: 'world' }))
    expect(await verdict(app, '/', { 'x-a': '1' })).toBe(STORED)
    await expect.poll(() => seen.length).toBe(5)
    expect(new Set(seen.map((one) => JSON.stringify(one)))).toEqual(new Set([JSON.stringify(['1', true, false])]))
  })

  test('scheme and host may be read, also where a proxy tells them', async () => {
    const cache = caches.create({ environment: 'production' })
    const app = makeCachedApp(cache, { trustProxy: true })
    app.get('/', cached(cache, { ttl: 60, strict: true }), ({ host, hostname, protocol }) =>
      [protocol, host, hostname].join(),
    )
    const headers = { 'x-forwarded-host': 'a.test:81', 'x-forwarded-proto': 'https' }
    expect(await verdict(app, '/', headers)).toBe(STORED)
    expect(summary(await get(app, '/', headers))).toBe('HIT https,a.test:81,a.test')
  })

  test('an error of the handler is answered as ever', async () => {
    const app = start({}, ({ headers }) => {
      throw new Error(`no ${String(headers['x-a'])}`)
    })
    app.setErrorHandler((error: Error, request, reply) =>
      reply.code(500).send(`${error.message} ${String(request.headers['x-b'])}`),
    )
    expect((await get(app, '/', { 'x-a': '1', 'x-b': '2' })).body).toBe('no 1 2')
  })
})

test('each field is logged once', async () => {
  const lines: string[] = []
  const cache = inMemory({ environment: 'production' })
  const app = makeApp({ logger: { level: 'warn', stream: { write: (line: string) => void lines.push(line) } } })
  setupCache(app, cache)
  app.get('/', cached(cache, { ttl: 60, strict: true }), ({ headers }) => String(headers['x-a']))
  await inTurn(app, ['/', '/', '/'])
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    'GET / (strict) reads the header "x-a", which is not in its key: its answer was not stored',
  ])
})

describe('in development', () => {
  const MESSAGE =
    'GET /items/:id (strict) reads the header "x-a", which is not in its key: others would be sent the answer, whatever they ' +
    "send. Add `vary: ['x-a']`, or do not read it"

  test('the read throws, and names route and field', async () => {
    const cache = inMemory({ environment: 'development' })
    const app = makeCachedApp(cache)
    app.get('/items/:id', cached(cache, { ttl: 60, strict: true }), async ({ headers }) => String(headers['x-a']))
    const answer = await get(app, '/items/1')
    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toMatchObject({ code: 'ERR_CACHE_KEY', message: MESSAGE })
  })

  test('createCacheErrorHandler tells it, too, and nothing else', async () => {
    const cache = inMemory({ environment: 'development' })
    const app = makeCachedApp(cache)
    createCacheErrorHandler(app)
    app.get('/items/:id', cached(cache, { ttl: 60, strict: true }), async ({ headers }) => String(headers['x-a']))
    app.get('/own', () => Promise.reject(new CacheKeyError('the key of a user')))
    expect((await get(app, '/items/1')).json()).toEqual({
      statusCode: 503,
      error: 'Service Unavailable',
      message: MESSAGE,
    })
    expect((await get(app, '/own')).json()).toMatchObject({ message: 'the request could not be served' })
  })

  test.each<[string, Partial<CacheRouteOptions>, Handler]>([
    ["Add `vary: ['x-a']`", {}, ({ headers }) => headers['x-a']],
    ['Say with `user` whose answer it is, or let `key` read it', {}, ({ headers }) => headers.authorization],
    ['Read those alone that are in the key', {}, ({ headers }) => Object.keys(headers)],
    ["Name it in `query: ['b']`", { query: ['a'] }, ({ query }) => (query as { b?: string }).b],
    ['Let `key` read it', { key: () => 'a' }, ({ query }) => (query as { b?: string }).b],
  ])('it names what to do: %s', async (remedy, options, handler) => {
    const cache = inMemory({ environment: 'development' })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, strict: true, ...options }), handler as () => unknown)
    const { message } = (await get(app, '/')).json<{ message: string }>()
    expect(message).toContain(`: others would be sent the answer, whatever they send. ${remedy}, or do not read it`)
  })

  test('what is keyed does not, nor what only a response can tell', async () => {
    const cache = inMemory({ environment: 'development' })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, strict: true, vary: ['x-a'] }), ({ headers }) => String(headers['x-a']))
    app.get('/rfc', cached(cache, { policy: 'rfc9111', strict: true }), ({ headers }, reply) =>
      reply.headers({ vary: 'x-a', 'cache-control': 'max-age=60' }).send(String(headers['x-a'])),
    )
    expect(await verdict(app)).toBe(STORED)
    expect(await verdict(app, '/rfc')).toBe(STORED)
  })
})
