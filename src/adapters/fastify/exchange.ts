/** Between Fastify and the rules: a request as the rules see it, and a hit as Fastify sends it. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CacheKeyError, describe } from '../../exceptions.ts'
import type { Answer } from '../../http/answer.ts'
import { bypassVerdict, hitVerdict, type CacheVerdict } from '../../http/cache-status.ts'
import { weakened } from '../../http/etag.ts'
import { withVary } from '../../http/headers.ts'
import type { Hit } from '../../http/lead.ts'
import type { CacheableRequest, Headers, HeaderValue } from '../../http/message.ts'
import type { CacheRouteOptions, RouteRequest } from './route-options.ts'

/** A view of a Fastify request; what costs something is asked for only when the rules want it. */
export class RequestView implements CacheableRequest {
  readonly method: string
  readonly path: string
  readonly search: string
  readonly #request: FastifyRequest
  #headers: FastifyRequest['headers']
  readonly #options: CacheRouteOptions

  constructor(request: FastifyRequest, options: CacheRouteOptions) {
    this.#request = request
    // Behind two getters, and looked into ten times for a hit.
    this.#headers = request.headers
    this.#options = options
    this.method = request.method
    const { url } = request
    // Where the router cuts, too.
    const mark = url.search(/[?#]/)
    this.path = mark === -1 ? url : url.slice(0, mark)
    this.search = mark === -1 ? '' : url.slice(mark + 1)
  }

  get scheme(): string {
    return this.#request.protocol
  }

  get host(): string {
    return this.#request.host
  }

  get query(): unknown {
    return this.#request.query
  }

  get content(): unknown {
    return this.#request.body
  }

  get name(): string | undefined {
    const { key } = this.#options
    return typeof key === 'function' ? key(this.#request as RouteRequest) : key
  }

  get user(): string | undefined {
    const user: unknown = this.#options.user?.(this.#request as RouteRequest)
    if (user === undefined || user === null || user === '') return undefined
    if (typeof user === 'string') return user
    if (typeof user === 'bigint' || (typeof user === 'number' && Number.isFinite(user))) return `${user}`
    // `[object Object]` would be everybody.
    throw new CacheKeyError(`user: expected a string, got ${describe(user)}`)
  }

  tags(): readonly string[] {
    const { tags = [] } = this.#options
    return typeof tags === 'function' ? tags(this.#request as RouteRequest) : tags
  }

  mayRefresh(): boolean {
    return this.#options.allowRefresh?.(this.#request as RouteRequest) === true
  }

  /** Takes the header fields as they are: the handler is about to run, and may change them. */
  keepHeaders(): void {
    this.#headers = { ...this.#headers }
  }

  header(name: string): string | undefined {
    const value = this.#headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }
}

/** The header fields that a reply has so far, in the rules' form. */
export function headersOf(reply: FastifyReply): Headers {
  const entries = Object.entries(reply.getHeaders()).filter((entry) => entry[1] !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [name, Array.isArray(value) ? value : String(value)]))
}

/** True for what Fastify takes apart after the hooks. */
export function isResponse(payload: unknown): payload is Response {
  return Object.prototype.toString.call(payload) === '[object Response]'
}

/** The status that an answer will have. */
export function statusOf(reply: FastifyReply, payload: unknown): number {
  return isResponse(payload) ? payload.status : reply.statusCode
}

/** Puts a stored response in the place of the handler's; its body is returned, to be sent. */
export function applyAnswer(reply: FastifyReply, hit: Hit, answer: Answer): Buffer | undefined {
  const { status, headers, body } = answer
  reply.code(status)
  for (const name in headers) reply.header(name, headers[name])
  // CORS may have said `Vary: Origin` before.
  if (answer.variesByEncoding)
    reply.header('vary', withVary(reply.getHeader('vary') as HeaderValue | undefined, 'accept-encoding'))
  reply.header('age', hit.ageSeconds)
  applyVerdict(reply, hitVerdict(hit))
  return body
}

/** What a plugin has encoded behind us are other bytes than those that the tag was made of (RFC 9110 §8.8.3.3). */
export function weakenEncoded(reply: FastifyReply): void {
  const tag = reply.hasHeader('content-encoding') ? reply.getHeader('etag') : undefined
  if (typeof tag === 'string') reply.header('etag', weakened(tag))
}

export function applyBypass(reply: FastifyReply, reason: string): void {
  applyVerdict(reply, bypassVerdict(reason))
}

export function applyVerdict(reply: FastifyReply, { xCache, cacheStatus }: CacheVerdict): void {
  reply.header('x-cache', xCache)
  reply.header('cache-status', cacheStatus)
}

/** True for the fields that `applyVerdict` sets. */
export function isVerdict(name: string): boolean {
  return name === 'x-cache' || name === 'cache-status'
}
