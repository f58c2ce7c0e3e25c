/** Cache-Control taken apart (RFC 9111 §5.2), and the field of our own that stands in its place (RFC 9213). */
import { lineOf, named } from './headers.ts'
import type { Headers, HeaderValue } from './message.ts'
import { parseDictionary } from './structured-dictionary.ts'

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

const TOKEN_CHARACTER = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
const FORBIDDING = new RegExp(`(?<!${TOKEN_CHARACTER})(?:no-store|private|no-cache)(?!${TOKEN_CHARACTER})`, 'gi')

const NAME = new RegExp(`${TOKEN_CHARACTER}+`, 'y')
const EQUALS = /[ \t]*=[ \t]*/y
const QUOTED = /"(?:[^"\\]|\\.)*"/y
const BETWEEN = /[ \t,;]*/y
/** What is neither a directive nor between two. */
const JUNK = /[^ \t,;]*/y

/** Directives that are whole numbers of seconds. */
const TIMES: readonly string[] = ['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']

/** What the fields of a response say: ours if it parses, else the CDNs' if the route listens to it, else Cache-Control. */
export function controlOf(headers: Headers, heedsCdn = false): Control {
  for (const name of heedsCdn ? [OWN_CONTROL, CDN_CONTROL] : [OWN_CONTROL]) {
    const directives = parseTargeted(headers[name])
    if (directives !== undefined)
      return { directives, forbidding: forbiddingIn([...directives.keys()].join()), isTargeted: true }
  }
  const field = headers['cache-control']
  return { directives: parseCacheControl(field), forbidding: forbiddingDirective(field), isTargeted: false }
}

/**
 * The directives of a Cache-Control field, of each of its lines for itself.
 *
 * What does not parse is passed over, and what follows it is read: `max-age=60; no-store` has two directives. Nothing is
 * read out of quotes, and nothing is taken for a directive that only begins or ends like one.
 */
export function parseCacheControl(field: HeaderValue | undefined): Directives {
  const directives = new Map<string, string | true>()
  for (const line of [field ?? []].flat()) readLine(line, directives)
  return directives
}

/** In linear time: once a quote was found that does not end, no other is looked for. */
function readLine(line: string, directives: Map<string, string | true>): void {
  let at = 0
  let isBroken = false
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const text = pattern.exec(line)?.[0]
    at += text?.length ?? 0
    return text
  }
  const takeQuoted = (): string | undefined => {
    const text = isBroken ? undefined : take(QUOTED)
    // What seems to stand in the quotes may be what somebody meant: it is read on behind the first.
    if (text === undefined) at++
    isBroken ||= text === undefined
    return text?.slice(1, -1).replaceAll(/\\(.)/g, '$1')
  }
  const takeValue = (): string | true => {
    if (take(EQUALS) === undefined) return true
    const value = line[at] === '"' ? takeQuoted() : take(NAME)
    // Where nobody knows what is quoted, a time may be part of something else.
    return (isBroken ? undefined : value) ?? ''
  }
  while (at < line.length) {
    take(BETWEEN)
    const name = take(NAME)?.toLowerCase()
    if (name === undefined) {
      if (line[at] === '"') takeQuoted()
      else take(JUNK)
      continue
    }
    const value = takeValue()
    const told = isBroken || take(JUNK) === '' ? value : ''
    directives.set(name, directives.has(name) && directives.get(name) !== told ? '' : told)
  }
}

/**
 * The directives of a targeted field; undefined if it is absent, empty, or does not parse, a time that is no integer
 * included: then it is as if it were not there (RFC 9213 §2.1).
 */
function parseTargeted(field: HeaderValue | undefined): Directives | undefined {
  const members = field === undefined ? undefined : parseDictionary(lineOf(field)!)
  if (members === undefined || members.size === 0) return undefined
  const directives = new Map<string, string | true>()
  for (const [name, item] of members) {
    if (TIMES.includes(name) && item.type !== 'integer') return undefined
    if (item.type === 'other') directives.set(name, '')
    else if (item.type !== 'boolean') directives.set(name, item.value)
    else if (item.value) directives.set(name, true)
  }
  return directives
}

/**
 * The word in a response's Cache-Control that keeps it out of a shared cache: `private`, `no-store` or `no-cache`, the
 * strictest of those there are.
 *
 * Wherever it stands, be it in quotes: a field that is malformed around it must not hide it.
 */
export function forbiddingDirective(field: HeaderValue | undefined): string | undefined {
  return forbiddingIn([field ?? []].flat().join(', '))
}

function forbiddingIn(text: string): string | undefined {
  const found = Array.from(text.matchAll(FORBIDDING), ([word]) => word.toLowerCase())
  return ['private', 'no-store', 'no-cache'].find((word) => found.includes(word))
}

/** Seconds of a delta-seconds directive; undefined if it is absent, 0 (stale) if it is no number (RFC 9111 §4.2.1). */
export function deltaSeconds(directives: Directives, name: string): number | undefined {
  const value = directives.get(name)
  if (value === undefined) return undefined
  return typeof value === 'string' && /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : 0
}

/**
 * Fields that a response wants left out of what is stored: those that `no-cache="a, b"` names (RFC 9111 §5.2.2.4). None if
 * it names none, or says both: then all of it is meant.
 */
export function withheldNames({ directives }: Control): readonly string[] {
  const names = directives.get('no-cache')
  return typeof names === 'string' ? named(names) : []
}
