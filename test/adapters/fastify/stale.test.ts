/** Past its ttl: refreshed behind (`swr`), or standing in for a handler that fails (`grace`). */
import { AsyncLocalStorage } from 'node:async_hooks'
import { connect } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { cached, rateLimit, type CacheRouteOptions } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { fillWith, get, inTurn, listen, makeCachedApp, makeGate, summary, type RequestHeaders } from './harness.ts'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  interface Started {
    readonly app: FastifyInstance
    readonly cache: CacheManager
    readonly clock: ManualClock
    readonly add: (url: string, options: Partial<CacheRouteOptions>, handler: Handler) => void
    /** Asks, and waits until the answer is stored. */
    readonly fill: (url: string, headers?: RequestHeaders) => Promise<string>
  }
  type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

  function start(): Started {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    return {
      app,
      cache,
      clock,
      add: (url, options, handler) =>
        void app.get(url, cached(cache, { ttl: 60, ...options }), async (q, r) => handler(q, r)),
      fill: (url, headers) => fillWith(cache, () => get(app, url, headers)),
    }
  }

  describe('swr', () => {
    test('refreshes a route of one version among others', async () => {
      const { app, cache, clock } = start()
      let runs = 0
      for (const version of ['1.0.0', '2.0.0']) {
        const options = { ...cached(cache, { ttl: 60, swr: 60 }), constraints: { version } }
        app.get('/versions', options, async () => `${version} run ${++runs}`)
      }
      const ask = (): Promise<string> => get(app, '/versions', { 'accept-version': '2.0.0' }).then(summary)
      expect(await fillWith(cache, () => get(app, '/versions', { 'accept-version': '2.0.0' }))).toBe('MISS 2.0.0 run 1')
      clock.advance(61)
      const refreshed = nextFill(cache)
      expect(await ask()).toBe('STALE 2.0.0 run 1')
      await refreshed
      expect(await ask()).toBe('HIT 2.0.0 run 2')
    })

    test('answers STALE at once while one refresh runs behind, then HIT with what it made', async () => {
      const { app, cache, clock, add, fill } = start()
      const gate = makeGate()
      let runs = 0
      add('/', { swr: 30 }, async () => {
        if (++runs > 1) await gate.opened
        return `run ${runs}`
      })
      await fill('/')
      clock.advance(70)
      const stale = await Promise.all(Array.from({ length: 20 }, () => get(app, '/')))
      expect(new Set(stale.map(summary))).toEqual(new Set(['STALE run 1']))
      expect(stale[0]!.headers).toMatchObject({ age: '70', 'cache-status': 'tidemark; hit; ttl=-10' })
      await expect.poll(() => runs).toBe(2)
      const filled = nextFill(cache)
      gate.open()
      await filled
      expect(await inTurn(app, ['/', '/'])).toEqual(['HIT run 2', 'HIT run 2'])
      expect(runs).toBe(2)
    })

    test('the refresh bears the headers that are in the key, and neither Authorization nor Cookie', async () => {
      const { app, cache, clock, add, fill } = start()
      const seen: RequestHeaders[] = []
      add('/', { swr: 30, vary: ['accept-language'] }, ({ headers }, reply) => {
        seen.push(headers as RequestHeaders)
        return reply.header('cache-control', 'public').send(`in ${headers['accept-language'] ?? 'none'}`)
      })
      const headers = { 'accept-language': 'de', host: 'app.test' }
      await fill('/', headers)
      clock.advance(70)
      const filled = nextFill(cache)
      const secrets = { authorization: 'alice', cookie: 'a=1', 'x-secret': '1', 'user-agent': 'alice’s' }
      expect(summary(await get(app, '/', { ...headers, ...secrets }))).toBe('STALE in de')
      await filled
      expect(seen).toHaveLength(2)
      expect(seen[1]).toMatchObject(headers)
      for (const name of ['authorization', 'cookie', 'x-secret']) expect(seen[1]).not.toHaveProperty(name)
      expect(summary(await get(app, '/', headers))).toBe('HIT in de')
    })

    test('the refresh does not run in the asynchronous context of whoever was answered', async () => {
      const { app, clock, cache, add, fill } = start()
      const who = new AsyncLocalStorage<string>()
      app.addHook('onRequest', (request, _reply, done) => {
        const { cookie } = request.headers
        if (cookie === undefined) done()
        else who.run(cookie, done)
      })
      add('/', { swr: 30 }, () => `for ${who.getStore() ?? 'nobody'}`)
      await fill('/')
      clock.advance(70)
      const filled = nextFill(cache)
      expect(summary(await get(app, '/', { cookie: 'alice' }))).toBe('STALE for nobody')
      await filled
      expect(summary(await get(app, '/'))).toBe('HIT for nobody')
    })

    test('no header of a client makes its request a refresh', async () => {
      const { app, clock, add, fill } = start()
      let runs = 0
      add('/', { swr: 30 }, () => `run ${++runs}`)
      await fill('/')
      const forged = [
        'x-tidemark-refresh',
        'tidemark-refresh',
        'x-refresh',
        'tidemark',
        'x-cache',
        'cache-status',
        'x-tidemark',
      ]
      for (const name of forged) expect(summary(await get(app, '/', { [name]: '1' }))).toBe('HIT run 1')
      expect(runs).toBe(1)
      clock.advance(70)
    })

    test('a refresh is exempt from the limiter, wherever that stands, and clients are not', async () => {
      for (const count of ['hits', 'misses'] as const) {
        const { app, cache, clock } = start()
        let runs = 0
        const limit = rateLimit(cache, '2/hour', { count, name: count })
        app.get('/', { ...limit, ...cached(cache, { ttl: 60, swr: 30 }) }, () => `run ${++runs}`)
        const filled = nextFill(cache)
        expect((await get(app, '/')).headers['x-ratelimit-remaining']).toBe('1')
        await filled
        clock.advance(70)
        const refreshed = nextFill(cache)
        expect(summary(await get(app, '/'))).toBe('STALE run 1')
        await refreshed
        const left = (await get(app, '/other?a')).statusCode
        expect(left).toBe(404)
        const after = await get(app, '/')
        // Of three requests none was the refresh: two hits count, or one miss does.
        expect(after.statusCode).toBe(count === 'hits' ? 429 : 200)
        if (count === 'misses') expect(summary(after)).toBe('HIT run 2')
      }
    })

    test('a refresh that fails leaves what is stored, within swr', async () => {
      const { app, cache, clock, add, fill } = start()
      let runs = 0
      add('/', { swr: 30 }, () => {
        if (++runs > 1) throw new Error('out of order')
        return 'well'
      })
      await fill('/')
      clock.advance(70)
      expect(await inTurn(app, ['/'])).toEqual(['STALE well'])
      await expect.poll(() => cache.getStatistics().loads).toBe(2)
      expect(await inTurn(app, ['/', '/'])).toEqual(['STALE well', 'STALE well'])
      expect(runs, 'it is not tried again at once').toBe(2)
      clock.advance(21)
      expect((await get(app, '/')).statusCode).toBe(500)
    })

    test('a stream is refreshed too, and a HEAD refreshes', async () => {
      const { app, cache, clock, add, fill } = start()
      let runs = 0
      add('/', { swr: 30 }, () => Readable.from([`run ${++runs}`]))
      await fill('/')
      clock.advance(70)
      const filled = nextFill(cache)
      expect((await app.inject({ method: 'HEAD', url: '/' })).headers['x-cache']).toBe('STALE')
      await filled
      expect(await inTurn(app, ['/'])).toEqual(['HIT run 2'])
    })

    test('a refresh asks by the scheme and the host that are in the key', async () => {
      const clock = new ManualClock()
      const cache = caches.create({ clock })
      const app = makeCachedApp(cache, { trustProxy: true })
      let runs = 0
      app.get('/', cached(cache, { ttl: 60, swr: 30 }), ({ protocol, host }) => `${protocol}://${host} ${++runs}`)
      const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'app.test' }
      for (let i = 0; i < 2; i++) {
        const filled = nextFill(cache)
        await get(app, '/', headers)
        await filled
        clock.advance(70)
      }
      expect(summary(await get(app, '/', headers))).toBe('STALE https://app.test 2')
    })

    test('a response is not refreshed with what is somebody else’s: a key made of what a refresh does not bear', async () => {
      const { app, cache, clock, add, fill } = start()
      let runs = 0
      const key = ({ headers }: FastifyRequest): string => `for ${String(headers.cookie)}`
      add('/', { swr: 30, key }, ({ headers }) => `for ${String(headers.cookie)}, run ${++runs}`)
      await fill('/', { cookie: 'alice' })
      clock.advance(70)
      expect(summary(await get(app, '/', { cookie: 'alice' }))).toBe('STALE for alice, run 1')
      // It cannot be refreshed behind, so it is loaded in front.
      await expect.poll(async () => summary(await get(app, '/', { cookie: 'alice' }))).toBe('MISS for alice, run 2')
      expect(cache.getStatistics().loads).toBe(3)
      expect(summary(await get(app, '/', { cookie: 'alice' }))).toBe('HIT for alice, run 2')
    })

    test('a user’s response is loaded in front, for that user', async () => {
      const { app, clock, add, fill } = start()
      let runs = 0
      const user = ({ headers }: FastifyRequest): string | undefined => headers['x-user'] as string | undefined
      add('/', { swr: 30, user }, (request) => `for ${String(user(request))}, run ${++runs}`)
      await fill('/', { 'x-user': 'alice' })
      clock.advance(70)
      expect(summary(await get(app, '/', { 'x-user': 'alice' }))).toBe('MISS for alice, run 2')
    })

    test('a route behind authentication is not refreshed without it, but by the next who has it', async () => {
      const { app, clock, add, fill } = start()
      app.addHook('onRequest', async ({ headers }, reply) =>
        headers['x-token'] === 'good' ? undefined : reply.code(401).send('no'),
      )
      let runs = 0
      add('/', { swr: 30 }, () => `run ${++runs}`)
      const headers = { 'x-token': 'good' }
      await fill('/', headers)
      clock.advance(70)
      expect(summary(await get(app, '/', headers))).toBe('STALE run 1')
      await expect.poll(async () => summary(await get(app, '/', headers))).toBe('MISS run 2')
      expect((await get(app, '/')).statusCode).toBe(401)
    })

    test('what a hook asks on its way is no refresh of what it asks', async () => {
      const { app, cache, clock, add, fill } = start()
      const swr = { swr: 30 }
      const asked: number[] = []
      app.addHook('onRequest', async (request) => {
        if (request.url === '/') asked.push((await app.inject('/session')).statusCode)
      })
      let runs = 0
      add('/session', swr, () => 'a session')
      add('/', swr, async () => {
        await app.inject('/session')
        return `run ${++runs}`
      })
      await get(app, '/session')
      await fill('/')
      clock.advance(70)
      const filled = nextFill(cache)
      expect(await inTurn(app, ['/'])).toEqual(['STALE run 1'])
      await filled
      await expect.poll(() => inTurn(app, ['/'])).toEqual(['HIT run 2'])
      expect(await inTurn(app, ['/session'])).toEqual([expect.stringMatching(/ a session$/)])
      expect(new Set(asked)).toEqual(new Set([200]))
    })

    test.each([
      '/files/%2e%2e/secret',
      '/files/../secret',
      '/files/..%5csecret/..',
      '/files/%2E%2E/%2e%2e/secret',
      '/files//x',
      '/files/a\\..\\..\\secret',
    ])('a path is refreshed as it is, or not at all: %s', async (path) => {
      const { app, cache, clock, add } = start()
      let secrets = 0
      add('/secret', {}, () => `secret ${++secrets}`)
      add('/files/*', { swr: 30 }, ({ url }) => `file ${url}`)
      const origin = await listen(app)
      const filled = nextFill(cache)
      expect(await askRaw(origin, path)).toContain(`file ${path}`)
      await filled
      clock.advance(70)
      const loads = cache.getStatistics().loads
      expect(await askRaw(origin, path)).toContain(`file ${path}`)
      await expect.poll(() => cache.getStatistics().loads).toBe(loads + 1)
      expect(secrets).toBe(0)
    })
  })

  describe('grace', () => {
    test.each([
      ['grace', { grace: 30 }, 'the handler of / answered 503'],
      ['swr', { swr: 30 }, 'the handler of / failed'],
    ] as const)('%s: a handler that fails is told of: nobody else hears of it', async (_, options, message) => {
      const { app, cache, clock, add, fill } = start()
      const told: string[] = []
      cache.on('error', ({ error, key }) => void told.push(`${String(key)}: ${(error as Error).message}`))
      let isWell = true
      add('/', options, (_request, reply) => (isWell ? 'well' : reply.code(503).send('no')))
      await fill('/')
      isWell = false
      clock.advance(61)
      expect(summary(await get(app, '/'))).toBe('STALE well')
      await expect.poll(() => told).toEqual([`/: ${message}`])
      expect(cache.getStatistics().errors).toBe(1)
    })

    const fails: readonly (readonly [string, Handler])[] = [
      ['throws', () => Promise.reject(new Error('out of order'))],
      [
        'answers 5xx',
        (_request, reply) => reply.code(503).header('retry-after', '9').header('x-failed', '1').send('no'),
      ],
      ['answers a Response with 5xx', () => new Response('no', { status: 502, headers: { 'x-failed': '1' } })],
      [
        'answers a stream with 5xx',
        (_request, reply) =>
          reply
            .code(500)
            .type('text/html')
            .send(Readable.from(['no'])),
      ],
      [
        'answers a stream that fails before its first byte',
        () =>
          new Readable({
            read() {
              this.destroy(new Error('no'))
            },
          }),
      ],
      [
        'cannot be serialized',
        () => ({
          toJSON: () => {
            throw new Error('no')
          },
        }),
      ],
    ]

    test.each(fails)('a stale response stands in for a handler that %s', async (_, fail) => {
      const { app, clock, add, fill } = start()
      let isWell = true
      app.addHook('onRequest', async (_request, reply) => void reply.header('x-from', 'hook'))
      add('/', { grace: 30 }, (request, reply) =>
        isWell ? reply.header('x-page', '3').send('well') : fail(request, reply),
      )
      await fill('/')
      isWell = false
      clock.advance(70)
      for (let i = 0; i < 2; i++) {
        const answer = await get(app, '/')
        expect([answer.statusCode, summary(answer)]).toEqual([200, 'STALE well'])
        expect(answer.headers).toMatchObject({ 'x-page': '3', 'x-from': 'hook', age: '70', 'content-length': '4' })
        expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
        expect(answer.headers).not.toHaveProperty('x-failed')
        expect(answer.headers).not.toHaveProperty('retry-after')
      }
      isWell = true
      expect(await inTurn(app, ['/', '/'])).toEqual(['MISS well', 'HIT well'])
    })

    test('a stream that nobody will read is closed', async () => {
      const { app, clock, add, fill } = start()
      const failing = [new PassThrough(), new ReadableStream({ cancel: () => void (isCancelled = true) })]
      let isCancelled = false
      let isWell = true
      add('/', { grace: 30 }, (_request, reply) => (isWell ? 'well' : reply.code(500).send(failing.shift())))
      await fill('/')
      isWell = false
      clock.advance(70)
      const [stream] = failing
      expect(await inTurn(app, ['/', '/'])).toEqual(['STALE well', 'STALE well'])
      expect([(stream as PassThrough).destroyed, isCancelled]).toEqual([true, true])
    })

    test('an empty stale response stands in as well', async () => {
      const { app, clock, add, fill } = start()
      let isWell = true
      add('/', { grace: 30 }, (_request, reply) => (isWell ? reply.code(410).send() : reply.code(500).send('no')))
      await fill('/')
      isWell = false
      clock.advance(70)
      const answer = await get(app, '/')
      expect([answer.statusCode, summary(answer), answer.headers['content-length']]).toEqual([410, 'STALE ', '0'])
      expect(answer.headers).not.toHaveProperty('content-type')
    })

    test('for everybody who waited, with one run of the handler', async () => {
      const { app, cache, clock, add, fill } = start()
      const gate = makeGate()
      let runs = 0
      add('/', { grace: 30 }, async () => {
        if (++runs === 1) return 'well'
        await gate.opened
        throw new Error('out of order')
      })
      await fill('/')
      clock.advance(70)
      const answers = Array.from({ length: 20 }, () => get(app, '/'))
      await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(19)
      gate.open()
      expect(new Set((await Promise.all(answers)).map(summary))).toEqual(new Set(['STALE well']))
      expect(runs).toBe(2)
    })

    test('not for a 4xx, which is an answer', async () => {
      const { app, clock, add, fill } = start()
      let runs = 0
      add('/', { grace: 30 }, (_request, reply) => (++runs === 1 ? 'well' : reply.code(400).send('no')))
      await fill('/')
      clock.advance(70)
      expect(await inTurn(app, ['/'])).toEqual(['MISS no'])
    })

    test('not beyond it, and not if the response must be revalidated', async () => {
      const { app, clock, add, fill } = start()
      let isWell = true
      const handler: Handler = (request, reply) => {
        if (!isWell) throw new Error('out of order')
        return reply.header('cache-control', request.url === '/strict' ? 'must-revalidate' : 'max-age=60').send('well')
      }
      add('/', { grace: 30 }, handler)
      add('/strict', { grace: 30, swr: 30 }, handler)
      await fill('/')
      await fill('/strict')
      isWell = false
      clock.advance(70)
      expect((await get(app, '/strict')).statusCode).toBe(500)
      clock.advance(21)
      expect((await get(app, '/')).statusCode).toBe(500)
    })
  })

  describe('allowRefresh', () => {
    const noCache = { 'cache-control': 'no-cache' }

    test('without it a client cannot make the handler run', async () => {
      const { app, clock, add, fill } = start()
      let runs = 0
      add('/', {}, () => `run ${++runs}`)
      await fill('/')
      clock.advance(10)
      for (const headers of [noCache, { pragma: 'no-cache' }, { 'cache-control': 'max-age=0, no-store' }]) {
        expect(summary(await get(app, '/', headers))).toBe('HIT run 1')
      }
    })

    test('with it one may, at most once a second', async () => {
      const { app, clock, add, fill } = start()
      let runs = 0
      add('/', { allowRefresh: ({ headers }) => headers['x-editor'] === '1' }, () => `run ${++runs}`)
      await fill('/')
      clock.advance(10)
      expect(summary(await get(app, '/', noCache))).toBe('HIT run 1')
      const refreshed = await get(app, '/', { ...noCache, 'x-editor': '1' })
      expect(summary(refreshed)).toBe('MISS run 2')
      expect(refreshed.headers['cache-status']).toBe('tidemark; fwd=request; stored')
      expect(summary(await get(app, '/', { ...noCache, 'x-editor': '1' }))).toBe('HIT run 2')
    })
  })
})

/** A request whose target goes out as it is given. */
async function askRaw(origin: string, path: string): Promise<string> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  return Buffer.concat(await socket.toArray()).toString()
}
