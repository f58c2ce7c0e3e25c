/**
 * Behind a caching reverse proxy that millions run, which has to understand what we say: what it may keep and for how
 * long, for whom, and how it asks whether it is still right. (nginx reads no `Age`: what it keeps may be older than
 * `max-age` by as much as we had kept it.)
 */
import compress from '@fastify/compress'
import type { FastifyInstance } from 'fastify'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { cached } from 'tidemark/fastify'
import { findNginx } from '../../../scripts/find-nginx.mjs'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { startNginx } from '../../helpers/nginx.ts'
import { nextFill } from '../../http/facts.ts'
import { keepingAlive, type Answer, type Client } from './clients.ts'
import { listen, makeCachedApp, makeGate } from './harness.ts'

const TEXT = Array.from({ length: 500 }, (_, i) => `item ${i}`).join()

/** What nginx has done, what we have done (as nginx keeps it, too), and the body. */
function summary({ headers, body }: Answer): string {
  return `${headers['x-front']} ${headers['x-cache']} ${body}`
}

let missing: string | undefined

// It may have to be unpacked first.
beforeAll(async () => {
  missing = await findNginx().then(
    () => undefined,
    (error: unknown) => (error as Error).message,
  )
}, 180_000)

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  beforeEach(({ skip }) => {
    if (missing !== undefined) skip(missing)
  })

  interface Behind {
    readonly app: FastifyInstance
    readonly cache: CacheManager
    /** Those who ask nginx, and those who ask us. To be called when the routes are there. */
    clients(): Promise<{ readonly front: Client; readonly direct: Client }>
  }

  function start(): Behind {
    const cache = caches.create()
    const app = makeCachedApp(cache, { forceCloseConnections: true })
    return {
      app,
      cache,
      async clients() {
        const origin = await listen(app)
        const nginx = await startNginx(origin)
        onTestFinished(() => nginx.stop())
        return { front: keepingAlive(nginx.url), direct: keepingAlive(origin) }
      },
    }
  }

  test('it keeps what may be kept, hit or miss, and sends it with our tag; HEAD, parts and 304s are made of it', async () => {
    const { app, cache, clients } = start()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('cache-control', 'max-age=3600').send(`run ${++runs}`),
    )
    const { front, direct } = await clients()
    const made = await direct.ask('/')
    const kept = await front.ask('/')
    expect(summary(kept)).toBe('MISS HIT run 1')
    const { etag } = made.headers
    expect(kept.headers).toMatchObject({ etag, age: expect.stringMatching(/^\d+$/) })
    expect(summary(await front.ask('/'))).toBe('HIT HIT run 1')
    expect(await front.ask('/', { headers: { 'if-none-match': etag! } })).toMatchObject({ status: 304, body: '' })
    expect(await front.ask('/', { headers: { range: 'bytes=0-2' } })).toMatchObject({ status: 206, body: 'run' })
    expect(await front.ask('/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
    // It was asked for once, and nginx for all of it.
    expect([runs, cache.getStatistics().hits]).toEqual([1, 1])
  })

  test.each([
    ['nothing', undefined],
    ['no-store', 'no-store'],
    ['private', 'private, max-age=60'],
    ['no-cache', 'no-cache'],
    ['max-age=0', 'max-age=0'],
  ])('what says %s it does not keep, and neither does it what we hit', async (_, control) => {
    const { app, cache, clients } = start()
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => {
      if (control !== undefined) void reply.header('cache-control', control)
      return reply.send('hello')
    })
    const { front } = await clients()
    const ours = control === undefined ? 'HIT' : 'MISS'
    expect([summary(await front.ask('/')), summary(await front.ask('/'))]).toEqual([
      'MISS MISS hello',
      `MISS ${ours} hello`,
    ])
  })

  test('what only we may keep goes no further: Tidemark-Cache-Control', async () => {
    const { app, cache, clients } = start()
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.headers({ 'cache-control': 'no-store', 'tidemark-cache-control': 'max-age=60' }).send('hello'),
    )
    const { front } = await clients()
    const answers = [await front.ask('/'), await front.ask('/')]
    expect(answers.map(summary)).toEqual(['MISS MISS hello', 'MISS HIT hello'])
    for (const { headers } of answers) {
      expect(headers).toMatchObject({ 'cache-control': 'no-store' })
      expect(headers).not.toHaveProperty('tidemark-cache-control')
    }
  })

  test('what it has kept for long enough it has confirmed by our tag, without a run of the handler', async () => {
    const { app, cache, clients } = start()
    let runs = 0
    app.get('/', cached(cache, { ttl: 3600 }), (_request, reply) =>
      reply.headers({ 'cache-control': 'max-age=1', 'tidemark-cache-control': 'max-age=3600' }).send(`run ${++runs}`),
    )
    const { front } = await clients()
    expect(summary(await front.ask('/'))).toBe('MISS MISS run 1')
    let asked: string | undefined
    app.server.on('request', ({ headers }) => (asked = headers['if-none-match']))
    await expect
      .poll(async () => (await front.ask('/')).headers['x-front'], { timeout: 15_000, interval: 50 })
      .toBe('REVALIDATED')
    expect(asked).toMatch(/^".+"$/)
    expect(runs).toBe(1)
  })

  test('codings are kept apart by our Vary, whoever came first', async () => {
    const { app, cache, clients } = start()
    await app.register(compress, { threshold: 100 })
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('cache-control', 'max-age=3600').send(TEXT),
    )
    const { front, direct } = await clients()
    const filled = nextFill(cache)
    await direct.ask('/')
    await filled
    for (const outcome of ['MISS', 'HIT']) {
      const zipped = await front.ask('/', { headers: { 'accept-encoding': 'gzip' } })
      expect(summary(zipped)).toBe(`${outcome} HIT ${TEXT}`)
      expect(zipped.headers).toMatchObject({ 'content-encoding': 'gzip' })
      const plain = await front.ask('/', { headers: { 'accept-encoding': 'identity' } })
      expect(summary(plain)).toBe(`${outcome} HIT ${TEXT}`)
      expect(plain.headers).not.toHaveProperty('content-encoding')
    }
  })

  test('languages are kept apart by the Vary that the handler gave', async () => {
    const { app, cache, clients } = start()
    app.get('/', cached(cache, { ttl: 60, vary: ['accept-language'] }), ({ headers }, reply) =>
      reply
        .headers({ 'cache-control': 'max-age=3600', vary: 'accept-language' })
        .send(`in ${headers['accept-language']}`),
    )
    const { front, direct } = await clients()
    for (const language of ['de', 'fr']) await direct.ask('/', { headers: { 'accept-language': language } })
    for (const outcome of ['MISS', 'HIT']) {
      for (const language of ['de', 'fr']) {
        const answer = await front.ask('/', { headers: { 'accept-language': language } })
        expect(summary(answer)).toBe(`${outcome} HIT in ${language}`)
      }
    }
  })

  test('cookies are given by neither to anybody else', async () => {
    const { app, cache, clients } = start()
    let session = 0
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.headers({ 'cache-control': 'max-age=3600', 'set-cookie': `session=${++session}` }).send('hello'),
    )
    const { front } = await clients()
    const answers = await Promise.all(Array.from({ length: 3 }, () => front.ask('/')))
    expect(new Set(answers.map(({ headers }) => headers['set-cookie'])).size).toBe(3)
  })

  test('fifty who ask it at once are one request to us, and one run of the handler', async () => {
    const { app, cache, clients } = start()
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => {
      runs++
      await gate.opened
      return reply.header('cache-control', 'max-age=3600').send('hello')
    })
    const { front } = await clients()
    const asked = Array.from({ length: 50 }, () => front.ask('/'))
    await expect.poll(() => runs).toBe(1)
    gate.open()
    expect(new Set((await Promise.all(asked)).map(({ body }) => body))).toEqual(new Set(['hello']))
    expect(runs).toBe(1)
  })

  test('a client that goes away does not keep others from what it asked for', async () => {
    const { app, cache, clients } = start()
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => {
      if (++runs === 1) await gate.opened
      return reply.header('cache-control', 'max-age=3600').send('hello')
    })
    const { front } = await clients()
    const gone = new AbortController()
    const first = front.ask('/', { signal: gone.signal }).catch(() => 'gone')
    await expect.poll(() => runs).toBe(1)
    gone.abort()
    expect(await first).toBe('gone')
    const other = front.ask('/')
    gate.open()
    expect((await other).body).toBe('hello')
  })
})
