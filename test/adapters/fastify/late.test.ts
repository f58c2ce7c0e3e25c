/** A handler that is late (`softTimeout`): what is in its grace is the answer, and the handler goes on behind. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, test } from 'vitest'
import type { CacheEvents, CacheManager } from 'tidemark'
import { cached, type CacheRouteOptions } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { fillWith, get, inTurn, makeCachedApp, makeGate, summary, type Gate, type RequestHeaders } from './harness.ts'

/** Longer than any test takes. */
const NEVER = 600

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  interface Started {
    readonly app: FastifyInstance
    readonly cache: CacheManager
    readonly clock: ManualClock
    /** What holds up every run but the first. */
    readonly gate: Gate
    runs(): number
    /** Asks for `/`, and waits until the answer is stored. */
    fill(headers?: RequestHeaders): Promise<string>
  }

  function start(options: Partial<CacheRouteOptions>, handler: Handler = () => undefined): Started {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let runs = 0
    app.get('/', cached(cache, { ttl: 60, grace: 600, ...options }), async (request, reply) => {
      const run = ++runs
      if (run > 1) await gate.opened
      return (await handler(request, reply)) ?? `run ${run}`
    })
    return {
      app,
      cache,
      clock,
      gate,
      runs: () => runs,
      fill: (headers) => fillWith(cache, () => get(app, '/', headers)),
    }
  }

  test('what is stale answers all who wait, and what the handler makes is stored', async () => {
    const { app, cache, clock, gate, runs, fill } = start({ softTimeout: 0.02 })
    await fill()
    clock.advance(90)
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(app, '/')))
    expect(new Set(answers.map(summary))).toEqual(new Set(['STALE run 1']))
    expect(answers[0]!.headers).toMatchObject({
      age: '90',
      'cache-status': 'tidemark; fwd=stale; detail=late; ttl=-30',
    })
    // Those who come while it is under way wait as long, and run nothing.
    expect(await inTurn(app, ['/'])).toEqual(['STALE run 1'])
    expect(runs()).toBe(2)
    const filled = nextFill(cache)
    gate.open()
    await filled
    expect(await inTurn(app, ['/', '/'])).toEqual(['HIT run 2', 'HIT run 2'])
  })

  test('it is told as late, with its route, once a minute', async () => {
    const lines: string[] = []
    const told: CacheEvents['error'][] = []
    const clock = new ManualClock()
    const logger = { info: () => undefined, warn: (line: string) => void lines.push(line), error: () => undefined }
    const cache = caches.create({ clock, logger })
    cache.on('error', (event) => told.push(event))
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let isLate = false
    app.get('/:id', cached(cache, { ttl: 60, grace: 600, softTimeout: 0.02, key: 'one' }), async () => {
      if (isLate) await gate.opened
      return 'hello'
    })
    await fillWith(cache, () => get(app, '/a'))
    isLate = true
    clock.advance(90)
    expect(await inTurn(app, ['/a', '/a'])).toEqual(['STALE hello', 'STALE hello'])
    gate.open()
    expect(lines.filter((line) => line.includes('late'))).toEqual([
      'tidemark: the handler of /:id is late, and goes on: no result for "one" within 20 ms; what is stale is served (ERR_CACHE_LOAD_TIMEOUT)',
    ])
    expect(told).toHaveLength(2)
    expect(told[0]).toMatchObject({ error: { code: 'ERR_CACHE_LOAD_TIMEOUT' }, key: 'one', route: '/:id' })
  })

  test('a handler that is in time is the answer, for all who wait', async () => {
    const { app, cache, clock, gate, runs, fill } = start({ softTimeout: NEVER })
    await fill()
    clock.advance(90)
    const asked = Array.from({ length: 5 }, () => get(app, '/'))
    await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBe(4)
    gate.open()
    const answers = await Promise.all(asked)
    expect(answers.map(({ body }) => body)).toEqual(Array(5).fill('run 2'))
    expect(answers.map(({ headers }) => String(headers['cache-status'])).toSorted()).toEqual([
      ...Array(4).fill('tidemark; fwd=stale; collapsed; ttl=60'),
      'tidemark; fwd=stale; stored; ttl=60',
    ])
    expect(answers.filter(({ headers }) => headers['x-cache'] === 'MISS')).toHaveLength(1)
    expect(runs()).toBe(2)
  })

  test('one that fails in time has the stale one stand in', async () => {
    let isWell = true
    const { app, clock, gate, fill } = start({ softTimeout: NEVER }, () => {
      if (!isWell) throw new Error('out of order')
    })
    gate.open()
    await fill()
    clock.advance(90)
    isWell = false
    const answer = await get(app, '/')
    expect([summary(answer), answer.headers['cache-status']]).toEqual([
      'STALE run 1',
      'tidemark; fwd=stale; detail=failed; ttl=-30',
    ])
    isWell = true
    // For two seconds nobody waits for another's; this one has its own status to tell.
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 3', 'HIT run 3'])
  })

  test('where nothing may stand in the handler is waited for', async () => {
    const { app, cache, clock, gate, runs, fill } = start({ softTimeout: 0.02 }, (_request, reply) => {
      reply.header('cache-control', 'max-age=60, must-revalidate')
    })
    await fill()
    clock.advance(90)
    const [asked, other] = [get(app, '/'), get(app, '/')]
    await expect.poll(() => [runs(), cache.getStatistics().coalesced]).toEqual([2, 1])
    await new Promise((resolve) => setTimeout(resolve, 60))
    gate.open()
    expect([summary(await asked), (await other).body]).toEqual(['MISS run 2', 'run 2'])
  })

  test('nor is there anything beyond its grace', async () => {
    const { app, clock, gate, fill } = start({ softTimeout: 0.02 })
    await fill()
    clock.advance(700)
    const asked = get(app, '/')
    await new Promise((resolve) => setTimeout(resolve, 60))
    gate.open()
    expect(summary(await asked)).toBe('MISS run 2')
  })

  test('what may not be stored is its caller’s own, and for two seconds it is asked for in front', async () => {
    let isStored = true
    const { app, clock, gate, runs, fill } = start({ softTimeout: NEVER }, ({ headers }, reply) => {
      if (isStored) return undefined
      return reply.header('set-cookie', 'a=b').send(String(headers.cookie))
    })
    gate.open()
    await fill()
    clock.advance(90)
    isStored = false
    const alice = await get(app, '/', { cookie: 'alice' })
    expect([summary(alice), alice.headers['cache-status']]).toEqual([
      'MISS alice',
      'tidemark; fwd=stale; detail=set-cookie',
    ])
    expect(runs()).toBe(3)
    expect(summary(await get(app, '/', { cookie: 'bob' }))).toBe('MISS bob')
    expect(runs()).toBe(4)
  })

  test('a user’s answer is waited for in front: nobody runs it without the user', async () => {
    const seen: unknown[] = []
    const { app, cache, clock, gate, fill } = start(
      { softTimeout: 0.02, user: ({ headers }) => String(headers['x-user']) },
      ({ headers }) => void seen.push(headers['x-user']),
    )
    gate.open()
    await fill({ 'x-user': 'alice' })
    clock.advance(90)
    expect(summary(await get(app, '/', { 'x-user': 'alice' }))).toBe('MISS run 2')
    expect([seen, cache.getStatistics().loads]).toEqual([['alice', 'alice'], 2])
  })

  test('with policy rfc9111 by the response’s own stale-if-error, and not for a client that wants it confirmed', async () => {
    const { app, cache, clock, gate, runs, fill } = start(
      { policy: 'rfc9111', ttl: undefined, grace: undefined, softTimeout: 0.02 },
      (_request, reply) => {
        reply.headers({ 'cache-control': 'max-age=60, stale-if-error=600', vary: 'foo' })
      },
    )
    await fill({ foo: '1' })
    clock.advance(90)
    expect(summary(await get(app, '/', { foo: '1' }))).toBe('STALE run 1')
    const confirmed = get(app, '/', { foo: '1', 'cache-control': 'no-cache' })
    await expect.poll(runs).toBe(3)
    const filled = nextFill(cache)
    gate.open()
    expect((await confirmed).body).toBe('run 3')
    await filled
    expect(summary(await get(app, '/', { foo: '1' }))).toMatch(/^HIT run [23]$/)
  })
})
