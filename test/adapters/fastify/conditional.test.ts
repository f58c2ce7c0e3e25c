/** Conditional requests: the client has it already, and is told so without the body. */
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import compress from '@fastify/compress'
import etag from '@fastify/etag'
import type { FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import { setupCache, cached } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, inMemory, listen, makeApp, makeCachedApp, type RequestHeaders } from './harness.ts'

const TEXT = 'hello '.repeat(1000)
const MODIFIED = 'Wed, 31 Dec 2025 00:00:00 GMT'

interface OnTheWire {
  readonly status: number | undefined
  readonly names: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** As it stands on the wire: names in the order of the alphabet, without those of the connection. */
async function ask(origin: string, headers: RequestHeaders, method = 'GET'): Promise<OnTheWire> {
  const request = httpGet(origin, { agent: false, headers, method })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const names = Object.keys(response.headers).filter((name) => name !== 'connection' && name !== 'keep-alive')
  return {
    status: response.statusCode,
    names: names.toSorted(),
    headers: response.headers,
    body: await buffer(response),
  }
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  async function start(): Promise<{ origin: string; tag: string; clock: ManualClock }> {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    app.addHook('onRequest', async (request, reply) => void reply.header('x-request-id', request.id))
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply
        .header('last-modified', MODIFIED)
        .header('cache-control', 'max-age=30')
        .header('content-language', 'en')
        .header('x-page', '1')
        .send(TEXT),
    )
    const origin = await listen(app)
    const filled = nextFill(cache)
    const miss = await ask(origin, {})
    await filled
    return { origin, tag: String(miss.headers.etag), clock }
  }

  test('a miss has the strong tag that its hits have', async () => {
    const { origin, tag } = await start()
    expect(tag).toMatch(/^"[\w-]{22}"$/)
    expect((await ask(origin, {})).headers).toMatchObject({ 'x-cache': 'HIT', etag: tag })
  })

  test.each(['GET', 'HEAD'])(
    'a %s for what the client has is a 304 with these fields alone (RFC 9110 §15.4.5)',
    async (method) => {
      const { origin, tag, clock } = await start()
      clock.advance(10)
      const answer = await ask(origin, { 'if-none-match': `"other", W/${tag}` }, method)
      expect(answer).toMatchObject({ status: 304, body: Buffer.alloc(0) })
      expect(answer.names).toEqual(['age', 'cache-control', 'cache-status', 'date', 'etag', 'x-cache', 'x-request-id'])
      expect(answer.headers).toMatchObject({
        age: '10',
        date: 'Thu, 01 Jan 2026 00:00:00 GMT',
        etag: tag,
        'x-cache': 'HIT',
        'cache-status': 'tidemark; hit; ttl=20',
      })
    },
  )

  test.each([
    ['*', 304],
    ['"other"', 200],
    ['garbage', 200],
    ['"', 200],
  ])('If-None-Match: %s is a %i', async (field, status) => {
    const { origin } = await start()
    expect((await ask(origin, { 'if-none-match': field })).status).toBe(status)
  })

  test.each([
    ['a date since which it did not change', { 'if-modified-since': MODIFIED }, 304],
    ['a date since which it did', { 'if-modified-since': 'Tue, 30 Dec 2025 00:00:00 GMT' }, 200],
    ['no date', { 'if-modified-since': 'today' }, 200],
    ['a date, and another tag, which goes before it', { 'if-modified-since': MODIFIED, 'if-none-match': '"x"' }, 200],
  ])('%s', async (_, headers, status) => {
    const { origin } = await start()
    expect((await ask(origin, headers)).status).toBe(status)
  })

  test('a 304 goes before a Range (RFC 9110 §13.2.2)', async () => {
    const { origin, tag } = await start()
    expect((await ask(origin, { 'if-none-match': tag, range: 'bytes=0-1' })).status).toBe(304)
    expect((await ask(origin, { 'if-none-match': '"x"', range: 'bytes=0-1' })).status).toBe(206)
  })

  test('a miss is a 304 too, and its 200 is stored', async () => {
    const { tag } = await start()
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    app.addHook('onRequest', async (request, reply) => void reply.header('x-request-id', request.id))
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => {
      runs++
      return reply.header('cache-control', 'max-age=30').header('x-page', '1').send(TEXT)
    })
    const origin = await listen(app)
    const filled = nextFill(cache)
    const miss = await ask(origin, { 'if-none-match': tag })
    expect(miss).toMatchObject({ status: 304, body: Buffer.alloc(0) })
    expect(miss.names).toEqual(['cache-control', 'cache-status', 'date', 'etag', 'x-cache', 'x-request-id'])
    expect(miss.headers).toMatchObject({ 'x-cache': 'MISS', 'cache-status': 'tidemark; fwd=uri-miss; stored' })
    await filled
    const hit = await ask(origin, {})
    expect([hit.status, hit.body.toString(), hit.headers['x-page']]).toEqual([200, TEXT, '1'])
    expect(runs).toBe(1)
  })

  test('a tag of the handler’s own is kept, and answered by', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('etag', 'W/"v7"').send(TEXT))
    for (const outcome of ['MISS', 'HIT']) {
      expect((await get(app, '/')).headers).toMatchObject({ 'x-cache': outcome, etag: 'W/"v7"' })
    }
    expect((await get(app, '/', { 'if-none-match': '"v7"' })).statusCode).toBe(304)
  })

  test('a 304 of the handler’s own passes as it is, and is not stored', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (request, reply) => {
      reply.header('etag', '"own"').header('x-page', '1')
      return request.headers['if-none-match'] === '"own"' ? reply.code(304).send() : reply.send(TEXT)
    })
    const answer = await get(app, '/', { 'if-none-match': '"own"' })
    expect([answer.statusCode, answer.body]).toEqual([304, ''])
    expect(answer.headers).toMatchObject({ 'x-page': '1', 'cache-status': 'tidemark; fwd=uri-miss; detail=status-304' })
    expect((await get(app, '/')).body).toBe(TEXT)
  })

  test('a stream has no tag on its miss, and one on its hits', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.type('text/plain').send(Readable.from([TEXT])))
    const miss = await get(app, '/', { 'if-none-match': '*' })
    expect([miss.statusCode, miss.body, miss.headers.etag]).toEqual([200, TEXT, undefined])
    const { etag: tag } = (await get(app, '/')).headers
    expect((await get(app, '/', { 'if-none-match': String(tag) })).statusCode).toBe(304)
  })

  test('only a 200 has a tag, and is answered so', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.code(404).send(TEXT))
    for (let i = 0; i < 2; i++) {
      const { statusCode, headers } = await get(app, '/', { 'if-none-match': '*' })
      expect([statusCode, headers.etag]).toEqual([404, undefined])
    }
  })

  test('what may not be stored is no 304, and has no tag of ours', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('cache-control', 'private').send(TEXT))
    const { statusCode, headers } = await get(app, '/', { 'if-none-match': '*' })
    expect([statusCode, headers.etag]).toEqual([200, undefined])
  })

  test('If-Match and If-Unmodified-Since are the handler’s business (RFC 9110 §13.2.1)', async () => {
    const { origin } = await start()
    const headers = { 'if-match': '"other"', 'if-unmodified-since': 'Tue, 30 Dec 2025 00:00:00 GMT' }
    expect(await ask(origin, headers)).toMatchObject({ status: 200, headers: { 'x-cache': 'HIT' } })
  })

  test('a stale answer in place of a failure is a 304 for who has it', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let hasFailed = false
    app.get('/', cached(cache, { ttl: 60, grace: 60 }), async () => {
      if (hasFailed) throw new Error('no')
      return TEXT
    })
    const filled = nextFill(cache)
    const { etag: tag } = (await get(app, '/')).headers
    await filled
    hasFailed = true
    clock.advance(61)
    const answer = await get(app, '/', { 'if-none-match': String(tag) })
    expect([answer.statusCode, answer.body, answer.headers['x-cache']]).toEqual([304, '', 'STALE'])
    expect(answer.headers).not.toHaveProperty('content-type')
  })

  describe.each(['before', 'after'])('with @fastify/etag and @fastify/compress registered %s the cache', (order) => {
    async function startWithPlugins(): Promise<FastifyInstance> {
      const cache = caches.create()
      const app = makeApp()
      const register = async (): Promise<void> => {
        await app.register(etag)
        await app.register(compress)
      }
      if (order === 'before') await register()
      setupCache(app, cache)
      if (order === 'after') await register()
      app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
      return app
    }

    test('the tag is kept, weak where it is compressed, and makes 304s without a body', async () => {
      const app = await startWithPlugins()
      const tags = new Set<unknown>()
      for (const outcome of ['MISS', 'HIT']) {
        const { headers } = await get(app, '/', { 'accept-encoding': 'gzip' })
        expect(headers).toMatchObject({ 'x-cache': outcome, 'content-encoding': 'gzip' })
        tags.add(headers.etag)
      }
      expect([...tags]).toEqual([expect.stringMatching(/^W\/"/)])
      const [weak] = tags
      const strong = (await get(app, '/')).headers.etag
      expect(weak).toBe(`W/${String(strong)}`)
      for (const tag of [weak, strong]) {
        const answer = await get(app, '/', { 'if-none-match': String(tag), 'accept-encoding': 'gzip' })
        expect([answer.statusCode, answer.body, answer.headers.etag]).toEqual([304, '', weak])
        expect(answer.headers).not.toHaveProperty('content-encoding')
        expect(answer.headers).not.toHaveProperty('content-length')
        expect(answer.headers).toMatchObject({ vary: 'accept-encoding' })
      }
    })
  })
})

test('a miss that a plugin compresses behind us is a 304 with a weak tag', async () => {
  const cache = inMemory()
  const app = makeApp()
  setupCache(app, cache)
  await app.register(compress)
  app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
  app.get('/large', cached(cache, { ttl: 60 }), () => TEXT.repeat(100))
  for (const url of ['/', '/large']) {
    const miss = await get(app, url, { 'accept-encoding': 'gzip', 'if-none-match': '*' })
    expect([miss.statusCode, miss.body]).toEqual([304, ''])
    expect(miss.headers).toMatchObject({ etag: expect.stringMatching(/^W\/"/), vary: 'accept-encoding' })
    expect(miss.headers).not.toHaveProperty('content-encoding')
    expect((await get(app, url)).headers).toMatchObject({ 'x-cache': 'HIT', etag: expect.stringMatching(/^"/) })
  }
})
