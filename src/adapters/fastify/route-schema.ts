/** What the registration of a route tells of its key: its pattern, and the query parameters that reach its handler. */
import type { FastifySchema } from 'fastify'
import { CacheConfigurationError, describe } from '../../exceptions.ts'
import { isUnambiguous } from '../../http/content.ts'

interface Registered {
  readonly url: string
  readonly constraints?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Routes of one URL may differ in their constraints, such as a version.
 *
 * @throws {CacheConfigurationError} for a constraint that cannot be told from others
 */
export function patternOf({ url, constraints = {} }: Registered): string {
  const entries = Object.entries(constraints).map(([name, value]) => [name, told(name, value)])
  return entries.length === 0 ? url : `${url} ${JSON.stringify(entries)}`
}

/** What JSON keeps apart; two routes whose constraints were alike would answer for each other. */
function told(name: string, value: unknown): unknown {
  if (value instanceof RegExp) return { pattern: String(value) }
  if (isUnambiguous(value)) return value
  const fault = { path: `constraints.${name}`, expected: 'a string, a RegExp or plain data', got: describe(value) }
  throw new CacheConfigurationError([fault], 'route')
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
