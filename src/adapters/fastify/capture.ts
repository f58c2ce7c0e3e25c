/**
 * What the handler made, on its way out: the first of the route's onSend hooks, so that the bytes are those from before
 * compression. Strings and buffers are taken as they are; streams are copied while they flow, and stored only if they
 * end cleanly and are not too large. An event stream is left alone.
 */
import { finished, pipeline, Readable, Transform } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { leadVerdict } from '../../http/cache-status.ts'
import { lineOf } from '../../http/headers.ts'
import type { Lead } from '../../http/lead.ts'
import type { Headers } from '../../http/message.ts'
import { applyHit, applyVerdict, headersOf } from './exchange.ts'

/** A lead, and the header fields that were there before the handler ran. */
export interface Capture {
  readonly lead: Lead
  readonly before: Headers
}

export function beginCapture(reply: FastifyReply, lead: Lead): Capture {
  // Whatever happens to the answer (hijacked, aborted, failed before onSend), the lead ends with it.
  finished(reply.raw, () => lead.abandon())
  return { lead, before: headersOf(reply) }
}

/** The payload to send: the handler's own, a copy of its stream, or a stale response in place of its failure. */
export function capturePayload({ lead, before }: Capture, reply: FastifyReply, payload: unknown): unknown {
  const status = reply.statusCode
  if (status >= 500 && lead.stale !== undefined) {
    lead.abandon()
    dropHeaders(reply, before)
    return applyHit(reply, lead.stale)
  }
  const headers = headersOf(reply)
  const reason = lead.refusal({ status, headers }, before) ?? refusalOfPayload(payload, reply, headers)
  applyVerdict(reply, leadVerdict(lead.isRequested, reason))
  if (reason !== undefined) {
    lead.abandon()
    return payload
  }
  const store = (body: Buffer): void => {
    const declared = lineOf(headers['content-length'])
    if (declared !== undefined && Number(declared) !== body.length) return lead.abandon()
    lead.finish({ status, headers, body }, before)
  }
  const bytes = bytesOf(payload)
  if (bytes === undefined) return copied(payload as Readable | ReadableStream, lead, store)
  store(bytes)
  return payload
}

function bytesOf(payload: unknown): Buffer | undefined {
  if (payload === undefined || payload === null) return Buffer.alloc(0)
  if (typeof payload === 'string') return Buffer.from(payload)
  if (Buffer.isBuffer(payload)) return payload
  return payload instanceof Uint8Array ? Buffer.from(payload) : undefined
}

function refusalOfPayload(payload: unknown, reply: FastifyReply, headers: Headers): string | undefined {
  if (lineOf(headers['content-type'])?.startsWith('text/event-stream') === true) return 'event-stream'
  const bytes = bytesOf(payload)
  if (bytes === undefined) return isStream(payload) ? undefined : 'payload'
  const response = reply.routeOptions.schema?.response as Readonly<Record<string, unknown>> | undefined
  if (bytes.length === 0 && reply.statusCode === 200 && (response?.['200'] ?? response?.['2xx']) !== undefined) {
    return 'empty-body'
  }
  return undefined
}

function isStream(payload: unknown): boolean {
  return payload instanceof ReadableStream || payload instanceof Readable
}

/** The same stream, with a copy of what flows through it, up to the largest body that may be stored. */
function copied(payload: Readable | ReadableStream, lead: Lead, store: (body: Buffer) => void): Transform {
  const source = payload instanceof ReadableStream ? Readable.fromWeb(payload as Parameters<typeof Readable.fromWeb>[0]) : payload
  const chunks: Buffer[] = []
  let length = 0
  const copy = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      length += chunk.length
      if (length <= lead.maxBodyBytes) chunks.push(chunk)
      else if (chunks.length > 0) chunks.length = 0
      done(null, chunk)
    },
    flush(done) {
      if (length > lead.maxBodyBytes) lead.abandon()
      else store(Buffer.concat(chunks))
      done()
    },
  })
  pipeline(source, copy, (error) => {
    if (error) lead.abandon()
  })
  return copy
}

/** The failed answer's own header fields must not stand beside those of the stale one. */
function dropHeaders(reply: FastifyReply, before: Headers): void {
  for (const name of Object.keys(reply.getHeaders())) if (before[name] === undefined) reply.removeHeader(name)
}
