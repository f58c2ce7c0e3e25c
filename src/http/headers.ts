/** Which header fields are stored with a response, and which ones a cached answer carries. */
import type { Headers, HeaderValue } from './message.ts'

/** Fields that belong to one connection or one message, never to the stored response (RFC 9110 §7.6.1, RFC 9111 §3.1). */
const NEVER_STORED = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'age',
  'cache-status',
  'x-cache',
  'retry-after',
  'traceparent',
  'tracestate',
  'server-timing',
  'set-cookie',
  // Meant for this cache, and for none behind it (RFC 9213 §2.1).
  'tidemark-cache-control',
])
const RATE_LIMIT = /ratelimit/

/** Whether a field, its name in lower case, may be stored, and sent with a stored response. */
export function isStorable(name: string): boolean {
  return !NEVER_STORED.has(name) && !RATE_LIMIT.test(name)
}

/**
 * The fields that the handler gave its response: those that were there before it (CORS, request id, CSP nonce, rate
 * limits) are made anew for each answer and not stored.
 *
 * @param withheld names that the response itself wants left out (RFC 9111 §5.2.2.4, `no-cache="a, b"`)
 */
export function storedHeaders(headers: Headers, before: Headers, withheld: readonly string[] = []): Headers {
  const listed = [...named(headers.connection), ...withheld]
  const kept = Object.entries(headers).filter(
    ([name, value]) => isStorable(name) && !listed.includes(name) && !isSame(before[name], value),
  )
  return Object.fromEntries(kept)
}

/** The names in a list field such as Vary or Connection, in lower case. */
export function named(field: HeaderValue | undefined): readonly string[] {
  if (field === undefined) return []
  const text = typeof field === 'string' ? field : field.join(',')
  return text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

/** What a field says, as one line. */
export function lineOf(field: HeaderValue | undefined): string | undefined {
  return field === undefined || typeof field === 'string' ? field : field.join(', ')
}

/** A Vary field that names `name` too. */
export function withVary(field: HeaderValue | undefined, name: string): HeaderValue {
  if (field === undefined) return name
  const names = named(field)
  return names.includes(name) || names.includes('*') ? field : `${lineOf(field)}, ${name}`
}

function isSame(a: HeaderValue | undefined, b: HeaderValue): boolean {
  return a !== undefined && String(a) === String(b)
}
