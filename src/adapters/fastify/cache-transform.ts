/** What OpenAPI documents should say of cached routes, for @fastify/swagger. */
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

type Responses = Readonly<Record<string, object>>

/**
 * Adds to cached routes what their answers have from the cache: 304, `ETag`, `Age`, `Cache-Control`, `X-Cache` and
 * `Cache-Status`. Other routes stay as they are.
 *
 * @example
 * await app.register(swagger, { openapi: {}, transform: cacheTransform })
 */
export function cacheTransform({ schema, url, route }: TransformedRoute): { schema: RouteSchema; url: string } {
  const options: Pick<CacheRouteOptions, 'methods' | 'statuses'> | undefined =
    route.cache?.options ?? route.config?.cache
  const methods: readonly string[] = options?.methods ?? ['GET', 'HEAD']
  if (options === undefined || ![route.method].flat().some((method) => methods.includes(method))) return { schema, url }
  const declared = (schema as RouteSchema | undefined)?.response as Responses | undefined
  const statuses = (options.statuses ?? DEFAULT_STATUSES).map(String)
  const isStored = (status: string): boolean => statuses.includes(status) || /^(?:2xx|default)$/i.test(status)
  const described = Object.entries(declared ?? { 200: { type: 'null', description: 'Default Response' } }).map(
    ([status, response]) => [status, isStored(status) ? withHeaders(response) : response] as const,
  )
  const notModified = { type: 'null', description: 'Not Modified: what the client has is still right' }
  const response = { ...Object.fromEntries(described), 304: withHeaders(declared?.['304'] ?? notModified) }
  return { schema: { ...schema, response }, url }
}

/** What the route says of a header itself comes first. */
function withHeaders(response: object): object {
  const { headers } = response as { readonly headers?: object }
  return { ...response, headers: { ...OF_ANSWERS, ...headers } }
}
