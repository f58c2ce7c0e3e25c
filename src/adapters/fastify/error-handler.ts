/** `createCacheErrorHandler`: what a client is told when a fault of the cache reaches a route. */
import type { FastifyInstance } from 'fastify'
import { CacheException, RateLimitError } from '../../exceptions.ts'
import type { FastifyApplication } from './route-options.ts'

/**
 * Answers a `CacheException` that reached a route with 503, a `RateLimitError` with 429, and says nothing of what is
 * inside; the exception is logged. Every other error goes on to the handler that was there before.
 *
 * @example
 * createCacheErrorHandler(app)
 */
export function createCacheErrorHandler(application: FastifyApplication): void {
  const app = application as FastifyInstance
  const { errorHandler } = app
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof RateLimitError) {
      if (!reply.hasHeader('retry-after')) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
      return reply.code(429).send({ statusCode: 429, error: 'Too Many Requests', message: error.message })
    }
    if (error instanceof CacheException) {
      request.log.error(error, 'the cache failed')
      return reply
        .code(503)
        .send({ statusCode: 503, error: 'Service Unavailable', message: 'the cache is unavailable' })
    }
    return errorHandler.call(app, error, request, reply)
  })
}
