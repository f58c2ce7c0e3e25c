/** The functions among a route's options: what they return is used, and their mistakes are nobody else's. */
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { describe, expect, test } from 'vitest'
import type { ApplicationConfig } from 'tidemark'
import { cached, cacheBusting, type CacheRouteOptions, type OneOrMore, type RouteRequest } from 'tidemark/fastify'
import { get, inMemory, inTurn, makeCachedApp, silent } from './harness.ts'

type Options = Partial<CacheRouteOptions<RouteRequest, OneOrMore>>

interface Told {
  readonly app: FastifyInstance
  readonly lines: string[]
  readonly events: unknown[]
}

function start(options: object, config: ApplicationConfig = {}): Told {
  const lines: string[] = []
  const events: unknown[] = []
  const logger = { ...silent, warn: (line: string): void => void lines.push(line) }
  const cache = inMemory({ logger, ...config })
  cache.on('error', (event) => events.push(event))
  const app = makeCachedApp(cache)
  let runs = 0
  app.get('/items/:id', cached(cache, { ttl: 60, ...(options as Options) }), () => `run ${++runs}`)
  return { app, lines, events }
}

const failing = (): never => {
  throw new TypeError('cannot read\nproperties of undefined')
}

describe('a mistake of one of them is answered without the cache, and told with the name of the route', () => {
  test.each([
    ['key', () => undefined, 'expected a non-empty string, got undefined'],
    ['key', () => '', "expected a non-empty string, got ''"],
    ['key', () => 7, 'expected a non-empty string, got 7'],
    ['key', () => null, 'expected a non-empty string, got null'],
    ['key', async () => 'a', 'expected a non-empty string, got an object'],
    ['key', () => '\ud800', 'expected a non-empty string'],
    ['key', failing, 'failed: TypeError: cannot read\\nproperties of undefined'],
    ['tags', () => undefined, 'expected a non-empty string, or an array of them, got undefined'],
    ['tags', () => ['a', ''], "got ['a', '']"],
    ['tags', failing, 'failed: TypeError: '],
    ['user', () => ({ id: 1 }), 'expected a string, or undefined for nobody, got an object'],
    ['user', failing, 'failed: TypeError: '],
  ])('%s %s', async (name, fn, message) => {
    const { app, lines, events } = start({ [name]: fn })
    expect(await inTurn(app, ['/items/1', '/items/1'])).toEqual(['BYPASS run 1', 'BYPASS run 2'])
    expect((await get(app, '/items/1')).headers['cache-status']).toBe(`tidemark; fwd=bypass; detail=${name}`)
    expect(events).toHaveLength(3)
    expect(events[0]).toMatchObject({ route: 'GET /items/:id', error: { code: 'ERR_CACHE_KEY' } })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(`${name} of GET /items/:id`)
    expect(lines[0]).toContain(message)
  })

  test('allowRefresh, when it is asked', async () => {
    let now = 0
    const { app, lines } = start({ allowRefresh: failing }, { clock: { now: () => (now += 2000) } })
    expect(await inTurn(app, ['/items/1', '/items/1'])).toEqual(['MISS run 1', 'HIT run 1'])
    const answer = await get(app, '/items/1', { 'cache-control': 'no-cache' })
    expect([answer.headers['x-cache'], answer.body]).toEqual(['BYPASS', 'run 2'])
    expect(lines[0]).toContain('allowRefresh of GET /items/:id failed: ')
  })

  test('each route is told of, though another has been', async () => {
    const lines: string[] = []
    const cache = inMemory({ logger: { ...silent, warn: (line) => void lines.push(line) } })
    const app = makeCachedApp(cache)
    for (const url of ['/a', '/b']) app.get(url, cached(cache, { ttl: 60, key: () => '' }), () => 'hello')
    await inTurn(app, ['/a', '/b', '/a', '/b'])
    expect(lines.map((line) => /of (GET \S+):/.exec(line)?.[1])).toEqual(['GET /a', 'GET /b'])
  })

  test("with onError: 'throw' it fails the request", async () => {
    const { app } = start({ key: () => '' }, { cache: { onError: 'throw' } })
    const answer = await get(app, '/items/1')
    expect([answer.statusCode, answer.json()]).toEqual([500, expect.objectContaining({ code: 'ERR_CACHE_KEY' })])
  })
})

describe('one name may stand alone', () => {
  test.each([
    ['tags', 'item:1'],
    ['tags', ({ params }: RouteRequest) => `item:${params['id']}`],
  ])('%s %s', async (_, tags) => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    app.get('/items/:id', cached(cache, { ttl: 60, tags }), () => 'hello')
    app.post('/items', cacheBusting(cache, { tags: 'item:1' }), () => 'done')
    expect(await inTurn(app, ['/items/1', '/items/1'])).toEqual(['MISS hello', 'HIT hello'])
    await app.inject({ method: 'POST', url: '/items' })
    expect(await inTurn(app, ['/items/1'])).toEqual(['MISS hello'])
  })

  test('vary and query', async () => {
    const { app } = start({ vary: 'Accept-Language', query: 'page' })
    const asked = async (url: string, language: string): Promise<unknown> =>
      (await get(app, url, { 'accept-language': language })).headers['x-cache']
    expect(await asked('/items/1?page=1', 'de')).toBe('MISS')
    expect(await asked('/items/1?page=1&utm=x', 'de')).toBe('HIT')
    expect(await asked('/items/1?page=1', 'en')).toBe('MISS')
    expect(await asked('/items/1?page=2', 'de')).toBe('MISS')
  })
})

describe("methods: ['GET']", () => {
  test('leaves the HEAD route that Fastify adds as it is', async () => {
    const { app } = start({ methods: ['GET'] })
    const head = async (): Promise<LightMyRequestResponse> => app.inject({ method: 'HEAD', url: '/items/1' })
    expect((await head()).headers).not.toHaveProperty('x-cache')
    expect(await inTurn(app, ['/items/1', '/items/1'])).toEqual(['MISS run 2', 'HIT run 2'])
    const answer = await head()
    expect([answer.statusCode, answer.headers['x-cache']]).toEqual([200, undefined])
  })

  test('with that of HEAD alone, nothing is there to be cached on a POST route', () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const add = (): unknown => app.post('/', cached(cache, { ttl: 60, methods: ['GET'] }), () => 'hello')
    expect(add).toThrow('methods: expected a route that answers GET, got POST /')
  })
})
