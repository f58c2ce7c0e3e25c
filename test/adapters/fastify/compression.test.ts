/** What is compressed, by whom, and for whom: with @fastify/compress, with `compressionEnabled`, with neither. */
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import * as zlib from 'node:zlib'
import compress from '@fastify/compress'
import type { FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import { MemoryStore, systemClock, type CacheManager, type Entry } from 'tidemark'
import { cached, setupCache } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, inMemory, listen, makeApp, type RequestHeaders } from './harness.ts'

const TEXT = Array.from({ length: 500 }, (_, i) => `item ${i}`).join()
/** So large that it is not encoded at once. */
const LARGE = Array.from({ length: 50_000 }, (_, i) => `item ${i}`).join()

interface Received {
  readonly headers: IncomingMessage['headers']
  /** As they came over the wire. */
  readonly bytes: Buffer
  readonly text: string
}

const DECODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: zlib.gunzipSync,
  br: zlib.brotliDecompressSync,
  deflate: zlib.inflateSync,
}

/** Over a connection of its own, decoded as the answer says. */
async function ask(origin: string, headers: RequestHeaders = {}, method = 'GET'): Promise<Received> {
  const [response] = (await once(httpGet(origin, { agent: false, headers, method }), 'response')) as [IncomingMessage]
  const bytes = await buffer(response)
  const decode = DECODERS[response.headers['content-encoding'] ?? '']
  return { headers: response.headers, bytes, text: (decode && bytes.length > 0 ? decode(bytes) : bytes).toString() }
}

/** zlib as the plugin takes it, which counts what it is asked for. */
function countingZlib(): { zlib: typeof zlib; used: () => number } {
  let used = 0
  const counted = Object.fromEntries(
    Object.entries(zlib).map(([name, value]: [string, unknown]) => {
      if (typeof value !== 'function' || !/compress|gzip|deflate/i.test(name)) return [name, value]
      const call = (...args: unknown[]): unknown => {
        used++
        return (value as (...given: unknown[]) => unknown)(...args)
      }
      return [name, call]
    }),
  )
  return { zlib: counted as typeof zlib, used: () => used }
}

/** Fills with an identity client, so that no miss has compressed anything. */
async function fill(origin: string, cache: CacheManager): Promise<void> {
  const filled = nextFill(cache)
  await ask(origin)
  await filled
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  describe.each(['before', 'after'])('with @fastify/compress registered %s the cache', (order) => {
    async function start(
      options: { global?: boolean } = {},
      route: object = {},
    ): Promise<{ app: FastifyInstance; cache: CacheManager; used: () => number }> {
      const cache = caches.create({ clock: new ManualClock() })
      const app = makeApp()
      const counting = countingZlib()
      const register = async (): Promise<unknown> => app.register(compress, { zlib: counting.zlib, ...options })
      if (order === 'before') await register()
      setupCache(app, cache)
      if (order === 'after') await register()
      app.get('/', { ...cached(cache, { ttl: 60 }), ...route }, () => TEXT)
      app.get('/large', { ...cached(cache, { ttl: 60 }), ...route }, () => LARGE)
      app.get('/image', { ...cached(cache, { ttl: 60 }), ...route }, (_request, reply) =>
        reply.type('image/png').send(TEXT),
      )
      return { app, cache, used: counting.used }
    }

    // Attack 37.
    test.each([
      ['gzip', 'gzip'],
      ['br', 'br'],
      ['gzip, deflate, br', 'br'],
      ['br;q=0, gzip', 'gzip'],
      ['br;q=0.1, gzip;q=0.9', 'gzip'],
      ['*', 'br'],
      ['identity', undefined],
      ['br;q=0, gzip;q=0', undefined],
      ['identity;q=0.9, gzip;q=0.1', undefined],
      ['', undefined],
    ])('who accepts %j gets hits in %s, and the plugin does nothing', async (field, coding) => {
      const { app, cache, used } = await start()
      const origin = await listen(app)
      for (const [url, text] of [
        [origin, TEXT],
        [`${origin}/large`, LARGE],
      ] as const) {
        await fill(url, cache)
        for (let i = 0; i < 2; i++) {
          const { headers, text: read, bytes } = await ask(url, { 'accept-encoding': field })
          expect(read).toBe(text)
          expect(headers).toMatchObject({
            'x-cache': 'HIT',
            vary: 'accept-encoding',
            'content-length': String(bytes.length),
            etag: expect.stringMatching(coding === undefined ? /^"/ : /^W\/"/),
          })
          expect(headers['content-encoding']).toBe(coding)
        }
      }
      expect(used()).toBe(0)
    })

    test('fetch reads it', async () => {
      const { app, cache } = await start()
      const origin = await listen(app)
      await fill(origin, cache)
      const answer = await fetch(origin)
      expect([answer.headers.get('x-cache'), answer.headers.get('content-encoding')]).toEqual(['HIT', 'gzip'])
      expect(await answer.text()).toBe(TEXT)
    })

    test('a HEAD has the length that a GET would have (RFC 9110 §9.3.2)', async () => {
      const { app, cache } = await start()
      const origin = await listen(app)
      await fill(origin, cache)
      for (const headers of [{}, { 'accept-encoding': 'gzip' }]) {
        const got = await ask(origin, headers)
        const head = await ask(origin, headers, 'HEAD')
        expect(head.bytes.length).toBe(0)
        const { connection: _, 'keep-alive': __, ...fields } = got.headers
        expect(head.headers).toMatchObject(fields)
      }
    })

    test('on a miss it is the plugin that compresses', async () => {
      const { app, used } = await start()
      const { headers } = await get(app, '/', { 'accept-encoding': 'gzip' })
      expect(headers).toMatchObject({
        'x-cache': 'MISS',
        'content-encoding': 'gzip',
        etag: expect.stringMatching(/^W/),
      })
      expect(used()).toBe(1)
    })

    test('what the plugin alone can do is left to it, with a weak tag', async () => {
      const { app, cache, used } = await start()
      const origin = await listen(app)
      await fill(origin, cache)
      const { headers, text } = await ask(origin, { 'accept-encoding': 'deflate' })
      expect(headers).toMatchObject({ 'x-cache': 'HIT', 'content-encoding': 'deflate' })
      expect(headers.etag).toMatch(/^W\/"/)
      expect([text, used()]).toEqual([TEXT, 1])
    })

    test('an image, and who says x-no-compression, get identity', async () => {
      const { app, cache } = await start()
      const origin = await listen(app)
      await fill(origin, cache)
      await fill(`${origin}/image`, cache)
      const gzip = { 'accept-encoding': 'gzip' }
      const image = await ask(`${origin}/image`, gzip)
      expect([image.headers['x-cache'], image.headers['content-encoding'], image.text]).toEqual([
        'HIT',
        undefined,
        TEXT,
      ])
      expect(image.headers).not.toHaveProperty('vary')
      const plain = await ask(origin, { ...gzip, 'x-no-compression': '1' })
      expect([plain.headers['content-encoding'], plain.text]).toEqual([undefined, TEXT])
    })

    test.each([
      ['a route with compress: false', {}, { compress: false }],
      ['global: false', { global: false }, {}],
    ])('%s is left alone', async (_, options, route) => {
      const { app, cache } = await start(options, route)
      const origin = await listen(app)
      await fill(origin, cache)
      for (const method of ['GET', 'HEAD']) {
        const { headers } = await ask(origin, { 'accept-encoding': 'gzip' }, method)
        expect(headers['x-cache']).toBe('HIT')
        expect(headers).not.toHaveProperty('content-encoding')
        expect(headers).not.toHaveProperty('vary')
      }
    })

    test('Vary of CORS remains beside ours', async () => {
      const { app, cache } = await start()
      app.addHook('onRequest', async (_request, reply) => void reply.header('vary', 'Origin'))
      app.get('/cors', cached(cache, { ttl: 60 }), () => TEXT)
      const origin = await listen(app)
      await fill(`${origin}/cors`, cache)
      for (const headers of [{}, { 'accept-encoding': 'gzip' }]) {
        expect((await ask(`${origin}/cors`, headers)).headers.vary).toBe('Origin, accept-encoding')
      }
    })
  })

  // Attack 38.
  test('what the handler has encoded goes out as it is, to those whose key it is', async () => {
    const cache = caches.create()
    const app = makeApp()
    setupCache(app, cache)
    await app.register(compress)
    const bytes = zlib.gzipSync(TEXT)
    app.get('/', cached(cache, { ttl: 60, vary: ['accept-encoding'] }), (_request, reply) =>
      reply.type('text/plain').header('content-encoding', 'gzip').header('vary', 'Accept-Encoding').send(bytes),
    )
    for (const outcome of ['MISS', 'HIT', 'HIT']) {
      const { headers, rawPayload } = await get(app, '/', { 'accept-encoding': 'gzip, br' })
      expect(headers).toMatchObject({ 'x-cache': outcome, 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
      expect(headers.etag).toMatch(/^"/)
      expect(rawPayload).toEqual(bytes)
    }
  })

  describe.each([
    ['gzip', 'gzip', zlib.gunzipSync],
    ['brotli', 'br', zlib.brotliDecompressSync],
  ] as const)('with compressionEnabled and %s', (algorithm, coding, decode) => {
    async function start(): Promise<{ app: FastifyInstance; cache: CacheManager; origin: string }> {
      const cache = caches.create({ cache: { compressionEnabled: true, compressionAlgorithm: algorithm } })
      const app = makeApp()
      setupCache(app, cache)
      app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
      app.get('/small', cached(cache, { ttl: 60 }), () => 'hello')
      app.get('/large', cached(cache, { ttl: 60 }), () => LARGE)
      app.get('/stream', cached(cache, { ttl: 60 }), (_request, reply) =>
        reply.type('text/plain').send(Readable.from([TEXT, TEXT])),
      )
      app.get('/image', cached(cache, { ttl: 60 }), (_request, reply) => reply.type('image/png').send(TEXT))
      return { app, cache, origin: await listen(app) }
    }

    test.each([
      ['/', TEXT],
      ['/large', LARGE],
      ['/stream', TEXT + TEXT],
    ])('%s is stored so, and goes so to who reads it, decompressed to who does not', async (path, text) => {
      const { cache, origin } = await start()
      const before = cache.getStatistics().bytesWritten
      await fill(origin + path, cache)
      const written = cache.getStatistics().bytesWritten - before
      const encoded = await ask(origin + path, { 'accept-encoding': `${coding}, deflate` })
      expect(encoded.headers).toMatchObject({ 'x-cache': 'HIT', 'content-encoding': coding, vary: 'accept-encoding' })
      expect(decode(encoded.bytes).toString()).toBe(text)
      if (kind === 'Redis') expect(written).toBeLessThan(encoded.bytes.length + 800)
      for (const headers of [{}, { 'accept-encoding': `${coding};q=0` }]) {
        const identity = await ask(origin + path, headers)
        expect(identity.headers).toMatchObject({ 'x-cache': 'HIT', vary: 'accept-encoding' })
        expect(identity.headers).not.toHaveProperty('content-encoding')
        expect(identity.text).toBe(text)
      }
    })

    test('small bodies and images are stored as they are', async () => {
      const { cache, origin } = await start()
      for (const [path, text] of [
        ['/small', 'hello'],
        ['/image', TEXT],
      ]) {
        await fill(origin + path!, cache)
        const { headers, text: read } = await ask(origin + path!, { 'accept-encoding': coding })
        expect(headers['x-cache']).toBe('HIT')
        expect(headers).not.toHaveProperty('content-encoding')
        expect(read).toBe(text)
      }
    })

    test('who waited for a load gets it in what they read', async () => {
      const { app, cache } = await start()
      const asked = ['gzip', 'br', ''].map((field) => get(app, '/large', { 'accept-encoding': field }))
      await expect.poll(() => cache.getStatistics().coalesced + cache.getStatistics().hits).toBeGreaterThanOrEqual(2)
      for (const { headers, rawPayload } of await Promise.all(asked)) {
        const decoder = DECODERS[String(headers['content-encoding'])]
        expect((decoder === undefined ? rawPayload : decoder(rawPayload)).toString()).toBe(LARGE)
      }
    })
  })
})

test('without either, and to whoever asks, hits are in identity and vary by nothing', async () => {
  const cache = inMemory()
  const app = makeApp()
  setupCache(app, cache)
  app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
  await get(app, '/')
  const { headers, body } = await get(app, '/', { 'accept-encoding': 'gzip' })
  expect([headers['x-cache'], headers['content-encoding'], headers.vary, body]).toEqual([
    'HIT',
    undefined,
    undefined,
    TEXT,
  ])
})

/** A store in which somebody else has written. */
class Tampered extends MemoryStore {
  isTampered = false

  override read(id: string, parentId?: string): Entry | undefined {
    const entry = super.read(id, parentId)
    if (this.isTampered && Buffer.isBuffer(entry?.value)) entry.value.fill(0, entry.value.length - 100)
    return entry
  }
}

// Attack 32.
test.each([
  ['small', TEXT],
  ['large', LARGE],
])('a %s body that cannot be decompressed is not sent: the handler runs', async (_, text) => {
  const limits = { maxEntries: 100, maxBytes: 1e7, strategy: 'LRU', stampsMs: 1e9, clock: systemClock } as const
  const store = new Tampered(limits)
  const cache = inMemory({ store, cache: { compressionEnabled: true } })
  const app = makeApp()
  setupCache(app, cache)
  app.get('/', cached(cache, { ttl: 60 }), () => text)
  const filled = nextFill(cache)
  await get(app, '/')
  await filled
  store.isTampered = true
  const { statusCode, headers, body } = await get(app, '/')
  expect([statusCode, body]).toEqual([200, text])
  expect(headers).toMatchObject({ 'x-cache': 'BYPASS', 'cache-status': 'tidemark; fwd=bypass; detail=unreadable' })
  expect(cache.getStatistics().errors).toBe(1)
})
