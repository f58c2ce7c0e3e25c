/** What every server of the HTTP benchmark sends: the same bytes with the same header fields. */
import { createHash } from 'node:crypto'
import { itemPage } from '../harness/payloads.mjs'

export const PAGES = 512
export const JSON_TYPE = 'application/json; charset=utf-8'

export function finishedPages() {
  return Array.from({ length: PAGES }, (_, i) => Buffer.from(JSON.stringify(itemPage(i))))
}

const TAGS = finishedPages().map((page) => `"${createHash('md5').update(page).digest('base64url')}"`)

/** The header fields of a hit, but for the type of its body. */
export function hitFields(page) {
  return {
    etag: TAGS[page],
    'accept-ranges': 'bytes',
    age: '0',
    'x-cache': 'HIT',
    'cache-status': 'tidemark; hit; ttl=3600',
  }
}

/** Sends a body as a cache would that had it; an object is serialized by Fastify. */
export function sendHit(request, reply, body) {
  reply.header('content-type', JSON_TYPE)
  reply.headers(hitFields(pageNumber(request)))
  return reply.send(body)
}

export function pageNumber(request) {
  return Number(request.params.page)
}
