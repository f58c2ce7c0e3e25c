/** What other hooks do to an answer counts: a header from before the handler, one from after it, a failure after it. */
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cacheBusting, cached } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inMemory, inTurn, makeCachedApp, summary } from './harness.ts'

async function fail(): Promise<never> {
  throw new Error('no')
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test.each(['Cookie', '*', 'Accept-Language'])('a Vary: %s from before the handler is not shared', async (vary) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.addHook('onRequest', async (_request, reply) => void reply.header('vary', vary))
    app.get('/', cached(cache, { ttl: 60 }), async (request) => ({ for: request.headers.cookie }))
    await get(app, '/', { cookie: 'sid=alice' })
    expect(summary(await get(app, '/', { cookie: 'sid=bob' }))).toBe('MISS {"for":"sid=bob"}')
  })

  test.each([
    ['cache-control', 'private'],
    ['cache-control', 'no-store'],
    ['set-cookie', 'a=1'],
    ['vary', 'cookie'],
  ])('a %s: %s from a later onSend hook keeps the answer out, and says so', async (name, value) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    const onSend = async (
      _request: unknown,
      reply: { header(name: string, value: string): unknown },
    ): Promise<void> => {
      reply.header(name, value)
    }
    app.get('/', { ...cached(cache, { ttl: 60 }), onSend }, async () => `run ${++runs}`)
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 1', 'MISS run 2'])
    expect((await get(app, '/')).headers['cache-status']).toMatch(/detail=/)
  })

  test.each([
    ['private', (reply: FastifyReply) => reply.header('cache-control', 'private')],
    ['a cookie', (reply: FastifyReply) => reply.header('set-cookie', 'a=1')],
    ['403', (reply: FastifyReply) => reply.code(403)],
  ])('%s from a later onSend hook keeps a stream out that has ended before it', async (_what, turn) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    const onSend = async (_request: unknown, reply: FastifyReply, payload: unknown): Promise<unknown> => {
      const bytes = await buffer(payload as Readable)
      turn(reply)
      return Readable.from([bytes])
    }
    const delayed = async (_request: unknown, reply: FastifyReply): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      turn(reply)
    }
    app.get('/', { ...cached(cache, { ttl: 60 }), onSend }, async () => Readable.from([`run ${++runs}`]))
    app.get('/delayed', { ...cached(cache, { ttl: 60 }), onSend: delayed }, async () =>
      Readable.from([`run ${++runs}`]),
    )
    expect(await inTurn(app, ['/', '/', '/delayed', '/delayed'])).toEqual([1, 2, 3, 4].map((run) => `MISS run ${run}`))
  })

  describe('a hook that writes into the payload in place', () => {
    const stamp = async (request: FastifyRequest, _reply: unknown, payload: unknown): Promise<unknown> => {
      if (Buffer.isBuffer(payload)) payload.write(String(request.headers['x-nonce']), payload.indexOf('@@@@@'))
      return payload
    }
    const page = 'nonce=@@@@@'

    test.each([
      ['a buffer', () => Buffer.from(page)],
      ['a string', () => page],
      ['a stream', () => Readable.from([Buffer.from(page)])],
    ])('writes for its own client only: %s', async (_what, make) => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      app.get('/', { ...cached(cache, { ttl: 60 }), onSend: stamp }, (_request, reply) =>
        reply.type('text/plain').send(make()),
      )
      await get(app, '/', { 'x-nonce': 'first' })
      for (const nonce of ['alice', 'bobby', 'carol'])
        expect(summary(await get(app, '/', { 'x-nonce': nonce }))).toBe(`HIT nonce=${nonce}`)
    })

    test('so does a hook of the application on hits', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      app.addHook('onSend', stamp)
      app.get('/', cached(cache, { ttl: 60 }), () => page)
      await get(app, '/')
      for (const nonce of ['alice', 'bobby'])
        expect(summary(await get(app, '/', { 'x-nonce': nonce }))).toBe(`HIT nonce=${nonce}`)
    })
  })

  test('a name that is stored nothing under is not there', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, key: 'me' }), async (_request, reply) =>
      reply.header('cache-control', 'no-store').send('x'),
    )
    await get(app, '/')
    expect(await cache.exists('me')).toBe(0)
    expect(await cache.ttl('me')).toBeUndefined()
    expect(await cache.delete('me')).toBe(0)
  })

  test('a name is there as long as what is stored under it', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, swr: 600, grace: 6000, key: 'me' }), async () => 'x')
    await get(app, '/')
    await expect.poll(() => cache.exists('me')).toBe(1)
    expect(await cache.ttl('me')).toBeGreaterThan(50)
    expect(await cache.ttl('me')).toBeLessThanOrEqual(60)
  })

  test.each([
    ['its answer cannot be serialized', { preSerialization: fail }],
    ['a later hook fails', { onSend: fail }],
  ])('a write that succeeded busts although %s', async (_why, hooks) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60, key: 'list' }), async () => `run ${++runs}`)
    app.post('/', { ...hooks, ...cacheBusting(cache, { keys: 'list' }) }, async () => ({ ok: true }))
    await inTurn(app, ['/'])
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(500)
    await expect.poll(async () => summary(await get(app, '/'))).toContain('run 2')
  })

  test('a write that answers by hand busts', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60, key: 'list' }), async () => `run ${++runs}`)
    app.post('/', cacheBusting(cache, { keys: 'list' }), async (_request, reply) => {
      reply.hijack()
      reply.raw.end('done')
    })
    await inTurn(app, ['/'])
    await app.inject({ method: 'POST', url: '/' })
    await expect.poll(async () => summary(await get(app, '/'))).toContain('run 2')
  })

  test('a route may leave HEAD out, though Fastify makes one of it', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, methods: ['GET'] }), async () => 'x')
    await get(app, '/')
    expect((await app.inject({ method: 'HEAD', url: '/' })).headers).not.toHaveProperty('cache-status')
    expect(summary(await get(app, '/'))).toBe('HIT x')
  })

  test('a cached route that answers neither GET nor HEAD is refused', () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    expect(() => app.post('/', cached(cache, { ttl: 60 }), async () => 1)).toThrow(/cache options of POST \//)
  })
})

test('where no other hook sees them, stored bytes are sent without a copy', async () => {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  const sent: unknown[] = []
  app.addHook('onRequest', async (_request, reply) => {
    const end = reply.raw.end.bind(reply.raw) as (...given: unknown[]) => ServerResponse
    reply.raw.end = (...given: unknown[]) => {
      sent.push(given[0])
      return end(...given)
    }
  })
  app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
  app.get('/seen', { ...cached(cache, { ttl: 60 }), onSend: async () => undefined }, () => 'hello')
  for (const [url, isSame] of [
    ['/', true],
    ['/seen', false],
  ] as const) {
    await get(app, url)
    sent.length = 0
    expect(await inTurn(app, [url, url])).toEqual(['HIT hello', 'HIT hello'])
    expect(sent).toEqual([Buffer.from('hello'), Buffer.from('hello')])
    expect(sent[0] === sent[1]).toBe(isSame)
  }
})

test('a plugin that wraps the hooks of routes does not make a request wait for itself', async () => {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  app.addHook('onRoute', (route) => {
    const wrap = (hooks: unknown): unknown =>
      Array.isArray(hooks)
        ? hooks.map((hook: (...args: unknown[]) => unknown) => {
            return function wrapped(this: unknown, ...args: unknown[]) {
              return hook.apply(this, args)
            }
          })
        : hooks
    Object.assign(route, { preHandler: wrap(route.preHandler), onSend: wrap(route.onSend) })
  })
  let runs = 0
  app.get('/', cached(cache, { ttl: 60 }), async () => `run ${++runs}`)
  expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 1', 'HIT run 1'])
})
