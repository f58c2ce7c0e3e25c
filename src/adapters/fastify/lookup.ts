/** The two hooks of a cached route: ask the cache before the handler, and take what the handler made. */
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  onSendHookHandler,
  preHandlerHookHandler,
  RouteOptions,
} from 'fastify'
import { CacheDecompressionError } from '../../exceptions.ts'
import { answersOf, type Answer } from '../../http/answer.ts'
import type { Hit } from '../../http/lead.ts'
import { OWN_CONTROL } from '../../http/cache-control.ts'
import { ResponseCache, type Begun } from '../../http/response-cache.ts'
import { previousOf } from '../../http/validation.ts'
import type { MaybePromise } from '../../stores/store.ts'
import { beginCapture, capturePayload, sealCapture, type Capture } from './capture.ts'
import { compressing } from './compression.ts'
import { applyAnswer, applyBypass, applyVerdict, RequestView, weakenEncoded } from './exchange.ts'
import { refreshOf, rerun } from './refresh.ts'
import { routePolicy, type CacheRouteOptions, type CacheSpec, type RequestCache } from './route-options.ts'

/** What the hooks on the way out have to know of a reply: what its handler's answer is captured by, or a hit. */
const CAPTURE: unique symbol = Symbol('tidemark.capture')

/**
 * A hit on its way: in identity, so that a plugin may encode it yet; so and without a Content-Type; as a 304; or
 * nothing that matters.
 */
type Sent = 'plain' | 'untyped' | 'not modified' | null

declare module 'fastify' {
  interface FastifyReply {
    [CAPTURE]: Capture | Sent
  }
}

const NOTHING_STORED: RequestCache = { previous: undefined }
const REQUEST_CACHE: unique symbol = Symbol('tidemark.request')

declare module 'fastify' {
  interface FastifyRequest {
    [REQUEST_CACHE]: RequestCache | null
  }
}

/** Every request and reply has its places from the start, which keeps them of one shape. */
export function prepareMessages(app: FastifyInstance): void {
  if (app.hasReplyDecorator(CAPTURE)) return
  app.decorateReply(CAPTURE, null)
  app.decorateRequest(REQUEST_CACHE, null)
  app.decorateRequest('cache', {
    getter(this: FastifyRequest) {
      return this[REQUEST_CACHE] ?? NOTHING_STORED
    },
  })
  app.decorateReply('notModified', function notModified(this: FastifyReply) {
    const captured = this[CAPTURE]
    if (!isCapture(captured) || captured.lead.previous === undefined) {
      throw new TypeError('reply.notModified(): expected a request.cache.previous, got none')
    }
    captured.isConfirmed = true
    return this.code(304).send()
  })
}

/** The preHandler of a cached route. Callback style: a hit in memory is answered at once. */
export function lookingUp(
  app: FastifyInstance,
  route: RouteOptions,
  spec: CacheSpec<CacheRouteOptions>,
): preHandlerHookHandler {
  const { parts } = spec.cache
  const policy = routePolicy(route, spec, parts)
  const responses = new ResponseCache(spec.cache, policy)
  const answers = answersOf(parts)
  const mayEncode = compressing(route, spec.cache, [capturing, sealing])
  return function lookup(request, reply, done) {
    const fail = (error: unknown): void => done(error as Error)
    try {
      const view = new RequestView(request, spec.options)
      const answer = (hit: Hit): MaybePromise<Answer> => answers.to(view, hit, mayEncode(reply))
      const proceed = (begun: Begun): void => {
        if (begun.kind === 'hit') return sendHit(begun)
        if (begun.kind === 'unsatisfied') return sendUnsatisfied(reply)
        if (begun.kind === 'bypass') applyBypass(reply, begun.reason)
        else {
          reply[CAPTURE] = beginCapture({ request: view, reply, lead: begun, answer })
          if (begun.previous !== undefined) request[REQUEST_CACHE] = { previous: previousOf(begun.previous) }
        }
        done()
      }
      const sendHit = (hit: Hit): void => {
        try {
          const answered = answer(hit)
          if (answered instanceof Promise) answered.then((later) => send(reply, hit, later)).catch(doWithout)
          else send(reply, hit, answered)
        } catch (error) {
          doWithout(error)
        }
      }
      /** What cannot be decompressed was not written by us, and is of no use to anybody. */
      const doWithout = (error: unknown): void => {
        if (!(error instanceof CacheDecompressionError)) return fail(error)
        parts.telemetry.report(error)
        proceed({ kind: 'bypass', reason: 'unreadable' })
      }
      const lead = refreshOf(responses, request, view)
      if (lead === 'another') return void reply.code(503).send()
      if (lead !== undefined) return proceed(lead)
      const begun = responses.begin(view, (led) => rerun(app, led, { request, view, policy }))
      if (begun instanceof Promise) begun.then(proceed, fail)
      else proceed(begun)
    } catch (error) {
      fail(error)
    }
  }
}

/** Nothing stored may be sent, and the client wants nothing else (RFC 9111 §5.2.1.7). */
function sendUnsatisfied(reply: FastifyReply): void {
  applyVerdict(reply, { xCache: 'MISS', cacheStatus: 'tidemark; detail=only-if-cached' })
  reply.code(504).send({ statusCode: 504, error: 'Gateway Timeout', message: 'not in the cache' })
}

function send(reply: FastifyReply, hit: Hit, answer: Answer): void {
  const body = applyAnswer(reply, hit, answer)
  reply[CAPTURE] = stateOf(reply, answer)
  reply.send(body === undefined || body.length === 0 ? undefined : body)
}

function stateOf(reply: FastifyReply, { status, headers, body }: Answer): Sent {
  if (status === 304) return 'not modified'
  // Fastify gives bytes without a type one of its own, which the handler's answer did not have.
  if (body !== undefined && body.length > 0 && !reply.hasHeader('content-type')) return 'untyped'
  return headers['content-encoding'] === undefined ? 'plain' : null
}

/** Gives up the lead of a request that is turned away behind the lookup: one of those who wait for it leads. */
export function giveUpLead(reply: FastifyReply): void {
  const captured = reply[CAPTURE]
  if (isCapture(captured)) captured.lead.drop('gone')
}

/** The first onSend hook of a cached route. */
export const capturing: onSendHookHandler = function capture(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  if (!isCapture(captured)) {
    if (captured === 'untyped') reply.removeHeader('content-type')
    return done(null, payload)
  }
  const captive = capturePayload(captured, reply, payload)
  if (captive instanceof Promise) captive.then((later) => done(null, later), done)
  else done(null, captive)
}

/** The last onSend hook of a cached route. */
export const sealing: onSendHookHandler = function seal(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  if (isCapture(captured)) {
    const sealed = sealCapture(captured, reply, payload)
    // It was meant for this cache (RFC 9213 §2.1).
    if (reply.hasHeader(OWN_CONTROL)) reply.removeHeader(OWN_CONTROL)
    return done(null, sealed)
  }
  if (captured === 'plain' || captured === 'untyped') {
    weakenEncoded(reply)
  } else if (captured === 'not modified') {
    // A length of 0 is what Fastify says of every HEAD without a body, and no plugin's '' is a body either.
    reply.removeHeader('content-length')
    return done(null, null)
  }
  done(null, payload)
}

function isCapture(captured: Capture | Sent): captured is Capture {
  return typeof captured === 'object' && captured !== null
}
