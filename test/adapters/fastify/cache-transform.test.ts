/** OpenAPI documents tell what the cache adds to answers. */
import swagger from '@fastify/swagger'
import { expect, test } from 'vitest'
import { cached, cacheTransform, rateLimit, type CacheRouteOptions } from 'tidemark/fastify'
import { inMemory, makeCachedApp } from './harness.ts'

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: Responses }>>>>
}
type Responses = Readonly<Record<string, { readonly headers?: Readonly<Record<string, unknown>>; content?: unknown }>>

const ADDED = ['Age', 'Cache-Control', 'Cache-Status', 'ETag', 'X-Cache']

async function documentOf(schema: object | undefined, options: Partial<CacheRouteOptions> = {}): Promise<Document> {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  await app.register(swagger, { openapi: { info: { title: 'a', version: '1' } }, transform: cacheTransform })
  app.addSchema({ $id: 'item', type: 'object', properties: { id: { type: 'string' } } })
  app.get('/plain', { ...(schema && { schema }) }, async () => ({}))
  app.get('/cached', { ...(schema && { schema }), ...cached(cache, { ttl: 60, ...options }) }, async () => ({}))
  app.get('/config', { config: { cache: { ttl: 60 } } }, async () => ({}))
  app.get('/limited', { ...(schema && { schema }), ...rateLimit(cache, '9/minute') }, async () => ({}))
  const both = { ...cached(cache, { ttl: 60, ...options }), ...rateLimit(cache, '9/minute') }
  app.get('/both', { ...(schema && { schema }), ...both }, async () => ({}))
  app.route({ method: ['GET', 'POST'], url: '/several', ...cached(cache, { ttl: 60 }), handler: async () => ({}) })
  await app.ready()
  return app.swagger() as unknown as Document
}

const RESPONSE = {
  200: { $ref: 'item#' },
  404: { type: 'object', properties: {}, headers: { ETag: { type: 'string', description: 'mine' } } },
  500: { type: 'object', properties: {} },
}

test('a cached route has 304, and its headers where a response may be stored', async () => {
  const { paths } = await documentOf({ response: RESPONSE })
  const { responses } = paths['/cached']!['get']!
  expect(Object.keys(responses)).toEqual(['200', '304', '404', '500'])
  expect(Object.keys(responses['200']!.headers!)).toEqual(ADDED)
  expect(responses['200']!.content).toMatchObject({ 'application/json': { schema: { $ref: expect.any(String) } } })
  expect(responses['304']).not.toHaveProperty('content')
  expect(Object.keys(responses['304']!.headers!)).toEqual(ADDED)
  expect(responses['404']!.headers).toMatchObject({ ETag: { description: 'mine' }, Age: expect.anything() })
  expect(responses['500']).not.toHaveProperty('headers')
})

test('one without a schema likewise, and one by plain config', async () => {
  const { paths } = await documentOf(undefined)
  for (const url of ['/cached', '/config']) {
    const { responses } = paths[url]!['get']!
    expect(Object.keys(responses)).toEqual(['200', '304'])
    expect(Object.keys(responses['200']!.headers!)).toEqual(ADDED)
  }
})

test('only statuses that are stored have them', async () => {
  const { paths } = await documentOf({ response: RESPONSE }, { statuses: [200] })
  expect(Object.keys(paths['/cached']!['get']!.responses['404']!.headers!)).toEqual(['ETag'])
})

test('a route that is not cached stays as it is', async () => {
  const { paths } = await documentOf({ response: RESPONSE })
  const { responses } = paths['/plain']!['get']!
  expect(Object.keys(responses)).toEqual(['200', '404', '500'])
  expect(responses['200']).not.toHaveProperty('headers')
})

const COUNTED = ['X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']

test('a rate-limited route has 429, and on each answer how much is left', async () => {
  const { paths } = await documentOf({ response: RESPONSE })
  const { responses } = paths['/limited']!['get']!
  expect(Object.keys(responses)).toEqual(['200', '404', '429', '500'])
  expect(Object.keys(responses['429']!.headers!)).toEqual([...COUNTED, 'Retry-After'])
  expect(responses['429']!.content).toMatchObject({ 'application/json': { schema: { type: 'object' } } })
  for (const status of ['200', '500']) expect(Object.keys(responses[status]!.headers!)).toEqual(COUNTED)
  expect(Object.keys(responses['404']!.headers!)).toEqual([...COUNTED, 'ETag'])
})

test('one that is cached as well has both, without a schema too', async () => {
  for (const schema of [undefined, { response: { 200: RESPONSE[200] } }]) {
    const { responses } = (await documentOf(schema)).paths['/both']!['get']!
    expect(Object.keys(responses)).toEqual(['200', '304', '429'])
    for (const status of ['200', '304'])
      expect(Object.keys(responses[status]!.headers!)).toEqual([...COUNTED, ...ADDED])
    expect(Object.keys(responses['429']!.headers!)).toEqual([...COUNTED, 'Retry-After'])
  }
})

test('what a route declares of 429 itself comes first', async () => {
  const own = { type: 'string', description: 'mine', headers: { 'Retry-After': { type: 'string' } } }
  const { responses } = (await documentOf({ response: { 429: own } })).paths['/limited']!['get']!
  expect(responses['429']).toMatchObject({
    description: 'mine',
    headers: { 'Retry-After': { schema: { type: 'string' } } },
  })
})

test('the methods of one route are documented alike, and its 304 says which it is of', async () => {
  const { paths } = await documentOf(undefined)
  for (const method of ['get', 'post']) {
    expect(paths['/several']![method]!.responses['304']).toMatchObject({
      description: 'Not Modified, to GET alone: what the client has is still right',
    })
  }
  expect(paths['/cached']!['get']!.responses['304']).toMatchObject({
    description: 'Not Modified: what the client has is still right',
  })
})
