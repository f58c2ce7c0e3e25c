/**
 * Parts of a stored body (RFC 9110 §14): one range of bytes, of the identity bytes.
 *
 * A server may ignore Range (§14.2), and so it is with all but one plain range: several of them would let a small
 * request ask for a body many times over (§17.15).
 */
import { isSameStrongly } from './etag.ts'
import { lineOf } from './headers.ts'
import { parseHttpDate } from './http-date.ts'
import type { CacheableRequest, Headers } from './message.ts'

/** Positions of bytes, the last one included. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

const SINGLE_RANGE = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/i

/** An HTTP-date is a strong validator if the response was made at least so long after it (RFC 9110 §8.8.2.2). */
const STRONG_DATE_MS = 1000

/** What of a 200 a request asks for; undefined: all of it. */
export function requestedRange(
  request: Pick<CacheableRequest, 'method' | 'header'>,
  headers: Headers,
  length: number,
): ByteRange | 'unsatisfiable' | undefined {
  const field = request.header('range')
  // Of no meaning but for GET (RFC 9110 §14.2). A handler that says it has no ranges has none.
  if (field === undefined || request.method !== 'GET' || headers['accept-ranges'] === 'none') return undefined
  const range = parseRange(field, length)
  if (range === undefined) return undefined
  const condition = request.header('if-range')
  return condition === undefined || isUnchanged(condition, headers) ? range : undefined
}

/** The fields that tell which part of a body this is, or that there is no such part (RFC 9110 §14.4). */
export function contentRange(range: ByteRange | 'unsatisfiable', length: number): string {
  return range === 'unsatisfiable' ? `bytes */${length}` : `bytes ${range.first}-${range.last}/${length}`
}

function parseRange(field: string, length: number): ByteRange | 'unsatisfiable' | undefined {
  const match = SINGLE_RANGE.exec(field)
  if (match === null) return undefined
  const [, first, last, suffix] = match
  if (suffix !== undefined) {
    const count = Math.min(Number(suffix), length)
    return count === 0 ? 'unsatisfiable' : { first: length - count, last: length - 1 }
  }
  const from = Number(first)
  const to = last === '' ? Infinity : Number(last)
  // Invalid, so to be ignored (RFC 9110 §14.1.2).
  if (from > to) return undefined
  return from >= length ? 'unsatisfiable' : { first: from, last: Math.min(to, length - 1) }
}

/** If-Range (RFC 9110 §13.1.5): parts of two different bodies must never be put together, so only strong will do. */
function isUnchanged(condition: string, headers: Headers): boolean {
  const tag = lineOf(headers.etag)
  if (tag !== undefined && isSameStrongly(condition, tag)) return true
  const modified = lineOf(headers['last-modified'])
  if (condition !== modified) return false
  const modifiedAt = parseHttpDate(modified)
  const madeAt = parseHttpDate(lineOf(headers.date) ?? '')
  return modifiedAt !== undefined && madeAt !== undefined && madeAt - modifiedAt >= STRONG_DATE_MS
}
