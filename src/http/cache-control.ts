/** Cache-Control taken apart (RFC 9111 §5.2): tokens, `name=value`, `name="quoted"`; names in lower case. */

/** Directives by name; `true` for one without a value. A name given twice keeps the first value. */
export type Directives = ReadonlyMap<string, string | true>

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y
const SPACE = /[ \t]*/y

/**
 * The directives of a Cache-Control field.
 *
 * Something that does not parse is passed over up to the next comma, so a malformed directive never hides a
 * `no-store` behind it.
 */
export function parseCacheControl(field: string): Directives {
  const directives = new Map<string, string | true>()
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const match = pattern.exec(field)
    if (match !== null) at += match[0].length
    return match
  }
  while (at < field.length) {
    take(SPACE)
    const name = take(TOKEN)?.[0].toLowerCase()
    take(SPACE)
    let value: string | true = true
    if (name !== undefined && field[at] === '=') {
      at++
      take(SPACE)
      const quoted = take(QUOTED)
      value = quoted === null ? (take(TOKEN)?.[0] ?? '') : quoted[1]!.replace(/\\(.)/g, '$1')
    }
    if (name !== undefined && !directives.has(name)) directives.set(name, value)
    const comma = field.indexOf(',', at)
    at = comma === -1 ? field.length : comma + 1
  }
  return directives
}

/** Seconds of a delta-seconds directive; undefined if it is absent, 0 (stale) if it is no number (RFC 9111 §4.2.1). */
export function deltaSeconds(directives: Directives, name: string): number | undefined {
  const value = directives.get(name)
  if (value === undefined) return undefined
  return typeof value === 'string' && /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : 0
}
