import type { FastifyInstance } from 'fastify'
import { expect, test } from 'vitest'
import {
  CacheException,
  CacheKeyError,
  CacheSerializationError,
  LoadTimeoutError,
  RateLimitError,
  RedisConnectionError,
} from 'tidemark'
import { createCacheErrorHandler, rateLimit } from 'tidemark/fastify'
import { get, inMemory, makeApp, makeCachedApp } from './harness.ts'

function throwing(app: FastifyInstance, error: unknown): FastifyInstance {
  app.get('/', () => Promise.reject(error as Error))
  return app
}

const MISTAKE = 'a mistake in the use of the cache, no outage: '

test.each([
  [
    new RedisConnectionError('redis://secret:6379 did not answer', { key: 'user_1', namespace: 'users' }),
    'the cache is unavailable',
    'the cache is out of reach',
  ],
  [new LoadTimeoutError('no result within 5 ms'), 'the answer took too long', 'a load took longer'],
  [new CacheKeyError('key: expected a non-empty string'), 'the request could not be served', `${MISTAKE}CacheKeyError`],
  [
    new CacheSerializationError('value: a function cannot be stored'),
    'the request could not be served',
    `${MISTAKE}CacheSerializationError`,
  ],
  [new CacheException('Redis refused SET: OOM'), 'the request could not be served', 'the cache failed'],
])('%o is 503, and says nothing of what is inside; the log says which it is', async (error, message, logged) => {
  const lines: string[] = []
  const app = makeApp({ logger: { level: 'error', stream: { write: (line: string) => void lines.push(line) } } })
  createCacheErrorHandler(app)
  const answer = await get(throwing(app, error), '/')
  expect(answer.statusCode).toBe(503)
  expect(answer.json()).toEqual({ statusCode: 503, error: 'Service Unavailable', message })
  const line = JSON.parse(lines.join('')) as { msg: string; err: { message: string; stack: string } }
  expect(line.msg).toContain(logged)
  expect(line.err.message).toBe(error.message)
  expect(line.err.stack).toContain('error-handler.test')
})

test('a rate limit is 429, with its Retry-After', async () => {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  createCacheErrorHandler(app)
  app.get('/', rateLimit(cache, '1/minute'), () => 'hello')
  await get(app, '/')
  const answer = await get(app, '/')
  expect(answer.statusCode).toBe(429)
  expect(answer.json()).toEqual({
    statusCode: 429,
    error: 'Too Many Requests',
    message: expect.stringMatching(/^rate limit exceeded/),
  })
  expect(answer.headers['retry-after']).toMatch(/^\d+$/)
})

test('one that a route threw itself is 429, with the wait that it tells', async () => {
  const app = makeApp()
  createCacheErrorHandler(app)
  const answer = await get(throwing(app, new RateLimitError('rate limit exceeded', 1500)), '/')
  expect([answer.statusCode, answer.headers['retry-after']]).toEqual([429, '2'])
})

test('every other error goes on to the handler that was there before', async () => {
  const plain = makeApp()
  createCacheErrorHandler(plain)
  expect(
    (await get(throwing(plain, Object.assign(new Error('teapot'), { statusCode: 418 })), '/')).json(),
  ).toMatchObject({
    statusCode: 418,
    message: 'teapot',
  })
  const own = makeApp()
  own.setErrorHandler(async (error: Error, _request, reply) => reply.code(400).send(`mine: ${error.message}`))
  createCacheErrorHandler(own)
  const answer = await get(throwing(own, new Error('teapot')), '/')
  expect([answer.statusCode, answer.body]).toEqual([400, 'mine: teapot'])
})

test('what is thrown need not be an error', async () => {
  const app = makeApp()
  createCacheErrorHandler(app)
  expect((await get(throwing(app, { statusCode: 400, message: 'no' }), '/')).statusCode).toBe(400)
})
