/**
 * What is stored and no longer fresh may be confirmed by whoever made it (RFC 9111 §4.3): the handler is told of it, asks
 * its origin with its validators, and passes on a 304.
 */
import { isSameWeakly } from './etag.ts'
import { lineOf } from './headers.ts'
import type { CacheableRequest, Headers } from './message.ts'
import type { StoredHead } from './stored-response.ts'

/** What a handler is told of the response that it may confirm. */
export interface PreviousResponse {
  readonly status: number
  readonly headers: Headers
  /** For `If-None-Match`. */
  readonly etag: string | undefined
  /** For `If-Modified-Since`. */
  readonly lastModified: string | undefined
}

export function previousOf({ status, headers, hasOwnTag }: StoredHead): PreviousResponse {
  const etag = hasOwnTag ? undefined : lineOf(headers.etag)
  return { status, headers, etag, lastModified: lineOf(headers['last-modified']) }
}

/** Fields that describe the stored bytes themselves: a 304 has none, so what it says of them is of another body. */
const OF_THE_BODY: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'transfer-encoding',
])

/** The stored fields, with those that a 304 brought in their place (RFC 9111 §3.2). */
export function freshenedHeaders(stored: Headers, told: Headers): Headers {
  const news = Object.entries(told).filter(([name]) => !OF_THE_BODY.has(name))
  // A Date or Age of before would make it old again.
  const { age: _, date: __, ...lasting } = stored
  return { ...lasting, ...Object.fromEntries(news) }
}

/**
 * Whether a handler's 304 is about what is stored, and not about what its client has: its validators are the stored
 * ones, or it has none and the client asked without any, or for the stored one (RFC 9111 §4.3.4).
 */
export function isConfirmation(told: Headers, stored: Headers, request: Pick<CacheableRequest, 'header'>): boolean {
  const etag = lineOf(told.etag)
  const storedTag = lineOf(stored.etag)
  if (etag !== undefined) return storedTag !== undefined && isSameWeakly(etag, storedTag)
  const modified = lineOf(told['last-modified'])
  if (modified !== undefined) return modified === lineOf(stored['last-modified'])
  const asked = request.header('if-none-match')
  if (asked !== undefined) return storedTag !== undefined && isSameWeakly(asked, storedTag)
  const since = request.header('if-modified-since')
  return since === undefined || since === lineOf(stored['last-modified'])
}
