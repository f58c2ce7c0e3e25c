/** Two exports are called `cached`, two `cacheBusting`: whoever takes one for the other is told at once, with the right import. */
import type { FastifyInstance, RouteHandler, RouteShorthandOptions } from 'fastify'
import { describe, expect, test } from 'vitest'
import * as functions from 'tidemark'
import type { CacheManager } from 'tidemark'
import * as routes from 'tidemark/fastify'
import { get, inMemory, makeApp, makeCachedApp } from './harness.ts'

/** As JavaScript calls it. */
type Untyped = (...args: unknown[]) => unknown
const maker = routes.cached as Untyped
const handler = async (): Promise<string> => 'hello'

const OF_ROUTES = "expected cached of 'tidemark/fastify' (app.get(url, cached(cache, …), handler))"
const OF_FUNCTIONS = "got cached of 'tidemark', which wraps functions"

/** As the options of a route, for the compiler. */
function wrapper(cache: CacheManager): RouteShorthandOptions {
  return functions.cached(cache, { ttl: 60 }) as unknown as RouteShorthandOptions
}

describe('what wraps functions, on a route', () => {
  test.each<[string, string, (app: FastifyInstance, cache: CacheManager) => unknown]>([
    ['spread', 'cache', (app, cache) => app.get('/items', { ...wrapper(cache) }, handler)],
    [
      'spread in route()',
      'cache',
      (app, cache) => app.route({ ...wrapper(cache), method: 'GET', url: '/items', handler }),
    ],
    [
      'under the key of a route',
      'cache',
      (app, cache) => app.get('/items', { cache: wrapper(cache) as never }, handler),
    ],
    [
      'as plain config',
      'config.cache',
      (app, cache) => app.get('/items', { config: { cache: wrapper(cache) as never } }, handler),
    ],
    ['as a hook', 'preHandler', (app, cache) => app.get('/items', { preHandler: wrapper(cache) as never }, handler)],
    [
      'among hooks',
      'onRequest',
      (app, cache) => app.get('/items', { onRequest: [handler, wrapper(cache) as never] }, handler),
    ],
    ['as the handler', 'handler', (app, cache) => app.get('/items', wrapper(cache) as RouteHandler)],
  ])('%s', (_place, path, register) => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const message = `invalid options of GET /items:\n  ${path}: ${OF_ROUTES}, ${OF_FUNCTIONS}`
    expect(() => register(app, cache)).toThrow(functions.CacheConfigurationError)
    expect(() => register(app, cache)).toThrow(message)
  })

  // Fastify's own refusal: functions are no options.
  test('as its options it is refused by Fastify', () => {
    const cache = inMemory()
    expect(() => makeCachedApp(cache).get('/items', wrapper(cache), handler)).toThrow('must be an object')
  })

  test('cacheBusting', () => {
    const cache = inMemory()
    const options = functions.cacheBusting(cache, { keys: 'a' }) as unknown as RouteShorthandOptions
    expect(() => makeCachedApp(cache).post('/items', { ...options }, handler)).toThrow(
      "cacheBusting: expected cacheBusting of 'tidemark/fastify' (app.get(url, cacheBusting(cache, …), handler)), " +
        "got cacheBusting of 'tidemark', which wraps functions",
    )
  })

  test('without setupCache it is refused when the application starts', async () => {
    const app = makeApp()
    app.get('/items', { ...wrapper(inMemory()) }, handler)
    await expect(app.ready()).rejects.toThrow('GET /items: expected setupCache(app)')
  })

  test('a handler that it has wrapped answers with its first reply only: refused, also with a key', async () => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    const wrapped = [functions.cached(cache)(handler), functions.cached(cache, { key: 'named' })(handler)]
    const busting = functions.cacheBusting(cache, { keys: 'a' })
    for (const one of [...wrapped, ...wrapped.map((each) => busting(each))]) {
      expect(() => app.get('/items', one)).toThrow(
        `handler: expected one that is not wrapped, and ${OF_ROUTES.slice('expected '.length)}, got one wrapped by cached of`,
      )
    }
    app.get('/busting', functions.cacheBusting(cache, { keys: 'a' })(handler))
    expect((await get(app, '/busting')).body).toBe('hello')
  })
})

describe('what is for routes', () => {
  test('is not made without options', () => {
    expect(() => maker(inMemory())).toThrow(
      "options: expected an object with the options of a route (functions are wrapped by cached of 'tidemark'), got undefined",
    )
  })

  test('refuses options of functions at once', () => {
    expect(() => maker(inMemory(), { ttl: 60, hardTimeout: '1s' })).toThrow(
      /hardTimeout: expected one of ttl, .*, got an option of cached of 'tidemark', which wraps functions/,
    )
  })

  test('is not what plain config takes', () => {
    const cache = inMemory()
    const made = routes.cached(cache, { ttl: 60 })
    for (const config of [{ cache: made }, { ...made }]) {
      expect(() => makeCachedApp(cache).get('/items', { config: config as never }, handler)).toThrow(
        'config.cache: expected options alone, or { ...cached(cache, …) } beside config, got what cached() made',
      )
    }
  })
})

test('every option of routes that functions lack is told to whoever gives it to a function', () => {
  const cache = inMemory()
  const own = new Set(namesIn(() => (functions.cached as Untyped)(cache, { 'no such': 1 })))
  const ofRoutes = namesIn(() =>
    makeCachedApp(cache).get('/items', maker(cache, { 'no such': 1, ttl: 1 }) as object, handler),
  )
  const foreign = ofRoutes.filter((name) => !own.has(name))
  expect(foreign).toContain('vary')
  for (const name of foreign) {
    expect(() => (functions.cached as Untyped)(cache, { [name]: 1 })).toThrow(
      `got an option of cached of 'tidemark/fastify', which is for routes`,
    )
  }
})

describe('an option that does not exist is refused at once, with the one that was meant', () => {
  const cases: [string, (app: FastifyInstance, cache: CacheManager) => unknown][] = [
    ["tll: expected a known option (did you mean 'ttl'?)", (app, cache) => register(app, maker(cache, { tll: 60 }))],
    [
      "nameSpace: expected a known option (did you mean 'namespace'?)",
      (app, cache) => register(app, maker(cache, { ttl: 60, nameSpace: 'a' })),
    ],
    ["tll: expected a known option (did you mean 'ttl'?)", (app) => register(app, { config: { cache: { tll: 60 } } })],
    [
      "key: expected a known option (did you mean 'keys'?)",
      (app, cache) => register(app, (routes.cacheBusting as Untyped)(cache, { key: 'a' })),
    ],
    [
      "cuont: expected a known option (did you mean 'count'?)",
      (_app, cache) => routes.rateLimit(cache, '1/minute', { cuont: 'hits' } as never),
    ],
    ['options: expected an object, got null', (_app, cache) => routes.rateLimit(cache, '1/minute', null as never)],
    [
      "authorise: expected a known option (did you mean 'authorize'?)",
      (app, cache) => routes.addCacheRoutes(app, cache, { authorise: true } as never),
    ],
    [
      "prefix: expected a path such as '/cache', or '', got 'cache'",
      (app, cache) => routes.addCacheRoutes(app, cache, { prefix: 'cache' }),
    ],
  ]
  test.each(cases)('%s', (message, ask) => {
    const cache = inMemory()
    const app = makeCachedApp(cache)
    expect(() => ask(app, cache)).toThrow(functions.CacheConfigurationError)
    expect(() => ask(app, cache)).toThrow(message)
  })
})

function register(app: FastifyInstance, options: unknown): unknown {
  return app.get('/items', options as RouteShorthandOptions, handler)
}

/** The names a refusal lists. */
function namesIn(ask: () => unknown): string[] {
  try {
    ask()
  } catch (error) {
    const [, list = ''] = /expected one of (.*), got an unknown option/.exec((error as Error).message) ?? []
    return list.split(', ')
  }
  throw new Error('expected a refusal')
}
