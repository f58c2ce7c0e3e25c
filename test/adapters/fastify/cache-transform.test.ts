/** OpenAPI documents tell what the cache adds to answers. */
import swagger from '@fastify/swagger'
import { expect, test } from 'vitest'
import { cached, cacheTransform, type CacheRouteOptions } from 'tidemark/fastify'
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
