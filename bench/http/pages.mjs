/** What every server of the HTTP benchmark sends: the same bytes with the same header fields. */
import { itemPage } from '../harness/payloads.mjs'

export const PAGES = 512
export const JSON_TYPE = 'application/json; charset=utf-8'

export function finishedPages() {
  return Array.from({ length: PAGES }, (_, i) => Buffer.from(JSON.stringify(itemPage(i))))
}

/** Sends a body as a cache would that had it; an object is serialized by Fastify. */
export function sendHit(reply, body) {
  reply.header('content-type', JSON_TYPE)
  reply.header('age', 0)
  reply.header('x-cache', 'HIT')
  reply.header('cache-status', 'tidemark; hit; ttl=3600')
  return reply.send(body)
}

export function pageNumber(request) {
  return Number(request.params.page)
}
