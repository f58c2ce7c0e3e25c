/** What a successful request by an unsafe method makes out of date beside its own target (RFC 9111 §4.4). */
import type { CacheableRequest, HeaderValue } from './message.ts'

/**
 * Methods that change nothing: RFC 9110 §9.2.1, and by IANA's registry of methods QUERY (RFC 10008), PROPFIND (RFC 4918),
 * SEARCH (RFC 5323) and REPORT (RFC 3253). All others may, also those nobody knows.
 */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY', 'PROPFIND', 'SEARCH', 'REPORT'])

export function isUnsafe(method: string): boolean {
  return !SAFE.has(method)
}

/** Where a response says that the result is: the paths of its Location and Content-Location, if of the same origin. */
export function namedPaths(
  request: Pick<CacheableRequest, 'scheme' | 'host' | 'path'>,
  fields: readonly (HeaderValue | number | undefined)[],
): readonly string[] {
  const base = `${request.scheme}://${request.host}${request.path}`
  return fields.flatMap((field) => {
    if (typeof field !== 'string' || !URL.canParse(field, base)) return []
    const target = new URL(field, base)
    // Of another origin nobody here may speak: that would let one site empty the cache of another.
    return target.origin === new URL(base).origin ? [target.pathname] : []
  })
}

/**
 * Whether some path may belong to both patterns, as routers write them (`/items/:id`, `/files/*`). Where it cannot be
 * told they may: what is then deleted is looked up by the path itself.
 */
export function mayMeet(pattern: string, other: string): boolean {
  const [one, two] = [segmentsOf(pattern), segmentsOf(other)]
  for (let i = 0; i < Math.max(one.length, two.length); i++) {
    const [a, b] = [one[i], two[i]]
    if (a?.includes('*') === true || b?.includes('*') === true) return true
    // `:id?` may be missing.
    if (a === undefined || b === undefined) return (a ?? b)?.endsWith('?') === true
    if (a !== b && !a.includes(':') && !b.includes(':')) return false
  }
  return true
}

/** Routers may be told to overlook case and superfluous slashes. */
function segmentsOf(pattern: string): readonly string[] {
  return pattern
    .toLowerCase()
    .split('/')
    .filter((segment) => segment !== '')
}
