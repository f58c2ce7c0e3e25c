/** What a cached route answers: the handler's own, and then the same again. */
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import type { FastifyReply } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cached } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, inTurn, makeCachedApp, makeGate, summary } from './harness.ts'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test('MISS, then HIT with the same status, headers and body, and with its age', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => {
      reply
        .code(203)
        .header('x-page', '3')
        .header('link', ['<a>', '<b>'])
        .header('date', 'Wed, 31 Dec 2025 23:59:59 GMT')
      return reply.send({ runs: ++runs })
    })
    const filled = nextFill(cache)
    const miss = await get(app, '/')
    await filled
    clock.advance(20)
    const hit = await get(app, '/')
    expect(miss.headers).toMatchObject({ 'x-cache': 'MISS', 'cache-status': 'tidemark; fwd=uri-miss; stored' })
    expect(miss.headers).not.toHaveProperty('age')
    expect(hit.headers).toMatchObject({ 'x-cache': 'HIT', 'cache-status': 'tidemark; hit; ttl=40', age: '20' })
    const { age: _age, 'x-cache': _x, 'cache-status': _status, ...headers } = hit.headers
    expect({ ...miss.headers, ...headers }).toEqual(miss.headers)
    expect([hit.statusCode, hit.body]).toEqual([203, '{"runs":1}'])
    expect(hit.rawPayload).toEqual(miss.rawPayload)
  })

  test('the Date of a hit is when it was made', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
    const filled = nextFill(cache)
    await get(app, '/')
    await filled
    clock.advance(20)
    expect((await get(app, '/')).headers.date).toBe('Thu, 01 Jan 2026 00:00:00 GMT')
  })

  test('after its ttl the handler runs again', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: '1m' }), () => `run ${++runs}`)
    const filled = nextFill(cache)
    await get(app, '/')
    await filled
    clock.advance('59s')
    expect(await inTurn(app, ['/'])).toEqual(['HIT run 1'])
    clock.advance('1s')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 2', 'HIT run 2'])
  })

  const text = 'naïve ☃ \u{1f600}'
  const bytes = Buffer.from([0, 255, 128, 10, 13, 0])
  const bodies: readonly (readonly [string, (reply: FastifyReply) => unknown])[] = [
    ['an object', () => ({ text, list: [1, null] })],
    ['a string', () => text],
    ['an empty string', () => ''],
    ['a Buffer', () => bytes],
    ['a Uint8Array', () => new Uint8Array(bytes)],
    ['a Buffer of a type', (reply) => reply.type('image/png').send(bytes)],
    ['nothing', (reply) => reply.code(204).send()],
    ['a redirect', (reply) => reply.redirect('/elsewhere', 301)],
    ['null', (reply) => reply.send(null)],
    ['a Node stream', () => Readable.from([bytes, bytes])],
    ['a Node stream of strings', () => Readable.from([text, text])],
    ['a Node stream with an encoding', () => Readable.from([Buffer.from(text)]).setEncoding('utf8')],
    ['an empty Node stream', () => Readable.from([])],
    ['a Node stream of a type', (reply) => reply.type('text/html').send(Readable.from([text]))],
    ['a web stream', () => webStream([bytes, bytes])],
    ['an empty web stream', () => webStream([])],
    ['a Response', () => new Response(text, { status: 203, headers: { 'x-page': '3' } })],
    ['a Response of bytes', () => new Response(bytes)],
    ['a Response without a body', () => new Response(null, { status: 204 })],
    ['a Response that says not found', () => new Response('no', { status: 404 })],
    [
      'a serializer of its own',
      (reply) =>
        reply
          .type('text/csv')
          .serializer((rows) => String(rows))
          .send({ a: 1 }),
    ],
    [
      'an error that may be stored',
      () => Promise.reject(Object.assign(new Error('no such item'), { statusCode: 404 })),
    ],
  ]

  test.each(bodies)('a body may be %s', async (_, handle) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    const handler = async (_request: unknown, reply: FastifyReply): Promise<unknown> => {
      runs++
      return handle(reply)
    }
    app.get('/', cached(cache, { ttl: 60 }), handler)
    app.get('/plain', handler)
    const plain = await get(app, '/plain')
    const miss = await get(app, '/')
    const hit = await get(app, '/')
    expect([plain, miss, hit].map(({ headers }) => headers['x-cache'])).toEqual([undefined, 'MISS', 'HIT'])
    for (const answer of [miss, hit]) {
      expect(answer.statusCode).toBe(plain.statusCode)
      expect(answer.rawPayload).toEqual(plain.rawPayload)
      expect(answer.headers['content-type']).toBe(plain.headers['content-type'])
      expect(answer.headers['x-page']).toBe(plain.headers['x-page'])
      expect(answer.headers.location).toBe(plain.headers.location)
    }
    expect(runs).toBe(2)
  })

  test('a schema of the response serializes the miss, and the hit is the same', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const schema = { response: { 200: { type: 'object', properties: { shown: { type: 'string' } } } } }
    app.get('/', { ...cached(cache, { ttl: 60 }), schema }, () => ({ shown: 'yes', hidden: 'secret' }))
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS {"shown":"yes"}', 'HIT {"shown":"yes"}'])
  })

  test('an empty body where the schema declares one is not stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const schema = { response: { 200: { type: 'object', properties: {} } } }
    app.get('/', { ...cached(cache, { ttl: 60 }), schema }, (_request, reply) => reply.send())
    app.get('/stream', { ...cached(cache, { ttl: 60 }), schema }, () => Readable.from([]))
    expect((await get(app, '/')).headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=empty-body')
    expect(await inTurn(app, ['/', '/stream', '/stream'])).toEqual(['MISS ', 'MISS ', 'MISS '])
  })

  test('HEAD is answered from GET, with its headers and without its body; alone it fills nothing', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('x-run', ++runs).send('hello'))
    const before = await app.inject({ method: 'HEAD', url: '/' })
    expect(before.headers).toMatchObject({ 'x-cache': 'BYPASS', 'cache-status': 'tidemark; fwd=bypass; detail=head' })
    const filling = await get(app, '/')
    expect(summary(filling)).toBe('MISS hello')
    const head = await app.inject({ method: 'HEAD', url: '/' })
    expect([head.statusCode, head.body]).toEqual([200, ''])
    expect(head.headers).toMatchObject({
      'x-cache': 'HIT',
      'x-run': '2',
      'content-length': '5',
      'content-type': filling.headers['content-type'],
    })
  })

  test('a GET with a body, and a Range of what is not stored, pass by; nothing is stored of them', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
    const withBody = await app.inject({
      method: 'GET',
      url: '/',
      payload: 'x',
      headers: { 'content-type': 'text/plain' },
    })
    expect(withBody.headers['cache-status']).toBe('tidemark; fwd=bypass; detail=request-body')
    const range = await get(app, '/', { range: 'bytes=0-1' })
    expect(range.headers).toMatchObject({ 'x-cache': 'BYPASS', 'cache-status': 'tidemark; fwd=bypass; detail=range' })
    expect(await inTurn(app, ['/'])).toEqual(['MISS hello'])
  })

  test('methods other than GET and HEAD are neither answered nor stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.route({ method: ['GET', 'POST'], url: '/', ...cached(cache, { ttl: 60 }), handler: () => `run ${++runs}` })
    const post = await app.inject({ method: 'POST', url: '/' })
    expect(summary(post)).toBe('BYPASS run 1')
    expect(post.headers['cache-status']).toBe('tidemark; fwd=method')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 2', 'HIT run 2'])
    expect(summary(await app.inject({ method: 'POST', url: '/' }))).toBe('BYPASS run 3')
  })

  test('200 requests for a cold route run the handler once', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async () => {
      await gate.opened
      return { runs: ++runs }
    })
    const answers = Array.from({ length: 200 }, () => get(app, '/'))
    await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(199)
    gate.open()
    const bodies = (await Promise.all(answers)).map(summary)
    expect(new Set(bodies)).toEqual(new Set(['MISS {"runs":1}', 'HIT {"runs":1}']))
    expect(bodies.filter((body) => body.startsWith('MISS'))).toHaveLength(1)
  })

  test('if the handler fails those who waited run it themselves, and nothing is stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async () => {
      const run = ++runs
      await gate.opened
      if (run === 1) throw new Error('out of order')
      return { run }
    })
    const answers = Array.from({ length: 10 }, () => get(app, '/'))
    await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(9)
    gate.open()
    const statuses = (await Promise.all(answers)).map(({ statusCode }) => statusCode)
    expect(statuses.filter((status) => status === 200)).toHaveLength(9)
    expect(statuses).toContain(500)
    expect(runs).toBe(10)
  })

  test.each([
    ['throws', () => Promise.reject(new Error('out of order')), 500],
    ['throws an error with a status', () => Promise.reject(Object.assign(new Error('busy'), { statusCode: 429 })), 429],
    ['answers 5xx', (reply: FastifyReply) => reply.code(503).send('no'), 503],
    ['answers a Response with 5xx', () => new Response('no', { status: 502 }), 502],
    ['answers 206', (reply: FastifyReply) => reply.code(206).send('no'), 206],
  ])('nothing is stored of a handler that %s', async (_, fail, status) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => (++runs < 3 ? fail(reply) : 'well'))
    for (let i = 0; i < 2; i++) {
      const answer = await get(app, '/')
      expect(answer.statusCode).toBe(status)
      expect(answer.headers['cache-status']).toBe(`tidemark; fwd=uri-miss; detail=status-${status}`)
    }
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS well', 'HIT well'])
  })

  test('a handler that writes to the raw response keeps nobody waiting', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    const all = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => {
      if (++runs === 1) await gate.opened
      else {
        // Those who waited run it at the same time, not one behind the other.
        if (runs === 10) all.open()
        await all.opened
      }
      reply.raw.end('hello')
      return reply
    })
    const answers = Array.from({ length: 10 }, () => get(app, '/'))
    await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(9)
    gate.open()
    expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(Array(10).fill('hello'))
  })

  test('a handler may leave it to the 404 of the application', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.setNotFoundHandler((_request, reply) => reply.code(404).send('nothing here'))
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.callNotFound())
    expect(await inTurn(app, ['/', '/', '/other'])).toEqual([
      'MISS nothing here',
      'HIT nothing here',
      'undefined nothing here',
    ])
  })

  test('a body larger than maxBodyBytes is not stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/large', cached(cache, { ttl: 60, maxBodyBytes: 4 }), () => 'hello')
    app.get('/fits', cached(cache, { ttl: 60, maxBodyBytes: 5 }), () => 'hello')
    expect((await get(app, '/large')).headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=too-large')
    expect(await inTurn(app, ['/large', '/fits', '/fits'])).toEqual(['MISS hello', 'MISS hello', 'HIT hello'])
  })

  test('a Content-Length that lies keeps a body out', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('content-length', 3).send('hello'))
    expect((await get(app, '/')).headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=content-length')
    expect(await inTurn(app, ['/'])).toEqual(['MISS hello'])
  })

  test('a handler may keep its response, or shorten its life', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('cache-control', 'max-age=10').send(`${++runs}`),
    )
    const filled = nextFill(cache)
    await get(app, '/')
    await filled
    clock.advance(9)
    expect((await get(app, '/')).headers).toMatchObject({
      'cache-status': 'tidemark; hit; ttl=1',
      'cache-control': 'max-age=10',
    })
    clock.advance(1)
    expect(await inTurn(app, ['/'])).toEqual(['MISS 2'])
  })

  test('a route without cache gets no hook and no header', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const hooks: unknown[] = []
    app.addHook('onRoute', (route) => void hooks.push(route.preHandler, route.onSend))
    app.get('/', { exposeHeadRoute: false }, () => 'hello')
    const { headers } = await get(app, '/')
    expect(Object.keys(headers).filter((name) => /cache|age/.test(name))).toEqual([])
    expect(hooks).toEqual([undefined, undefined])
  })
})

function webStream(chunks: readonly Uint8Array[]): ReadableStream {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
}
