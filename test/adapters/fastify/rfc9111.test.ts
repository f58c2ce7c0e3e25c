/** `policy: 'rfc9111'` where a handler, other requests or the client's wishes could lead to somebody else's answer. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import { CacheException, createCache, MemoryStore, systemClock, type CacheManager } from 'tidemark'
import { cached, type CacheRouteOptions } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { fillWith, get, makeCachedApp, makeGate, silent, summary, type RequestHeaders } from './harness.ts'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  interface Started {
    readonly app: FastifyInstance
    readonly cache: CacheManager
    readonly clock: ManualClock
    /** Asks, and waits until the answer is stored. */
    readonly fill: (headers?: RequestHeaders) => Promise<string>
  }

  function start(handler: Handler, options: Partial<CacheRouteOptions> = {}): Started {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { policy: 'rfc9111', ...options }), async (request, reply) => handler(request, reply))
    return {
      app,
      cache,
      clock,
      fill: (headers) => fillWith(cache, () => get(app, '/', headers)),
    }
  }

  describe('Vary', () => {
    test('is by the fields that came, whatever the handler does to them', async () => {
      const { app, fill } = start(({ headers }, reply) => {
        const who = String(headers.cookie)
        delete headers.cookie
        headers['x-mine'] = '1'
        return reply.headers({ vary: 'cookie, x-mine', 'cache-control': 'max-age=60' }).send(who)
      })
      expect(await fill({ cookie: 'alice' })).toBe('MISS alice')
      expect(summary(await get(app, '/', { cookie: 'alice' }))).toBe('HIT alice')
      expect(summary(await get(app, '/'))).toBe('MISS undefined')
      expect(summary(await get(app, '/', { 'x-mine': '1' }))).toBe('MISS undefined')
    })

    test('those who wait for one variant run the handler for theirs, and share it with their like', async () => {
      const gate = makeGate()
      let runs = 0
      const { app, cache } = start(async ({ headers }, reply) => {
        runs++
        await gate.opened
        return reply.headers({ vary: 'cookie', 'cache-control': 'max-age=60' }).send(headers.cookie)
      })
      const people = Array.from({ length: 30 }, (_, i) => `user ${i % 3}`)
      const answers = people.map((cookie) => get(app, '/', { cookie }))
      await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(29)
      gate.open()
      expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(people)
      expect(runs).toBe(3)
    })

    test('a refresh behind bears what the response varies by, and nobody’s credentials', async () => {
      const seen: unknown[] = []
      const { app, clock, cache, fill } = start(({ headers }, reply) => {
        seen.push([headers['accept-language'], headers.authorization])
        const vary = headers['x-vary'] ?? 'accept-language'
        return reply
          .headers({ vary, 'cache-control': 'public, max-age=10, stale-while-revalidate=100' })
          .send(`${seen.length}`)
      })
      const german = { 'accept-language': 'de', authorization: 'alice' }
      await fill(german)
      clock.advance(20)
      const filled = nextFill(cache)
      expect(summary(await get(app, '/', german))).toBe('STALE 1')
      await filled
      expect(seen).toEqual([
        ['de', 'alice'],
        ['de', undefined],
      ])
    })

    test('by Authorization nothing is refreshed behind: it is loaded in front', async () => {
      let runs = 0
      const { app, clock, fill } = start(({ headers }, reply) => {
        runs++
        const control = 'public, max-age=10, stale-while-revalidate=100'
        return reply.headers({ vary: 'authorization', 'cache-control': control }).send(String(headers.authorization))
      })
      const alice = { authorization: 'alice' }
      await fill(alice)
      clock.advance(20)
      expect(summary(await get(app, '/', alice))).toBe('STALE alice')
      await expect.poll(async () => summary(await get(app, '/', alice))).toBe('MISS alice')
      expect(runs).toBe(2)
    })
  })

  describe('a client’s wishes', () => {
    const control = (field: string): RequestHeaders => ({ 'cache-control': field })

    test('are kept within stale-while-revalidate, too', async () => {
      let runs = 0
      const { clock, fill, app } = start((_request, reply) =>
        reply.header('cache-control', 'max-age=10, stale-while-revalidate=100').send(`${++runs}`),
      )
      await fill()
      clock.advance(20)
      expect(summary(await get(app, '/', control('max-age=30')))).toBe('STALE 1')
      await expect.poll(async () => summary(await get(app, '/'))).toBe('HIT 2')
      clock.advance(20)
      expect(await fill(control('min-fresh=1'))).toBe('MISS 3')
      clock.advance(20)
      expect(await fill(control('max-age=19'))).toBe('MISS 4')
    })

    test('max-age=0 is a wish for confirmation, however young the answer is', async () => {
      let runs = 0
      const { app, fill } = start((_request, reply) => reply.header('cache-control', 'max-age=60').send(`${++runs}`))
      await fill()
      const { headers, body } = await get(app, '/', control('max-age=0'))
      expect([body, headers['cache-status']]).toEqual(['2', 'tidemark; fwd=request; stored'])
    })

    test('no-cache is not given what somebody else had begun to load before', async () => {
      const gate = makeGate()
      let runs = 0
      const { app, cache } = start(async (_request, reply) => {
        const run = ++runs
        if (run === 1) await gate.opened
        return reply.header('cache-control', 'max-age=60').send(`${run}`)
      })
      const first = get(app, '/')
      await expect.poll(() => cache.getStatistics().loads).toBe(1)
      expect((await get(app, '/', control('no-cache'))).body).toBe('2')
      expect(cache.getStatistics().coalesced).toBe(0)
      gate.open()
      expect((await first).body).toBe('1')
    })

    test('max-age is not given what was older when it came', async () => {
      const gate = makeGate()
      let runs = 0
      const { app, cache } = start(async (_request, reply) => {
        const run = ++runs
        await gate.opened
        return reply.headers({ 'cache-control': 'max-age=600', age: run === 1 ? '100' : '0' }).send(`${run}`)
      })
      const answers = [get(app, '/'), get(app, '/', control('max-age=50')), get(app, '/', control('max-age=200'))]
      await expect.poll(() => cache.getStatistics().coalesced).toBe(2)
      gate.open()
      const all = await Promise.all(answers)
      expect(all.map(({ body, headers }) => `${body} ${String(headers['cache-status'])}`)).toEqual([
        '1 tidemark; fwd=uri-miss; stored',
        '2 tidemark; fwd=uri-miss; stored',
        '1 tidemark; fwd=uri-miss; collapsed; ttl=500',
      ])
    })
  })

  test('what has to be confirmed each time is confirmed for all at once, not for one behind the other', async () => {
    const all = makeGate()
    let runs = 0
    const { app, fill } = start(async (request, reply) => {
      reply.headers({ 'cache-control': 'no-cache', etag: '"a"' })
      if (++runs === 1) return reply.send('hello')
      if (runs === 11) all.open()
      await all.opened
      return request.cache.previous?.etag === '"a"' ? reply.notModified() : reply.send('again')
    })
    await fill()
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(app, '/')))
    expect(answers.map(({ body }) => body)).toEqual(Array(10).fill('hello'))
    expect(runs).toBe(11)
  })

  test('Cache-Status says why the handler ran (RFC 9211)', async () => {
    const gate = makeGate()
    const { app, cache, clock } = start(async (_request, reply) => {
      await gate.opened
      return reply.headers({ vary: 'foo', 'cache-control': 'max-age=60' }).send('hello')
    })
    const status = async (headers: RequestHeaders): Promise<unknown> =>
      (await get(app, '/', headers)).headers['cache-status']
    const together = [status({ foo: '1' }), status({ foo: '1' })]
    await expect.poll(() => cache.getStatistics().coalesced).toBe(1)
    gate.open()
    expect(await Promise.all(together)).toEqual([
      'tidemark; fwd=uri-miss; stored',
      'tidemark; fwd=uri-miss; collapsed; ttl=60',
    ])
    await expect.poll(() => status({ foo: '1' })).toBe('tidemark; hit; ttl=60')
    const filled = nextFill(cache)
    expect(await status({ foo: '2' })).toBe('tidemark; fwd=vary-miss; stored')
    await filled
    expect(await status({ foo: '1', 'cache-control': 'no-store' })).toBe(
      'tidemark; fwd=request; detail=request-no-store',
    )
    clock.advance(60)
    expect(await status({ foo: '1', 'cache-control': 'only-if-cached' })).toBe('tidemark; detail=only-if-cached')
    expect(await status({ foo: '1' })).toBe('tidemark; fwd=stale; stored')
  })
})

test('a learnt Vary that cannot be stored is told with the key, and nothing of what was found', async () => {
  const limits = { maxEntries: 1000, maxBytes: 1e6, strategy: 'LRU', stampsMs: 1e9 } as const
  const store = new MemoryStore({ ...limits, clock: systemClock })
  const fault = new CacheException('the store takes no notes')
  store.set = () => {
    throw fault
  }
  const cache = createCache({ store, logger: silent })
  const told: unknown[] = []
  cache.on('error', (event) => void told.push(event))
  const app = makeCachedApp(cache)
  app.get('/', cached(cache, { policy: 'rfc9111' }), (_request, reply) =>
    reply.headers({ 'cache-control': 'max-age=60', vary: 'x-tenant' }).send('secret'),
  )
  await get(app, '/')
  await expect.poll(() => told).toEqual([{ error: fault, key: '/', namespace: '' }])
})
