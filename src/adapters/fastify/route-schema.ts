/** What the registration of a route tells of its key: its pattern, and the query parameters that reach its handler. */
import type { FastifySchema } from 'fastify'

interface Registered {
  readonly url: string
  readonly constraints?: Readonly<Record<string, unknown>> | undefined
}

/** Routes of one URL may differ in their constraints, such as a version. */
export function patternOf({ url, constraints = {} }: Registered): string {
  const entries = Object.entries(constraints).map(([name, value]) => [name, String(value)])
  return entries.length === 0 ? url : `${url} ${JSON.stringify(entries)}`
}

/** What may let more parameters pass than `properties` names, or name them elsewhere. */
const OPEN_ENDED = ['$ref', 'allOf', 'anyOf', 'oneOf', 'if', 'dependentSchemas', 'patternProperties']

/**
 * With a schema for the query that lets nothing else through (Fastify's validator removes it, or refuses the request), only
 * what it declares reaches the handler. Without `additionalProperties: false` the handler is handed all there is.
 */
export function declaredQuery(schema: FastifySchema | undefined): readonly string[] | undefined {
  const querystring = schema?.querystring ?? (schema as { query?: unknown } | undefined)?.query
  if (typeof querystring !== 'object' || querystring === null) return undefined
  const { properties, additionalProperties } = querystring as Readonly<Record<string, unknown>>
  if (additionalProperties !== false || OPEN_ENDED.some((word) => word in querystring)) return undefined
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : undefined
}
