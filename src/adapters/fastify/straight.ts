/**
 * The shortest way out for a hit: from here to Node's response, past what Fastify does for replies in general.
 *
 * Only where nobody can tell the difference: no hook of anybody else is shown the answer or the reply, no header field
 * was set before, nobody has patched the response, and the answer is a whole body, or none.
 */
import type { FastifyReply } from 'fastify'
import type { Answer } from '../../http/answer.ts'
import { hitVerdict } from '../../http/cache-status.ts'
import { withVary } from '../../http/headers.ts'
import type { Hit } from '../../http/lead.ts'
import type { Headers } from '../../http/message.ts'

/** Names and values in turn, as Node takes them. */
type HeaderList = readonly (string | string[])[]

/** The same for all hits of an entry. */
const lists = new WeakMap<Headers, HeaderList>()
const varyingLists = new WeakMap<Headers, HeaderList>()

let trailers: symbol | undefined

export function mayGoStraight(reply: FastifyReply, { status, body }: Answer): boolean {
  const { method, httpVersionMajor } = reply.request.raw
  if (method !== 'GET' || httpVersionMajor !== 1) return false
  if (status !== 304 && (body === undefined || body.length === 0)) return false
  // Middleware of Express patches it, to be told when the head goes out.
  if (Object.hasOwn(reply.raw, 'writeHead')) return false
  return !hasTrailers(reply) && isEmpty(reply.getHeaders())
}

export function sendStraight(reply: FastifyReply, hit: Hit, { status, headers, body, variesByEncoding }: Answer): void {
  const { xCache, cacheStatus } = hitVerdict(hit)
  const list = [
    ...listOf(headers, variesByEncoding),
    'age',
    `${hit.ageSeconds}`,
    'x-cache',
    xCache,
    'cache-status',
    cacheStatus,
  ]
  if (body !== undefined) list.push('content-length', `${body.length}`)
  // First what may throw: afterwards an error would be nobody's.
  reply.raw.writeHead(status, list)
  reply.hijack()
  reply.raw.end(body)
}

/** Fastify tells of those it is asked for by name only, so this looks where it keeps them; if that is gone there may be some. */
function hasTrailers(reply: FastifyReply): boolean {
  trailers ??= Object.getOwnPropertySymbols(reply).find(({ description }) => description === 'fastify.reply.trailers')
  return trailers === undefined || (reply as unknown as Readonly<Record<symbol, unknown>>)[trailers] !== null
}

function isEmpty(headers: object): boolean {
  for (const name in headers) if (Object.hasOwn(headers, name)) return false
  return true
}

function listOf(headers: Headers, variesByEncoding: boolean): HeaderList {
  const known = variesByEncoding ? varyingLists : lists
  const there = known.get(headers)
  if (there !== undefined) return there
  const fields = variesByEncoding ? { ...headers, vary: withVary(headers.vary, 'accept-encoding') } : headers
  const made = Object.entries(fields).flatMap(([name, value]) => [name, typeof value === 'string' ? value : [...value]])
  known.set(headers, made)
  return made
}
