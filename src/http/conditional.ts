/**
 * Whether a client has what it asks for already (RFC 9110 §13, RFC 9111 §4.3.2): the answer is then a 304.
 *
 * If-Match and If-Unmodified-Since are not looked at: they guard writes against lost updates (RFC 9110 §13.1.1), and
 * only the handler knows the current state. A cache may leave them alone, being no origin server (§13.2.1).
 */
import { isSameWeakly } from './etag.ts'
import { lineOf } from './headers.ts'
import { parseHttpDate } from './http-date.ts'
import type { CacheableRequest, Headers } from './message.ts'

/** One member of If-None-Match where the last one ended; sticky and without a choice to take back, so linear. */
const MEMBER = /[ \t,]*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)/y

/** What a 304 says of the response it stands for (RFC 9110 §15.4.5). */
const FIELDS_OF_304 = ['cache-control', 'content-location', 'date', 'etag', 'expires', 'vary'] as const
const IS_FIELD_OF_304: ReadonlySet<string> = new Set(FIELDS_OF_304)

/**
 * True if the answer to a GET or HEAD that would be a 200 with these fields is a 304 instead.
 *
 * If-None-Match speaks alone where it is given (RFC 9110 §13.2.2); dates are too coarse to overrule it.
 */
export function isNotModified(request: Pick<CacheableRequest, 'header'>, headers: Headers): boolean {
  const tags = request.header('if-none-match')
  if (tags !== undefined) return isListed(tags, lineOf(headers.etag))
  const since = request.header('if-modified-since')
  return since !== undefined && isUnmodifiedSince(since, headers)
}

/** Of the fields of a 200 those that belong into its 304. */
export function notModifiedHeaders(headers: Headers): Headers {
  const kept = FIELDS_OF_304.flatMap((name) => {
    const value = headers[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(kept)
}

export function isFieldOf304(name: string): boolean {
  return IS_FIELD_OF_304.has(name)
}

/** Whether the list has this tag, or is `*`. What does not parse ends the list: the client is sent all of it. */
function isListed(list: string, tag: string | undefined): boolean {
  if (list === '*') return true
  if (tag === undefined) return false
  // The usual list has one member; nor need that be a tag, if the handler's own is none.
  if (list === tag) return true
  MEMBER.lastIndex = 0
  for (let member = MEMBER.exec(list); member !== null; member = MEMBER.exec(list)) {
    if (isSameWeakly(member[1]!, tag)) return true
  }
  return false
}

/** Without a Last-Modified the time of the response itself counts (RFC 9111 §4.3.2). */
function isUnmodifiedSince(since: string, headers: Headers): boolean {
  const sinceAt = parseHttpDate(since)
  const modifiedAt = parseHttpDate(lineOf(headers['last-modified'] ?? headers.date) ?? '')
  return sinceAt !== undefined && modifiedAt !== undefined && modifiedAt <= sinceAt
}
