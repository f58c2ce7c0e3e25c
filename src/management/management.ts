/** What the management routes do, free of any framework: who may call them, and what they answer. */
import type { CacheManager } from '../cache-manager.ts'
import { CacheConfigurationError, CacheKeyError, describe } from '../exceptions.ts'

/** What a proxy adds to a request; one alone is enough to know that it stands between. */
const FORWARDED = ['forwarded', 'via', 'x-real-ip', 'x-client-ip', 'cf-connecting-ip'].concat(
  ['for', 'host', 'proto', 'port', 'server'].map((what) => `x-forwarded-${what}`),
)

/** An answer, to be sent as JSON with `Cache-Control: no-store`. */
export interface ManagementAnswer {
  readonly status: number
  readonly body: object
}

/** What is looked at of a request when nobody said who may call. */
export interface Caller {
  /** The address of the socket's other end. */
  readonly remoteAddress: string | undefined
  /** As the client asked for it, which a proxy that is trusted may tell. */
  readonly host: string
  header(name: string): string | undefined
}

/**
 * @throws {CacheConfigurationError} unless `authorize` is a function that says who may call, or `false` (everybody), or
 * outside of production left out (this machine)
 */
export function assertGuarded(cache: CacheManager, authorize: unknown): void {
  if (authorize === false || typeof authorize === 'function') return
  const isProduction = /^prod(uction)?$/i.test(cache.parts.environment)
  if (authorize === undefined && !isProduction) return
  const expected = 'a function that decides who may call the management routes, or openly `false` (everybody)'
  const fault = {
    path: 'authorize',
    expected: isProduction ? `${expected}, in production` : expected,
    got: describe(authorize),
  }
  throw new CacheConfigurationError([fault], 'management routes')
}

/**
 * True if a request comes from this machine itself: over loopback, not forwarded by a proxy that stands here, and asked
 * of this machine by its loopback name (a page on the web can make a browser ask any name).
 */
export function isLocal(caller: Caller): boolean {
  if (!isLoopback(caller.remoteAddress)) return false
  if (FORWARDED.some((name) => caller.header(name) !== undefined)) return false
  const host = (caller.header('host') ?? caller.header(':authority') ?? '').toLowerCase().replace(/:\d+$/, '')
  return host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''))
}

/** True if a browser sends the request on behalf of another site: by Fetch Metadata, or in older browsers by Origin. */
export function isCrossSite(caller: Caller): boolean {
  const site = caller.header('sec-fetch-site')
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = caller.header('origin')
  return origin !== undefined && !isOriginOf(origin, caller.host)
}

/** The scheme is left out: a proxy that takes TLS off may not tell of it. `null` is the origin of nobody we know. */
function isOriginOf(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, host: asking } = new URL(origin)
  const asked = `${protocol}//${host}`
  return asking !== '' && URL.canParse(asked) && new URL(asked).host === asking
}

export function stats(cache: CacheManager): ManagementAnswer {
  return { status: 200, body: cache.getStatistics() }
}

export async function ping(cache: CacheManager): Promise<ManagementAnswer> {
  const health = await cache.health()
  return { status: health.ok ? 200 : 503, body: health }
}

/** Clears one namespace, or everything of this cache. Redis out of reach is an answer, not a failure of the route. */
export async function clear(cache: CacheManager, namespace: string | undefined): Promise<ManagementAnswer> {
  try {
    await cache.clear({ namespace })
    return { status: 200, body: { ok: true } }
  } catch (error) {
    if (error instanceof CacheKeyError) return badRequest(error.message)
    // Redis is told as soon as it is back; any other store has forgotten it.
    const queued = cache.parts.connection !== undefined
    return { status: 503, body: queued ? { ok: false, queued } : { ok: false } }
  }
}

/** The answer to a clear whose query has a name that means nothing: misspelt, it would clear everything. */
export function clearRefusal(query: unknown): ManagementAnswer | undefined {
  const unknown = Object.keys(Object(query) as object).filter((name) => name !== 'namespace')
  if (unknown.length === 0) return undefined
  return badRequest(`query: expected namespace or nothing, got ${describe(unknown)}`)
}

function badRequest(message: string): ManagementAnswer {
  return { status: 400, body: { statusCode: 400, error: 'Bad Request', message } }
}

export function resetStats(cache: CacheManager): ManagementAnswer {
  cache.resetStatistics()
  return { status: 200, body: { ok: true } }
}

function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(address ?? '')
}
