/** What OpenAPI documents should say of cached and of rate-limited routes, for @fastify/swagger. */
// Under a name of its own: where @fastify/swagger adds to FastifySchema, that one hides it inside of `declare module`.
import type { FastifySchema as RouteSchema, RouteOptions } from 'fastify'
import { DEFAULT_STATUSES } from '../../http/route-policy.ts'
import type { CacheRouteOptions } from './route-options.ts'

/** What @fastify/swagger hands to a `transform`, as far as it is looked at. */
export interface TransformedRoute {
  readonly schema: RouteSchema
  readonly url: string
  readonly route: RouteOptions
}

const text = (description: string): Readonly<Record<string, string>> => ({ type: 'string', description })

/** Of every answer that may have come from the cache. */
const OF_ANSWERS = {
  Age: { type: 'integer', description: 'Seconds since the response was made; only of those from the cache' },
  'Cache-Control': text('How long the response may be kept, if the handler says so'),
  'Cache-Status': text("The cache's part in the answer (RFC 9211)"),
  ETag: text('For If-None-Match'),
  'X-Cache': { type: 'string', enum: ['HIT', 'MISS', 'STALE', 'BYPASS'], description: 'Where the answer came from' },
}

/** Of every answer that was counted. */
const OF_COUNTED = {
  'X-RateLimit-Limit': { type: 'integer', description: 'How many requests the window allows' },
  'X-RateLimit-Remaining': { type: 'integer', description: 'How many of them are left' },
  'X-RateLimit-Reset': { type: 'integer', description: 'When the window ends, in seconds since 1970' },
}

const REFUSED = {
  type: 'object',
  description: 'Too Many Requests: the rate limit is used up',
  properties: { statusCode: { type: 'integer' }, error: { type: 'string' }, message: { type: 'string' } },
  headers: { 'Retry-After': { type: 'integer', description: 'Seconds until a request may be allowed again' } },
}

type Responses = Readonly<Record<string, object>>

/**
 * Adds what answers have from the cache: to cached routes 304, `ETag`, `Age`, `Cache-Control`, `X-Cache` and
 * `Cache-Status`, to rate-limited ones 429, `Retry-After` and `X-RateLimit-*`. Other routes stay as they are, and what a
 * route declares itself comes first.
 *
 * @fastify/swagger documents all methods of one route alike: where only some are cached, the 304 says which.
 *
 * @example
 * await app.register(swagger, { openapi: {}, transform: cacheTransform })
 */
export function cacheTransform({ schema, url, route }: TransformedRoute): { schema: RouteSchema; url: string } {
  const options: CachedAs | undefined = route.cache?.options ?? route.config?.cache
  const methods = [route.method].flat()
  const cachedMethods = methods.filter((method) => (options?.methods ?? METHODS).includes(method as 'GET'))
  const isCached = options !== undefined && cachedMethods.length > 0
  if (!isCached && route.rateLimit === undefined) return { schema, url }
  const declared = (schema as RouteSchema | undefined)?.response as Responses | undefined
  let response = declared ?? { 200: { type: 'null', description: 'Default Response' } }
  if (isCached) {
    const which = cachedMethods.length < methods.length ? `, to ${cachedMethods.join(' and ')} alone` : ''
    response = ofCached(response, { statuses: options.statuses, which })
  }
  if (route.rateLimit !== undefined) response = ofCounted(response)
  return { schema: { ...schema, response }, url }
}

const METHODS: readonly string[] = ['GET', 'HEAD']

type CachedAs = Pick<CacheRouteOptions, 'methods' | 'statuses'>

interface Cached {
  readonly statuses: CachedAs['statuses']
  /** Which of its methods, where there are others. */
  readonly which: string
}

function ofCached(responses: Responses, { statuses, which }: Cached): Responses {
  const stored = (statuses ?? DEFAULT_STATUSES).map(String)
  const isStored = (status: string): boolean => stored.includes(status) || /^(?:2xx|default)$/i.test(status)
  const notModified = { type: 'null', description: `Not Modified${which}: what the client has is still right` }
  return mapped({ ...responses, 304: responses['304'] ?? notModified }, (status, response) =>
    status === '304' || isStored(status) ? withHeaders(response, OF_ANSWERS) : response,
  )
}

function ofCounted(responses: Responses): Responses {
  const refused = withHeaders(responses['429'] ?? REFUSED, REFUSED.headers)
  return mapped({ ...responses, 429: refused }, (_status, response) => withHeaders(response, OF_COUNTED))
}

function mapped(responses: Responses, change: (status: string, response: object) => object): Responses {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [status, change(status, response)] as const),
  )
}

/** What the route says of a header itself comes first. */
function withHeaders(response: object, added: object): object {
  const { headers } = response as { readonly headers?: object }
  return { ...response, headers: { ...added, ...headers } }
}
