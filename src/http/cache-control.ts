/** Cache-Control taken apart (RFC 9111 §5.2), and the field of our own that stands in its place (RFC 9213). */
import { lineOf } from './headers.ts'
import type { Headers, HeaderValue } from './message.ts'

/** Directives by name; `true` for one without a value, `''` for one that was given two different values. */
export type Directives = ReadonlyMap<string, string | true>

/** What a response says of how it may be cached. */
export interface Control {
  readonly directives: Directives
  /** The words that keep a response out of a shared cache, wherever they stand: `no-store`, `private`, `no-cache`. */
  readonly forbidding: string | undefined
  /** It is our own field's word, which replaces Cache-Control and Expires (RFC 9213 §2.2). */
  readonly isTargeted: boolean
}

/** Fields that speak to caches of one kind; ours first. They replace Cache-Control, and go no further than here. */
export const OWN_CONTROL = 'tidemark-cache-control'
const CDN_CONTROL = 'cdn-cache-control'

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const DIRECTIVE = new RegExp(`(${TOKEN}+)(?:[ \\t]*(=)[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}*)))?`, 'g')
const FORBIDDING = new RegExp(`(?<!${TOKEN})(?:no-store|private|no-cache)(?!${TOKEN})`, 'i')

/** A member of a dictionary of structured fields (RFC 9651 §3.2), without its parameters, where the last one ended. */
const MEMBER =
  /[ \t]*([a-z*][a-z0-9_.*-]*)(?:=(?:(\?[01])|(-?\d{1,15}(?:\.\d{1,3})?)|"((?:[^"\\]|\\["\\])*)"|([A-Za-z*][\w!#$%&'*+.^`|~:/-]*)))?(?:;[^,"]*)?[ \t]*(,|$)/y

/** What the fields of a response say: ours if it parses, else the CDNs' if the route listens to it, else Cache-Control. */
export function controlOf(headers: Headers, heedsCdn = false): Control {
  for (const name of heedsCdn ? [OWN_CONTROL, CDN_CONTROL] : [OWN_CONTROL]) {
    const directives = parseTargeted(headers[name])
    if (directives === undefined) continue
    const forbidding = ['no-store', 'private', 'no-cache'].find((word) => directives.has(word))
    return { directives, forbidding, isTargeted: true }
  }
  const field = headers['cache-control']
  return { directives: parseCacheControl(field), forbidding: forbiddingDirective(field), isTargeted: false }
}

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

/** The directives of a targeted field; undefined if it is absent, empty, or does not parse: then it is ignored. */
function parseTargeted(field: HeaderValue | undefined): Directives | undefined {
  const line = lineOf(field)?.trim()
  if (line === undefined || line === '') return undefined
  const directives = new Map<string, string | true>()
  MEMBER.lastIndex = 0
  for (;;) {
    const member = MEMBER.exec(line)
    if (member === null) return undefined
    const [, name, flag, number, quoted, token, end] = member
    const value = number ?? quoted ?? token ?? true
    if (flag === '?0') directives.delete(name!)
    // Of one name the last counts (RFC 9651 §3.2); a time that is no integer is none (RFC 9213 §2.1).
    else directives.set(name!, value)
    if (end === '') return directives
  }
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
