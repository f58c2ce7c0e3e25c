/** `addCacheRoutes`: the management routes of a cache. */
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  preHandlerAsyncHookHandler,
  preValidationAsyncHookHandler,
} from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheConfigurationError } from '../../exceptions.ts'
import {
  assertGuarded,
  clear,
  clearRefusal,
  isCrossSite,
  isLocal,
  ping,
  resetStats,
  stats,
  type Caller,
  type ManagementAnswer,
} from '../../management/management.ts'
import { assertCache, optionFaults, type Check } from '../../option-checks.ts'
import type { FastifyApplication } from './route-options.ts'

export interface CacheRoutesOptions {
  /**
   * Who may call the management routes; the others are answered 403. Default: requests from this machine itself, and in
   * production none: there it must be given, or be `false`, which lets everybody in.
   *
   * @example
   * addCacheRoutes(app, cache, { authorize: (request) => request.headers['x-admin-key'] === process.env.ADMIN_KEY })
   */
  authorize?: ((request: FastifyRequest) => boolean | Promise<boolean>) | false | undefined
  /** Where they stand. Default: `/cache`. */
  prefix?: string | undefined
}

const OPTIONS: Readonly<Record<keyof CacheRoutesOptions, Check>> = {
  // What it may be depends on the environment.
  authorize: { expected: '', accepts: () => true },
  prefix: {
    expected: "a path such as '/cache', or ''",
    accepts: (value) => value === '' || (typeof value === 'string' && value.startsWith('/')),
  },
}

const OK = { type: 'object', properties: { ok: { type: 'boolean' } } }
const HEALTH = {
  type: 'object',
  properties: {
    ok: { type: 'boolean' },
    latencyMs: { type: 'number', description: 'milliseconds until the store answered; absent if it did not' },
    breaker: {
      type: 'string',
      enum: ['closed', 'half-open', 'open'],
      description: 'with Redis: whether commands go out (closed), wait for an attempt, or are refused at once (open)',
    },
    undelivered: { type: 'integer', description: 'with Redis: invalidations that wait to be delivered' },
  },
}
const NOT_CLEARED = {
  type: 'object',
  properties: {
    ok: { type: 'boolean' },
    queued: { type: 'boolean', description: 'it is cleared as soon as Redis is back' },
  },
}
const REFUSAL = {
  type: 'object',
  properties: { statusCode: { type: 'integer' }, error: { type: 'string' }, message: { type: 'string' } },
}
const FORBIDDEN = { description: 'Not allowed to manage the cache', ...REFUSAL }
const COUNTERS = ['hits', 'misses', 'staleHits', 'sets', 'deletes', 'loads', 'coalesced', 'fences']
const TOTALS = ['errors', 'evictions', 'invalidations', 'bytesRead', 'bytesWritten', 'hitRate', 'uptime']
const STATISTICS = {
  type: 'object',
  properties: {
    ...numbers([...COUNTERS, ...TOTALS]),
    namespaces: { type: 'object', additionalProperties: { type: 'object', properties: numbers(COUNTERS) } },
  },
}
const ONE_NAMESPACE = { type: 'object', properties: { namespace: { type: 'string' } } }

/**
 * Adds `GET /cache/stats`, `GET /cache/ping`, `DELETE /cache/clear` (`?namespace=`), `POST /cache/reset-stats` and its
 * alias `GET /cache/reset-stats`. What changes something is refused to a browser that asks on behalf of another site.
 *
 * @throws {CacheConfigurationError} in production without `authorize`, for options that are none, and without a cache
 * @example
 * addCacheRoutes(app, cache, { authorize: (request) => isAdmin(request) })
 */
export function addCacheRoutes(
  application: FastifyApplication,
  cache: CacheManager,
  options: CacheRoutesOptions = {},
): void {
  const app = application as FastifyInstance
  // A misspelt `authorize` must not be taken for none.
  const faults = optionFaults(options, OPTIONS)
  if (faults.length > 0) throw new CacheConfigurationError(faults, 'management routes')
  const { authorize, prefix = '/cache' } = options
  assertCache(cache, 'management routes')
  assertGuarded(cache, authorize)
  const isAllowed = authorize === false ? () => true : (authorize ?? ((request) => isLocal(callerOf(request))))

  const guard =
    (changes: boolean): preHandlerAsyncHookHandler =>
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      // Nothing but `true` is a yes, whatever somebody's function returns.
      const answer: unknown = await isAllowed(request)
      if (answer === true && !(changes && isCrossSite(callerOf(request)))) return undefined
      return reply.code(403).send({ statusCode: 403, error: 'Forbidden', message: 'not allowed to manage the cache' })
    }
  const looking = guard(false)
  const changing = guard(true)
  const refusing: preValidationAsyncHookHandler = async (request, reply) => {
    const refusal = clearRefusal(request.query)
    return refusal && send(reply, refusal)
  }

  app.get(
    `${prefix}/stats`,
    { onRequest: looking, schema: described('Statistics of this process', { response: { 200: STATISTICS } }) },
    (_request, reply) => send(reply, stats(cache)),
  )
  app.get(
    `${prefix}/ping`,
    { onRequest: looking, schema: described('Does the store answer?', { response: { 200: HEALTH, 503: HEALTH } }) },
    async (_request, reply) => send(reply, await ping(cache)),
  )
  app.delete<{ Querystring: { namespace?: string } }>(
    `${prefix}/clear`,
    {
      onRequest: changing,
      // Before validation, which silently drops what the schema does not name.
      preValidation: refusing,
      schema: described('Clear everything, or one namespace', {
        querystring: ONE_NAMESPACE,
        response: { 200: OK, 400: { description: 'Another query than namespace', ...REFUSAL }, 503: NOT_CLEARED },
      }),
    },
    async (request, reply) => send(reply, await clear(cache, request.query.namespace)),
  )
  for (const method of ['POST', 'GET'] as const) {
    const schema = described('Begin to count anew', { response: { 200: OK } })
    const handler = (_request: FastifyRequest, reply: FastifyReply): FastifyReply => send(reply, resetStats(cache))
    // The GET alias changes something: no HEAD route, which prefetching clients may send.
    app.route({ method, url: `${prefix}/reset-stats`, exposeHeadRoute: false, onRequest: changing, schema, handler })
  }
}

/** With words of OpenAPI, which are for @fastify/swagger; Fastify itself passes them by. */
function described(summary: string, schema: FastifySchema): FastifySchema {
  const words = { tags: ['cache'], summary }
  const response = { ...(schema.response as object), 403: FORBIDDEN }
  return { ...schema, response, ...words }
}

function send(reply: FastifyReply, { status, body }: ManagementAnswer): FastifyReply {
  return reply.code(status).send(body)
}

function callerOf(request: FastifyRequest): Caller {
  return {
    remoteAddress: request.socket.remoteAddress,
    host: request.host,
    header: (name) => {
      const value = request.headers[name]
      return Array.isArray(value) ? value.join(', ') : value
    },
  }
}

function numbers(names: readonly string[]): Record<string, { type: 'number' }> {
  return Object.fromEntries(names.map((name) => [name, { type: 'number' as const }]))
}
