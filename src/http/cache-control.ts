/** Cache-Control taken apart (RFC 9111 §5.2): tokens, `name=value`, `name="quoted"`; names in lower case. */
import type { HeaderValue } from './message.ts'

/** Directives by name; `true` for one without a value, `''` for one that was given two different values. */
export type Directives = ReadonlyMap<string, string | true>

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const DIRECTIVE = new RegExp(`(${TOKEN}+)(?:[ \\t]*(=)[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}*)))?`, 'g')
const FORBIDDING = new RegExp(`(?<!${TOKEN})(?:no-store|private|no-cache)(?!${TOKEN})`, 'i')

/**
 * The directives of a Cache-Control field, of each of its lines for itself.
 *
 * What does not parse is passed over, and what follows it is read: `max-age=60; no-store` has two directives.
 */
export function parseCacheControl(field: HeaderValue | undefined): Directives {
  const directives = new Map<string, string | true>()
  for (const line of [field ?? []].flat()) {
    for (const [, name, equals, quoted, token] of line.matchAll(DIRECTIVE)) {
      const value = equals === undefined ? true : (quoted?.replaceAll(/\\(.)/g, '$1') ?? token ?? '')
      const key = name!.toLowerCase()
      directives.set(key, directives.has(key) && directives.get(key) !== value ? '' : value)
    }
  }
  return directives
}

/**
 * The word in a response's Cache-Control that keeps it out of a shared cache: `no-store`, `private` or `no-cache`.
 *
 * Wherever it stands, be it in quotes: a field that is malformed around it must not hide it.
 */
export function forbiddingDirective(field: HeaderValue | undefined): string | undefined {
  return FORBIDDING.exec([field ?? []].flat().join(', '))?.[0].toLowerCase()
}

/** Seconds of a delta-seconds directive; undefined if it is absent, 0 (stale) if it is no number (RFC 9111 §4.2.1). */
export function deltaSeconds(directives: Directives, name: string): number | undefined {
  const value = directives.get(name)
  if (value === undefined) return undefined
  return typeof value === 'string' && /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : 0
}
