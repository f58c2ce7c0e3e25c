/** What the compiler accepts of routes' options, and what it refuses; the compiler is the test. */
import Fastify, {
  type FastifyBaseLogger,
  type FastifyContextConfig,
  type FastifyInstance,
  type FastifyRequest,
  type FastifyTypeProvider,
} from 'fastify'
import { expect, expectTypeOf, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import tidemark, {
  addCacheRoutes,
  cached,
  cacheBusting,
  createCacheErrorHandler,
  rateLimit,
  setupCache,
  type RouteRequest,
} from 'tidemark/fastify'
import { inMemory, makeApp } from './harness.ts'

interface ItemRoute {
  Params: { id: string }
  Querystring: { page: number }
}

interface OwnProvider extends FastifyTypeProvider {
  readonly validator: this['schema']
  readonly serializer: unknown
}

interface OwnLogger extends FastifyBaseLogger {
  audit(): void
}

test('functions among the options see any request', () => {
  const cache = inMemory()
  cached(cache, {
    ttl: '5m',
    key: (request) => `item_${request.params.id}`,
    tags: ({ params, query, headers }) => [`item:${params.id}`, `page:${String(query.page)}`, String(headers.accept)],
    user: (request) => request.headers['x-user']?.toString(),
    allowRefresh: ({ ip }) => ip === '127.0.0.1',
  })
  cacheBusting(cache, {
    keys: ({ body }) => [`item_${String(body.id)}`],
    tags: (request) => `item:${request.params.id}`,
  })
  cached(cache, {
    ttl: 60,
    key: (request) => {
      expectTypeOf(request).toEqualTypeOf<RouteRequest>()
      return 'a'
    },
  })
})

test('functions written for a more exact request fit as well', () => {
  const cache = inMemory()
  const keyOf = ({ params, query }: FastifyRequest<ItemRoute>): string => `${params.id}_${query.page.toFixed()}`
  const userOf = (_request: FastifyRequest): string | undefined => undefined
  cached(cache, {
    ttl: 60,
    key: keyOf,
    user: userOf,
    tags: (request: FastifyRequest<ItemRoute>) => [request.params.id],
  })
})

test('with the types of the route they see what its handler sees', () => {
  const cache = inMemory()
  cached<ItemRoute>(cache, {
    ttl: 60,
    key: ({ params, query }) => {
      expectTypeOf(params).toEqualTypeOf<{ id: string }>()
      return params.id + query.page.toFixed()
    },
    // @ts-expect-error a name that is misspelt
    tags: ({ params }) => params.idd,
  })
  cacheBusting<ItemRoute>(cache, {
    keys: ({ params }) => params.id,
    // @ts-expect-error a name that is misspelt
    tags: ({ params }) => [params.idd],
  })
  expect(cache).toBeDefined()
})

test('a parameter may be the key, though it may be absent (noUncheckedIndexedAccess)', () => {
  const cache = inMemory()
  cached(cache, { ttl: 60, key: (request) => request.params.id })
  cached(cache, { ttl: 60, key: ({ params }) => params.id, tags: ({ params }) => `item:${params.id}` })
  rateLimit(cache, '1/minute', { key: ({ params }) => params.id })
  // @ts-expect-error nothing would be invalidated
  cacheBusting(cache, { keys: ({ params }) => params.id })
  expect(cache).toBeDefined()
})

test('one name may stand where a list of them may', () => {
  const cache = inMemory()
  cached(cache, { ttl: 60, tags: 'items', vary: 'accept', query: 'page' })
  const config: FastifyContextConfig = { cache: { ttl: 60, tags: () => 'items', vary: 'accept' } }
  expect(config).toBeDefined()
})

test('options that make no sense are refused by the compiler too', () => {
  const cache = inMemory()
  // @ts-expect-error it has a unit
  cached(cache, { ttl: 'soon' })
  // @ts-expect-error a name that is misspelt
  cached(cache, { ttl: 60, tll: 60 })
  // @ts-expect-error a user is a string
  cached(cache, { ttl: 60, user: () => ({ id: 1 }) })
  // @ts-expect-error a key is known at once
  cached(cache, { ttl: 60, key: async () => 'a' })
  // @ts-expect-error plain config is checked as well
  const config: FastifyContextConfig = { cache: { ttl: 60, tll: 60 } }
  expect(config).toBeDefined()
  // @ts-expect-error only GET and HEAD are cached
  cached(cache, { ttl: 60, methods: ['POST'] })
  expect(cache).toBeDefined()
})

test('the types of a route are untouched by what is spread into it', () => {
  const cache = inMemory()
  const app = makeApp()
  setupCache(app, cache)
  app.get<ItemRoute>('/items/:id', { ...cached(cache, { ttl: 60 }), schema: {} }, async (request) => {
    expectTypeOf(request.params.id).toEqualTypeOf<string>()
    expectTypeOf(request.query.page).toEqualTypeOf<number>()
    return request.params.id
  })
  app.route<ItemRoute>({
    method: 'GET',
    url: '/other/:id',
    ...cached(cache, { ttl: 60 }),
    handler: ({ params }) => params.id,
  })
  app.get('/plain', { config: { cache: { ttl: 60, key: (request) => `item_${request.params.id}` } } }, () => 'hello')
  expectTypeOf(app.cache).toEqualTypeOf<CacheManager>()
})

test('any application may have a cache: over HTTP/2, with another logger, with a type provider', () => {
  const ofAll = (app: Parameters<typeof setupCache>[0]): void => {
    const cache = setupCache(app, { redis: false })
    addCacheRoutes(app, cache)
    createCacheErrorHandler(app)
  }
  const http2 = Fastify({ http2: true })
  const logging: FastifyInstance = makeApp()
  const provided = Fastify().withTypeProvider<OwnProvider>()
  const loggingOwn = (): void => {
    const app = Fastify({ loggerInstance: {} as OwnLogger })
    ofAll(app)
    void app.register(tidemark, { redis: false })
  }
  expectTypeOf(loggingOwn).toBeFunction()
  for (const app of [http2, logging, provided]) ofAll(app)
  provided.get('/plain', { schema: { querystring: { kind: 'x' } } }, async ({ query }) => {
    const kind: 'x' = query.kind
    return kind
  })
  provided.get(
    '/',
    { ...cached(provided.cache, { ttl: 60 }), schema: { querystring: { kind: 'x' } } },
    async ({ query }) => {
      const kind: 'x' = query.kind
      return kind
    },
  )
  http2.get('/', cached(http2.cache, { ttl: 60 }), async () => 'hello')
})
