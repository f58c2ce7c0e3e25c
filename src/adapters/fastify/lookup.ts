/** The two hooks of a cached route: ask the cache before the handler, and take what the handler made. */
import type { FastifyInstance, FastifyReply, onSendHookHandler, preHandlerHookHandler, RouteOptions } from 'fastify'
import { CacheDecompressionError } from '../../exceptions.ts'
import { answersOf, type Answer } from '../../http/answer.ts'
import type { Hit } from '../../http/lead.ts'
import { ResponseCache, type Begun } from '../../http/response-cache.ts'
import type { MaybePromise } from '../../stores/store.ts'
import { beginCapture, capturePayload, sealCapture, type Capture } from './capture.ts'
import { compressing } from './compression.ts'
import { applyAnswer, applyBypass, RequestView, weakenEncoded } from './exchange.ts'
import { refreshOf, rerun } from './refresh.ts'
import { routePolicy, type CacheRouteOptions, type CacheSpec } from './route-options.ts'

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

/** Every reply has a place for it from the start, which keeps replies of one shape. */
export function prepareReplies(app: FastifyInstance): void {
  if (!app.hasReplyDecorator(CAPTURE)) app.decorateReply(CAPTURE, null)
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
        if (begun.kind === 'bypass') applyBypass(reply, begun.reason)
        else reply[CAPTURE] = beginCapture({ request: view, reply, lead: begun, answer })
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
  if (isCapture(captured)) return done(null, sealCapture(captured, reply, payload))
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
