/** `createCacheErrorHandler`: what a client is told when a fault of the cache reaches a route. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  CacheConfigurationError,
  CacheException,
  CacheKeyError,
  CacheSerializationError,
  LoadTimeoutError,
  RateLimitError,
  RedisConnectionError,
  RedisReplyError,
} from '../../exceptions.ts'
import { isCache } from '../../option-checks.ts'
import { reporterOf } from '../../telemetry.ts'
import { isUnkeyedRead } from './narrowing.ts'
import type { FastifyApplication } from './route-options.ts'
import { withOthers } from './undelivered.ts'

/**
 * Answers a `CacheException` that reached a route with 503, a `RateLimitError` with 429, and says nothing of what is
 * inside; the exception is logged, and of an outage once for a route. What a `strict` route throws in development is
 * told. Every other error goes on to the handler that was there before.
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
      const { logged, message } = wordsFor(error)
      logFailure(request, error, logged)
      return reply.code(503).send({ statusCode: 503, error: 'Service Unavailable', message })
    }
    return errorHandler.call(app, error, request, reply)
  })
}

/** A server that is away, or refuses, fails many requests in the same way: their first line is enough. */
function logFailure(request: FastifyRequest, error: CacheException, text: string): void {
  const isOfServer = error instanceof RedisConnectionError || error instanceof RedisReplyError
  const { cache } = request.server
  // A route may use another cache than the one of its application.
  const telemetry = reporterOf(error) ?? (isCache(cache) ? cache.parts.telemetry : undefined)
  if (!isOfServer || telemetry === undefined) return request.log.error(error, text)
  const news = telemetry.newsOf('failed', `${request.method} ${request.routeOptions.url ?? ''}`, error)
  if (news === 'none') return request.log.debug(error, text)
  request.log.error(error, withOthers(text, news, 'routes'))
}

/** What the log and what the client is told: whoever looks for the fault should not look at Redis for a mistake in the code. */
function wordsFor(error: CacheException): { readonly logged: string; readonly message: string } {
  if (error instanceof RedisConnectionError) {
    return { logged: 'the cache is out of reach', message: 'the cache is unavailable' }
  }
  if (error instanceof LoadTimeoutError) {
    return { logged: 'a load took longer than its hardTimeout', message: 'the answer took too long' }
  }
  const message = isUnkeyedRead(error) ? error.message : 'the request could not be served'
  const isMistake = [CacheKeyError, CacheSerializationError, CacheConfigurationError].some(
    (one) => error instanceof one,
  )
  return isMistake
    ? { logged: `a mistake in the use of the cache, no outage: ${error.name}`, message }
    : { logged: 'the cache failed', message }
}
