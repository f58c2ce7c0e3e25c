/**
 * What the handler made, on its way out: the first of the route's onSend hooks, so that the bytes are those from before
 * compression. Strings and buffers are taken as they are; streams are copied while they flow, and stored only if they
 * end cleanly and are not too large. An event stream is left alone.
 */
import { finished, pipeline, Readable, Transform } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Answer } from '../../http/answer.ts'
import { leadVerdict } from '../../http/cache-status.ts'
import { isFieldOf304, isNotModified } from '../../http/conditional.ts'
import { tagged } from '../../http/etag.ts'
import { lineOf } from '../../http/headers.ts'
import { isConfirmation } from '../../http/validation.ts'
import type { Hit, Lead } from '../../http/lead.ts'
import type { CacheableRequest, Headers } from '../../http/message.ts'
import type { MaybePromise } from '../../stores/store.ts'
import { applyAnswer, applyVerdict, headersOf, isResponse, isVerdict, weakenEncoded } from './exchange.ts'

/** A lead, and what is needed to end it. */
export interface Capture {
  readonly request: CacheableRequest
  readonly lead: Lead
  /** The header fields that were there before the handler ran. */
  readonly before: Headers
  /** What is sent should a stale response stand in for the handler's. */
  readonly answer: (hit: Hit) => MaybePromise<Answer>
  /** It was encoded when it came by; what becomes encoded later is a plugin's doing. */
  isEncoded: boolean
  /** The handler says that what is stored is still right. */
  isConfirmed: boolean
  /** The last hook has let the answer go out as it is. */
  isSealed: boolean
  /** Stores what was captured, once the last hook has let the answer go out as it is. */
  commit?: () => void
}

export interface Captured extends Pick<Capture, 'request' | 'lead' | 'answer'> {
  readonly reply: FastifyReply
}

export function beginCapture({ request, reply, lead, answer }: Captured): Capture {
  // Whatever happens to the answer, the lead ends with it. Some handlers write to the raw response.
  finished(reply.raw, (error) => lead.drop(error ? 'gone' : 'refused'))
  const hijack = reply.hijack.bind(reply)
  // A hijacked answer does not come by onSend, and may go on for ever.
  reply.hijack = () => {
    lead.drop('refused')
    return hijack()
  }
  return { request, lead, answer, before: headersOf(reply), isEncoded: false, isConfirmed: false, isSealed: false }
}

/** The payload to send: the handler's own, a copy of its stream, or a stale response in place of its failure. */
export function capturePayload(capture: Capture, reply: FastifyReply, handled: unknown): unknown {
  const { lead, before } = capture
  const payload = isResponse(handled) ? unwrapped(handled, reply) : handled
  const hasFailed = reply.statusCode >= 500
  const stale = hasFailed ? lead.standIn(reply.statusCode) : undefined
  if (stale !== undefined) {
    lead.drop('failed')
    discard(payload)
    return standingIn(capture, reply, stale)
  }
  const wasOver = lead.isOver
  const response = { status: reply.statusCode, headers: headersOf(reply) }
  if (response.status === 304 && !wasOver && isAboutPrevious(capture, response.headers)) {
    discard(payload)
    return confirming(capture, reply, response.headers)
  }
  capture.isEncoded = response.headers['content-encoding'] !== undefined
  const body = bodyOf(payload)
  const reason = lead.refusal(response, before) ?? refusalOf(body, { lead, reply, headers: response.headers })
  // An error took the place of a response that had been captured already, before anything of it was sent.
  applyVerdict(reply, leadVerdict(lead, wasOver ? (reason ?? 'failed') : reason))
  if (wasOver) return payload
  if (reason !== undefined || body === undefined) {
    lead.drop(hasFailed ? 'failed' : 'refused')
    return payload
  }
  if (Buffer.isBuffer(body)) {
    // It is stored when all hooks have seen the payload: what they write into it is this client's alone.
    const whole = tagged({ ...response, body: body === payload ? Buffer.from(body) : body })
    // Before other hooks, so that they find it, and keep it.
    if (whole.headers.etag !== undefined) reply.header('etag', whole.headers.etag)
    capture.commit = () => lead.finish(whole, before)
    return payload
  }
  return copied(body, lead, (bytes) => {
    if (refusalOf(bytes, { lead, reply, headers: response.headers }) !== undefined) return lead.drop('refused')
    const commit = (): void => lead.finish(tagged({ ...response, body: bytes }), before)
    // A short one ends before the last hook has spoken.
    if (capture.isSealed) commit()
    else capture.commit = commit
  })
}

/** Stores what was captured, unless a later hook has made the answer one that may not be shared; the payload to send. */
export function sealCapture(capture: Capture, reply: FastifyReply, payload: unknown): unknown {
  const { request, lead, before, commit, isEncoded } = capture
  if (!isEncoded) weakenEncoded(reply)
  if (lead.isOver) return payload
  if (capture.isConfirmed) {
    commit?.()
    return payload
  }
  // Compression is no matter: what is stored is from before it.
  const { 'content-encoding': _, ...headers } = headersOf(reply)
  const reason = lead.refusal({ status: reply.statusCode, headers }, before)
  if (reason !== undefined) {
    lead.drop('refused')
    applyVerdict(reply, leadVerdict(lead, reason))
    return payload
  }
  capture.isSealed = true
  if (commit === undefined) return payload
  commit()
  if (reply.statusCode !== 200 || !isNotModified(request, headers)) return payload
  discard(payload)
  becomeNotModified(reply, before)
  return null
}

type Body = Buffer | Readable | ReadableStream

/** What can be stored of a payload; undefined if it is of a kind that Fastify alone knows. */
function bodyOf(payload: unknown): Body | undefined {
  if (payload === undefined || payload === null) return Buffer.alloc(0)
  if (typeof payload === 'string') return Buffer.from(payload)
  if (Buffer.isBuffer(payload) || payload instanceof Readable || payload instanceof ReadableStream) return payload
  return undefined
}

interface Circumstances {
  readonly lead: Lead
  readonly reply: FastifyReply
  readonly headers: Headers
}

function refusalOf(body: Body | undefined, { lead, reply, headers }: Circumstances): string | undefined {
  if (body === undefined) return 'payload'
  if (lineOf(headers['content-type'])?.toLowerCase().startsWith('text/event-stream') === true) return 'event-stream'
  const declared = lineOf(headers['content-length'])
  if (Number(declared ?? 0) > lead.maxBodyBytes) return 'too-large'
  if (!Buffer.isBuffer(body)) return undefined
  if (body.length > lead.maxBodyBytes) return 'too-large'
  if (declared !== undefined && Number(declared) !== body.length) return 'content-length'
  return body.length === 0 && declaresBody(reply) ? 'empty-body' : undefined
}

function declaresBody({ statusCode, routeOptions }: FastifyReply): boolean {
  const response = routeOptions.schema?.response as Readonly<Record<string, unknown>> | undefined
  return statusCode === 200 && (response?.['200'] ?? response?.['2xx']) !== undefined
}

/** The same stream, with a copy of what flows through it; `store` is called with it if it ends cleanly and in bounds. */
function copied(body: Readable | ReadableStream, lead: Lead, store: (bytes: Buffer) => void): Transform {
  const source = body instanceof Readable ? body : Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0])
  const chunks: Buffer[] = []
  let length = 0
  const copy = new Transform({
    // It is kept in memory anyway: those who wait for it need not wait for a client that reads slowly.
    readableHighWaterMark: lead.maxBodyBytes,
    transform(chunk: Buffer, _encoding, done) {
      length += chunk.length
      if (length <= lead.maxBodyBytes) chunks.push(Buffer.from(chunk))
      else if (!lead.isOver) {
        chunks.length = 0
        lead.drop('refused')
      }
      done(null, chunk)
    },
    flush(done) {
      if (!lead.isOver) store(Buffer.concat(chunks))
      done()
    },
  })
  pipeline(source, copy, (error) => {
    if (error) lead.drop('failed')
  })
  return copy
}

/** Does what Fastify would do with a `Response` after the hooks: its head becomes the reply's, its body the payload. */
function unwrapped(response: Response, reply: FastifyReply): unknown {
  // Fastify has its own words for it.
  if (response.bodyUsed || response.body?.locked === true) return response
  reply.code(response.status)
  for (const [name, value] of response.headers) reply.header(name, value)
  return response.body
}

/** Nobody will read it. */
function discard(payload: unknown): void {
  if (payload instanceof Readable) payload.on('error', () => {}).destroy()
  else if (payload instanceof ReadableStream) payload.cancel().catch(() => {})
}

function isAboutPrevious({ lead, request, isConfirmed }: Capture, told: Headers): boolean {
  if (lead.previous === undefined) return false
  return isConfirmed || isConfirmation(told, lead.previous.headers, request)
}

/** What is stored is sent, with what the handler was told of it; it is stored anew if nothing forbids it. */
function confirming(capture: Capture, reply: FastifyReply, told: Headers): MaybePromise<Buffer | null> {
  const { lead, before, answer } = capture
  const { hit, refusal, commit } = lead.confirm(told, before)
  capture.isConfirmed = true
  if (refusal === undefined) capture.commit = commit
  else lead.drop('refused')
  restoreHeaders(reply, before)
  const send = (answered: Answer): Buffer | null => {
    const body = applyAnswer(reply, hit, answered) ?? null
    applyVerdict(reply, leadVerdict(lead, refusal, 304))
    return body
  }
  const answered = answer(hit)
  return answered instanceof Promise ? answered.then(send) : send(answered)
}

function standingIn({ before, answer }: Capture, reply: FastifyReply, stale: Hit): MaybePromise<Buffer | null> {
  restoreHeaders(reply, before)
  // Not `undefined`, which to Fastify means: as it was.
  const send = (answered: Answer): Buffer | null => applyAnswer(reply, stale, answered) ?? null
  const answered = answer(stale)
  return answered instanceof Promise ? answered.then(send) : send(answered)
}

/** The client has it: of what the handler said only what belongs into a 304 remains (RFC 9110 §15.4.5). */
function becomeNotModified(reply: FastifyReply, before: Headers): void {
  for (const name of Object.keys(reply.getHeaders())) {
    if (!isFieldOf304(name) && !isVerdict(name) && before[name] === undefined) reply.removeHeader(name)
  }
  reply.code(304)
}

/** The failed answer's own header fields must not stand beside those of the stale one. */
function restoreHeaders(reply: FastifyReply, before: Headers): void {
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
  for (const [name, value] of Object.entries(before)) reply.header(name, value)
}
