/** Routes that change data give up what they make out of date: after success only, and before anybody has their answer. */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cacheBusting, cached } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inTurn, makeCachedApp, makeGate, summary } from './harness.ts'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test('by name: the entry of a key function, and all that a fixed name answers', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const namespace = 'items'
    let runs = 0
    app.get('/items', cached(cache, { ttl: 60, namespace, key: 'items_list' }), () => `run ${++runs}`)
    app.get(
      '/items/:id',
      cached(cache, { ttl: 60, namespace, key: (req) => `item_${req.params.id}` }),
      () => `run ${++runs}`,
    )
    const keys = (req: { params: Record<string, string> }): string[] => ['items_list', `item_${req.params.id}`]
    app.put('/items/:id', cacheBusting(cache, { keys, namespace }), () => 'changed')
    const urls = ['/items', '/items?page=2', '/items/1', '/items/2']
    expect(await inTurn(app, urls)).toEqual(['MISS run 1', 'MISS run 2', 'MISS run 3', 'MISS run 4'])
    expect((await app.inject({ method: 'PUT', url: '/items/1' })).body).toBe('changed')
    expect(await inTurn(app, urls)).toEqual(['MISS run 5', 'MISS run 6', 'MISS run 7', 'HIT run 4'])
  })

  test('by the path, if a route has no key', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    for (const url of ['/x', '/x-d']) app.get(url, cached(cache, { ttl: 60 }), () => `run ${++runs}`)
    app.post('/x', cacheBusting(cache, { keys: '/x' }), () => 'changed')
    await inTurn(app, ['/x', '/x?a=1', '/x-d'])
    await app.inject({ method: 'POST', url: '/x' })
    expect(await inTurn(app, ['/x', '/x?a=1', '/x-d'])).toEqual(['MISS run 4', 'MISS run 5', 'HIT run 3'])
  })

  test('by tag, over namespaces', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    const tags = (req: { params: Record<string, string> }): string[] => [`shop:${req.params.id}`]
    app.get('/shops/:id', cached(cache, { ttl: 60, namespace: 'a', tags }), () => `run ${++runs}`)
    app.get('/stock/:id', cached(cache, { ttl: 60, namespace: 'b', tags }), () => `run ${++runs}`)
    app.patch('/shops/:id', cacheBusting(cache, { tags }), () => 'changed')
    const urls = ['/shops/1', '/stock/1', '/shops/2']
    await inTurn(app, urls)
    await app.inject({ method: 'PATCH', url: '/shops/1' })
    expect(await inTurn(app, urls)).toEqual(['MISS run 4', 'MISS run 5', 'HIT run 3'])
  })

  const outcomes: readonly (readonly [string, (reply: FastifyReply) => unknown, boolean])[] = [
    ['200', () => 'changed', true],
    ['a stream', () => Readable.from(['changed']), true],
    ['a Response', () => new Response('changed'), true],
    ['204', (reply) => reply.code(204).send(), true],
    ['a redirect', (reply) => reply.redirect('/', 303), true],
    ['400', (reply) => reply.code(400).send('no'), false],
    ['404', (reply) => reply.code(404).send('no'), false],
    ['503', (reply) => reply.code(503).send('no'), false],
    ['a Response of 500', () => new Response('no', { status: 500 }), false],
    ['an error', () => Promise.reject(new Error('out of order')), false],
    ['an error with a status', () => Promise.reject(Object.assign(new Error('no'), { statusCode: 409 })), false],
  ]

  test.each(outcomes)('after %s', async (_, handle, isBusted) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', cached(cache, { ttl: 60, tags: ['t'] }), () => `run ${++runs}`)
    app.post('/key', cacheBusting(cache, { keys: ['/'] }), async (_request, reply) => handle(reply))
    app.post('/tag', cacheBusting(cache, { tags: ['t'] }), async (_request, reply) => handle(reply))
    for (const url of ['/key', '/tag']) {
      await get(app, '/')
      await app.inject({ method: 'POST', url })
      expect((await get(app, '/')).headers['x-cache']).toBe(isBusted ? 'MISS' : 'HIT')
    }
  })

  test('not after a body that is refused', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const schema = { body: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } } }
    app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
    app.post('/', { schema, ...cacheBusting(cache, { keys: ({ body }) => [String(body.name)] }) }, () => 'changed')
    await get(app, '/')
    expect((await app.inject({ method: 'POST', url: '/', payload: {} })).statusCode).toBe(400)
    expect(await inTurn(app, ['/'])).toEqual(['HIT hello'])
    expect((await app.inject({ method: 'POST', url: '/', payload: { name: '/' } })).statusCode).toBe(200)
    expect(await inTurn(app, ['/'])).toEqual(['MISS hello'])
  })

  test('a handler that is under way does not store what it read before', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const gate = makeGate()
    let data = 'old'
    app.get('/', cached(cache, { ttl: 60 }), async () => {
      const read = data
      if (read === 'old') await gate.opened
      return read
    })
    app.post('/', cacheBusting(cache, { keys: ['/'] }), () => (data = 'new'))
    const early = get(app, '/')
    await expect.poll(() => cache.getStatistics().loads).toBe(1)
    await app.inject({ method: 'POST', url: '/' })
    const late = await get(app, '/')
    gate.open()
    expect((await early).body).toBe('old')
    expect(summary(late)).toBe('MISS new')
    expect(await inTurn(app, ['/'])).toEqual(['HIT new'])
  })

  test('a key or a tag that is none is an error, not silence', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.post('/key', cacheBusting(cache, { keys: () => [''] }), () => 'changed')
    app.post('/promise', cacheBusting(cache, { keys: (async () => ['a']) as never }), () => 'changed')
    app.post(
      '/mistake',
      cacheBusting(cache, { tags: () => [(undefined as unknown as { id: string }).id] }),
      () => 'changed',
    )
    app.post('/misspelt/:id', cacheBusting(cache, { keys: ({ params }) => params['idd']! }), () => 'changed')
    app.post('/no-tags', cacheBusting(cache, { tags: () => null as never }), () => 'changed')
    for (const url of ['/key', '/promise', '/mistake', '/misspelt/1', '/no-tags']) {
      expect((await app.inject({ method: 'POST', url })).statusCode).toBe(500)
    }
  })

  test('an empty list says that there is nothing', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.post('/', cacheBusting(cache, { keys: () => [], tags: () => [] }), () => 'changed')
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(200)
  })

  test('keys that cannot be told keep no tag from being invalidated', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    await cache.set('tagged', 1, { tags: ['t'] })
    const keys = (): string[] => {
      throw new Error('no names today')
    }
    app.post('/', cacheBusting(cache, { keys, tags: 't' }), () => 'changed')
    expect((await app.inject({ method: 'POST', url: '/' })).statusCode).toBe(500)
    expect(await cache.get('tagged')).toBeUndefined()
  })

  test('as plain route config, and beside a cache of the same route', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    let runs = 0
    app.get('/', { config: { cache: { ttl: 60 } } }, () => `run ${++runs}`)
    app.get('/other', { ...cached(cache, { ttl: 60 }), ...cacheBusting(cache, { keys: ['/'] }) }, () => 'other')
    app.post('/', { config: { cacheBusting: { keys: ['/'] } } }, () => 'changed')
    await get(app, '/')
    await app.inject({ method: 'POST', url: '/' })
    expect(await inTurn(app, ['/', '/other', '/'])).toEqual(['MISS run 2', 'MISS other', 'MISS run 3'])
  })

  test('an unsafe request makes its own path out of date, whichever pattern answers it (RFC 9111 §4.4)', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const options = cached(cache, { ttl: 60 })
    let version = 1
    const said = (): string => `version ${version}`
    app.get('/items/:id', options, said)
    app.get('/pages/*', options, said)
    const write = (): string => `now ${++version}`
    app.post('/items/special', write)
    app.put('/:collection/:id', write)
    app.post('/other', write)
    const urls = ['/items/special', '/items/7', '/pages/7']
    await inTurn(app, urls)
    await app.inject({ method: 'POST', url: '/other' })
    expect(await inTurn(app, urls)).toEqual(Array(3).fill('HIT version 1'))
    await app.inject({ method: 'POST', url: '/items/special' })
    expect(await inTurn(app, urls)).toEqual(['MISS version 3', 'HIT version 1', 'HIT version 1'])
    await app.inject({ method: 'PUT', url: '/pages/7' })
    expect(await inTurn(app, urls)).toEqual(['HIT version 3', 'HIT version 1', 'MISS version 4'])
  })

  test('an uncached route has nothing of it', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.post('/', cacheBusting(cache, { keys: ['/'] }), () => 'changed')
    expect((await app.inject({ method: 'POST', url: '/' })).headers).not.toHaveProperty('x-cache')
  })
})
