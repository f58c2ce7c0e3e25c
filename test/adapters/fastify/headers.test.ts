/** What of an answer is the stored one and what the current one; and plugins that change answers on their way out. */
import { connect, type ClientHttp2Session } from 'node:http2'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import fastifyRateLimit from '@fastify/rate-limit'
import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { cached, setupCache } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inTurn, makeApp, makeCachedApp, summary } from './harness.ts'

/** Long enough to be compressed. */
const TEXT = 'na\u00efve text, again and again. '.repeat(200)

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  describe('header fields from before the handler are the current ones on a hit', () => {
    test('CORS: origin A, then B', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      app.addHook('onRequest', async ({ headers }, reply) => {
        reply.header('vary', 'Origin').header('access-control-allow-origin', headers.origin)
      })
      app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
      for (const [origin, outcome] of [
        ['https://a.test', 'MISS'],
        ['https://b.test', 'HIT'],
      ] as const) {
        expect((await get(app, '/', { origin })).headers).toMatchObject({
          'x-cache': outcome,
          vary: 'Origin',
          'access-control-allow-origin': origin,
        })
      }
    })

    test('a CSP nonce, a request id, a trace, Server-Timing', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      let requests = 0
      app.addHook('onRequest', async (_request, reply) => {
        requests++
        reply.header('content-security-policy', `script-src 'nonce-${requests}'`).header('x-request-id', requests)
      })
      app.addHook('onSend', async (_request, reply) => void reply.header('x-sent', requests))
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
        reply.header('server-timing', `db;dur=${requests}`).header('traceparent', String(requests)).send('hello'),
      )
      await get(app, '/')
      const { headers } = await get(app, '/')
      expect(headers).toMatchObject({
        'x-cache': 'HIT',
        'content-security-policy': "script-src 'nonce-2'",
        'x-request-id': '2',
        'x-sent': '2',
      })
      expect(headers).not.toHaveProperty('server-timing')
      expect(headers).not.toHaveProperty('traceparent')
    })

    test('a rate limit, of another plugin as well', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      await app.register(fastifyRateLimit, { max: 10 })
      app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
      expect((await get(app, '/')).headers['x-ratelimit-remaining']).toBe('9')
      expect((await get(app, '/')).headers).toMatchObject({ 'x-cache': 'HIT', 'x-ratelimit-remaining': '8' })
    })

    test('one that the handler changed is the stored one', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      app.addHook(
        'onRequest',
        async (_request, reply) => void reply.header('x-frame-options', 'DENY').header('x-from', 'hook'),
      )
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
        reply.header('x-frame-options', 'SAMEORIGIN').send('hello'),
      )
      await get(app, '/')
      expect((await get(app, '/')).headers).toMatchObject({ 'x-frame-options': 'SAMEORIGIN', 'x-from': 'hook' })
    })

    test('a type that a hook gives is kept, and none is made up', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      const onRequest = async (_request: unknown, reply: { type(type: string): unknown }): Promise<void> =>
        void reply.type('text/css')
      app.get('/typed', { ...cached(cache, { ttl: 60 }), onRequest }, () => Readable.from(['a{}']))
      app.get('/untyped', cached(cache, { ttl: 60 }), () => Readable.from(['a{}']))
      for (const outcome of ['MISS', 'HIT']) {
        expect((await get(app, '/typed')).headers).toMatchObject({ 'x-cache': outcome, 'content-type': 'text/css' })
        const { headers } = await get(app, '/untyped')
        expect(headers['x-cache']).toBe(outcome)
        expect(headers).not.toHaveProperty('content-type')
      }
    })
  })

  test('what belongs to one connection is not stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('connection', 'close, x-hop').header('x-hop', '1').header('retry-after', '9').send('hello'),
    )
    expect((await get(app, '/')).headers).toMatchObject({
      connection: 'close, x-hop',
      'x-hop': '1',
      'retry-after': '9',
    })
    const { headers } = await get(app, '/')
    expect(headers).toMatchObject({ 'x-cache': 'HIT', connection: 'keep-alive' })
    expect(headers).not.toHaveProperty('x-hop')
    expect(headers).not.toHaveProperty('retry-after')
  })

  describe.each(['before', 'after'])('@fastify/compress registered %s the cache', (order) => {
    async function start(): Promise<FastifyInstance> {
      const cache = caches.create()
      const app = makeApp()
      if (order === 'before') await app.register(compress)
      setupCache(app, cache)
      if (order === 'after') await app.register(compress)
      app.get('/text', cached(cache, { ttl: 60 }), () => TEXT)
      app.get('/stream', cached(cache, { ttl: 60 }), (_request, reply) =>
        reply.type('text/plain').send(Readable.from([TEXT])),
      )
      app.get('/response', cached(cache, { ttl: 60 }), () => new Response(TEXT))
      return app
    }

    const gzip = { 'accept-encoding': 'gzip' }

    test.each(['/text', '/stream', '/response'])(
      '%s: each client gets what it can read, whoever filled',
      async (url) => {
        for (const [first, second] of [
          [gzip, {}],
          [{}, gzip],
        ] as const) {
          const app = await start()
          const answers = [await get(app, url, first), await get(app, url, second), await get(app, url, first)]
          expect(answers.map(({ headers }) => headers['x-cache'])).toEqual(['MISS', 'HIT', 'HIT'])
          for (const [i, asked] of [first, second, first].entries()) {
            const { headers, rawPayload } = answers[i]!
            expect(headers['content-encoding']).toBe(asked === gzip ? 'gzip' : undefined)
            expect((asked === gzip ? gunzipSync(rawPayload) : rawPayload).toString()).toBe(TEXT)
            if (asked === gzip) expect(headers.vary).toBe('accept-encoding')
          }
        }
      },
    )

    test('identity that is all but forbidden is served as it can be', async () => {
      const app = await start()
      await get(app, '/text', gzip)
      const answer = await get(app, '/text', { 'accept-encoding': 'br;q=0, gzip;q=0' })
      expect(answer.headers).not.toHaveProperty('content-encoding')
      expect(answer.body).toBe(TEXT)
    })

    test('what the handler compresses itself is not stored', async () => {
      const cache = caches.create()
      const app = makeApp()
      if (order === 'before') await app.register(compress)
      setupCache(app, cache)
      if (order === 'after') await app.register(compress)
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.compress(TEXT))
      const answer = await get(app, '/', gzip)
      expect(gunzipSync(answer.rawPayload).toString()).toBe(TEXT)
      expect(answer.headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=encoding')
      expect(summary(await get(app, '/'))).toBe(`MISS ${TEXT}`)
    })
  })

  describe.each(['before', 'after'])('@fastify/etag registered %s the cache', (order) => {
    async function start(): Promise<FastifyInstance> {
      const cache = caches.create()
      const app = makeApp()
      if (order === 'before') await app.register(etag)
      setupCache(app, cache)
      if (order === 'after') await app.register(etag)
      app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
      return app
    }

    test('miss and hit have the same tag, and it makes a 304 of a hit', async () => {
      const app = await start()
      const miss = await get(app, '/')
      const hit = await get(app, '/')
      expect(miss.headers.etag).toMatch(/^"/)
      expect(hit.headers).toMatchObject({ 'x-cache': 'HIT', etag: miss.headers.etag })
      const fresh = await get(app, '/', { 'if-none-match': String(miss.headers.etag) })
      expect([fresh.statusCode, fresh.body]).toEqual([304, ''])
      expect(summary(await get(app, '/'))).toBe('HIT hello')
    })

    test('a conditional request that misses stores no 304', async () => {
      const app = await start()
      const tag = String((await get(await start(), '/')).headers.etag)
      expect((await get(app, '/', { 'if-none-match': tag })).statusCode).toBe(304)
      const answer = await get(app, '/')
      expect([answer.statusCode, answer.body]).toEqual([200, 'hello'])
    })
  })

  test('both, one around the other: compressed and tagged', async () => {
    const cache = caches.create()
    const app = makeApp()
    await app.register(etag)
    setupCache(app, cache)
    await app.register(compress)
    app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
    const answers = [
      await get(app, '/', { 'accept-encoding': 'gzip' }),
      await get(app, '/', { 'accept-encoding': 'gzip' }),
    ]
    for (const { rawPayload } of answers) expect(gunzipSync(rawPayload).toString()).toBe(TEXT)
    expect(answers[1]!.headers.etag).toBe(answers[0]!.headers.etag)
  })

  test('a plugin that wraps strings on their way out is seen by the miss and not applied twice', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.addHook('onSend', async (_request, _reply, payload) => (typeof payload === 'string' ? `<${payload}>` : payload))
    app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS <hello>', 'HIT <hello>'])
  })

  test('over HTTP/2', async () => {
    const cache = caches.create()
    const app = Fastify({ http2: true })
    onTestFinished(() => app.close())
    setupCache(app, cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async () => ({ runs: ++runs, TEXT }))
    app.get('/stream', cached(cache, { ttl: 60 }), async () => Readable.from([TEXT, String(++runs)]))
    const session = connect(await app.listen({ port: 0, host: '127.0.0.1' }))
    onTestFinished(() => session.destroy())
    for (const [path, body] of [
      ['/', JSON.stringify({ runs: 1, TEXT })],
      ['/stream', `${TEXT}2`],
    ] as const) {
      expect(await overHttp2(session, { path })).toEqual({ status: 200, cache: 'MISS', body })
      expect(await overHttp2(session, { path })).toEqual({ status: 200, cache: 'HIT', body })
    }
    expect(await overHttp2(session, { path: '/', ':method': 'HEAD' })).toEqual({ status: 200, cache: 'HIT', body: '' })
    expect(await overHttp2(session, { path: '/', ':authority': 'other.test' })).toMatchObject({ cache: 'MISS' })
  })
})

interface Http2Answer {
  readonly status: unknown
  readonly cache: unknown
  readonly body: string
}

async function overHttp2(session: ClientHttp2Session, { path, ...rest }: Record<string, string>): Promise<Http2Answer> {
  const stream = session.request({ ':path': path, ...rest })
  const headers = new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve))
  const chunks = await Readable.from(stream).toArray()
  const { ':status': status, 'x-cache': cache } = await headers
  return { status, cache, body: Buffer.concat(chunks).toString() }
}
