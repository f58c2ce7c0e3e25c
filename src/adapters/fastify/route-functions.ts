/**
 * The functions among the options of a cached route, held to their word.
 *
 * They run for each request, with what a client sent. One that fails, or that returns what cannot be used, is a mistake
 * of the application and none of the request: that is answered as if there were no cache, which shares nothing with
 * anybody, and the mistake is told with the route's name.
 */
import type { preHandlerHookHandler, RouteOptions } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheKeyError, describe, describeError } from '../../exceptions.ts'
import { applyBypass } from './exchange.ts'
import { isName, nameOf, type CacheRouteOptions, type CacheSpec, type RouteRequest } from './route-options.ts'

type FunctionName = 'key' | 'tags' | 'user' | 'allowRefresh'

interface Promised {
  readonly expected: string
  readonly accepts: (value: unknown) => boolean
}

/** What each function is to return. */
const PROMISED: Readonly<Record<FunctionName, Promised>> = {
  key: { expected: 'a non-empty string', accepts: isName },
  tags: {
    expected: 'a non-empty string, or an array of them',
    accepts: (value) => isName(value) || (Array.isArray(value) && value.every(isName)),
  },
  user: {
    expected: 'a string, or undefined for nobody',
    accepts: (value) => value === undefined || value === null || isUserName(value),
  },
  allowRefresh: { expected: 'true or false', accepts: () => true },
}

/** Mistakes on their way to `bypassing`, and the function that made them. */
const mistakes = new WeakMap<CacheKeyError, FunctionName>()

/** The same options, with functions that either return what can be used, or throw what `bypassing` understands. */
export function withCheckedFunctions(
  route: RouteOptions,
  spec: CacheSpec<CacheRouteOptions>,
): CacheSpec<CacheRouteOptions> {
  const { cache, options } = spec
  // Refused, when its turn comes.
  if (typeof options !== 'object' || options === null) return spec
  const checked: Record<string, unknown> = { ...options }
  for (const name of Object.keys(PROMISED) as FunctionName[]) {
    const ask = checked[name]
    if (typeof ask === 'function') checked[name] = checkedFunction(name, ask as Ask, nameOf(route))
  }
  return { cache, options: checked }
}

type Ask = (request: RouteRequest) => unknown

function checkedFunction(name: FunctionName, ask: Ask, route: string): Ask {
  const { expected, accepts } = PROMISED[name]
  return (request) => {
    let value: unknown
    try {
      value = ask(request)
    } catch (cause) {
      throw mistake(name, new CacheKeyError(`${name} of ${route} failed: ${describeError(cause)}`, { cause }))
    }
    if (accepts(value)) return name === 'tags' && typeof value === 'string' ? [value] : value
    throw mistake(name, new CacheKeyError(`${name} of ${route}: expected ${expected}, got ${describe(value)}`))
  }
}

function mistake(name: FunctionName, error: CacheKeyError): CacheKeyError {
  mistakes.set(error, name)
  return error
}

/** The same lookup; a request for which one of the functions fails goes on to the handler, and bypasses the cache. */
export function bypassing(
  lookup: preHandlerHookHandler,
  route: RouteOptions,
  { parts }: CacheManager,
): preHandlerHookHandler {
  const { telemetry, isStrict } = parts
  return function lookUp(request, reply, done) {
    lookup.call(this, request, reply, (error) => {
      const name = error instanceof CacheKeyError ? mistakes.get(error) : undefined
      if (name === undefined) return done(error)
      telemetry.report(error, { route: nameOf(route) })
      if (isStrict) return done(error)
      applyBypass(reply, name)
      done()
    })
  }
}

/** As `exchange.ts` takes it: `[object Object]` would be everybody. */
function isUserName(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value))
}
