/**
 * Dictionaries of structured fields (RFC 9651 §3.2, §4.2.2), of which targeted Cache-Control fields are made.
 *
 * All or nothing: where one character is wrong the whole field is. Parameters are checked and left out, since no directive
 * has any (RFC 9213 §2.1). Each expression is anchored where the last one ended, and none can be matched in two ways, so
 * reading takes linear time.
 */

/** What a directive may be worth; `other` stands for values that none has (lists, bytes, dates, fractions). */
export type Item =
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'integer' | 'string' | 'token'; readonly value: string }
  | { readonly type: 'other' }

const KEY = /[a-z*][a-z0-9_.*-]*/y
const SPACES = / */y
const WHITE_SPACE = /[ \t]*/y
const TRUE: Item = { type: 'boolean', value: true }
const OTHER: Item = { type: 'other' }

const ITEMS: readonly (readonly [RegExp, (text: string) => Item])[] = [
  // Before integers, which they begin with.
  [/-?\d{1,12}\.\d{1,3}(?![\d.])/y, () => OTHER],
  [/-?\d{1,15}(?![\d.])/y, (value) => ({ type: 'integer', value })],
  [/"(?:[ !#-[\]-~]|\\["\\])*"/y, (text) => ({ type: 'string', value: text.slice(1, -1).replaceAll(/\\(.)/g, '$1') })],
  [/[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/y, (value) => ({ type: 'token', value })],
  [/\?[01]/y, (text) => ({ type: 'boolean', value: text === '?1' })],
  [/:[A-Za-z0-9+/]*={0,2}:/y, () => OTHER],
  [/@-?\d{1,15}(?![\d.])/y, () => OTHER],
  [/%"(?:[ !#-$&-~]|%[0-9a-f]{2})*"/y, () => OTHER],
]

/** The members by key, of one key the last; undefined if it is no dictionary. */
export function parseDictionary(text: string): ReadonlyMap<string, Item> | undefined {
  const reader = new Reader(text)
  const members = new Map<string, Item>()
  reader.take(SPACES)
  while (!reader.isAtEnd) {
    const key = reader.take(KEY)
    const item = key === undefined ? undefined : memberOf(reader)
    if (item === undefined) return undefined
    members.set(key!, item)
    reader.take(WHITE_SPACE)
    if (reader.isAtEnd) return members
    if (!reader.skip(',')) return undefined
    reader.take(WHITE_SPACE)
    // A comma at the end promises a member.
    if (reader.isAtEnd) return undefined
  }
  return members
}

/** A value, or none, which is true; with its parameters. */
function memberOf(reader: Reader): Item | undefined {
  const value = reader.skip('=') ? (reader.skip('(') ? innerList(reader) : bareItem(reader)) : TRUE
  return value !== undefined && hasParameters(reader) ? value : undefined
}

function bareItem(reader: Reader): Item | undefined {
  for (const [pattern, make] of ITEMS) {
    const text = reader.take(pattern)
    if (text !== undefined) return make(text)
  }
  return undefined
}

function innerList(reader: Reader): Item | undefined {
  for (;;) {
    const spaces = reader.take(SPACES)
    if (reader.skip(')')) return OTHER
    if (spaces === '' && !reader.isBehind('(')) return undefined
    if (bareItem(reader) === undefined || !hasParameters(reader)) return undefined
  }
}

/** Reads parameters, of which there may be none; false if what stands there is none. */
function hasParameters(reader: Reader): boolean {
  while (reader.skip(';')) {
    reader.take(SPACES)
    if (reader.take(KEY) === undefined) return false
    if (reader.skip('=') && bareItem(reader) === undefined) return false
  }
  return true
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = withoutLastSpaces(text)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length
  }

  isBehind(character: string): boolean {
    return this.#text[this.#at - 1] === character
  }

  skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  /** What a sticky expression matches here, which is then read. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const text = pattern.exec(this.#text)?.[0]
    this.#at += text?.length ?? 0
    return text
  }
}

/** Not by an expression, which would begin anew at each space. */
function withoutLastSpaces(text: string): string {
  let end = text.length
  while (text[end - 1] === ' ') end--
  return text.slice(0, end)
}
