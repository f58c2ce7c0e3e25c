/** The two hooks of a cached route: ask the cache before the handler, and take what the handler made. */
import type { FastifyInstance, FastifyReply, onSendHookHandler, preHandlerHookHandler, RouteOptions } from 'fastify'
import type { Hit } from '../../http/lead.ts'
import { ResponseCache, type Begun } from '../../http/response-cache.ts'
import { beginCapture, capturePayload, sealCapture, type Capture } from './capture.ts'
import { applyBypass, applyHit, RequestView } from './exchange.ts'
import { refreshOf, rerun } from './refresh.ts'
import { routePolicy, type CacheRouteOptions, type CacheSpec } from './route-options.ts'

/** Set on the reply of a request whose handler leads, or whose hit has no Content-Type. */
const CAPTURE: unique symbol = Symbol('tidemark.capture')

declare module 'fastify' {
  interface FastifyReply {
    [CAPTURE]: Capture | 'untyped' | null
  }
}

/** Every reply has a place for its capture from the start, which keeps replies of one shape. */
export function prepareReplies(app: FastifyInstance): void {
  if (!app.hasReplyDecorator(CAPTURE)) app.decorateReply(CAPTURE, null)
}

/** The preHandler of a cached route. Callback style: a hit in memory is answered at once. */
export function lookingUp(
  app: FastifyInstance,
  route: RouteOptions,
  spec: CacheSpec<CacheRouteOptions>,
): preHandlerHookHandler {
  const policy = routePolicy(route, spec, spec.cache.parts)
  const responses = new ResponseCache(spec.cache, policy)
  return function lookup(request, reply, done) {
    const proceed = (begun: Begun): void => {
      if (begun.kind === 'hit') return sendHit(reply, begun)
      if (begun.kind === 'bypass') applyBypass(reply, begun.reason)
      else reply[CAPTURE] = beginCapture(reply, begun)
      done()
    }
    try {
      const view = new RequestView(request, spec.options)
      const lead = refreshOf(responses, request, view)
      if (lead === 'another') return void reply.code(503).send()
      if (lead !== undefined) return proceed(lead)
      const begun = responses.begin(view, (led) => rerun(app, led, { request, view, policy }))
      if (begun instanceof Promise) begun.then(proceed, done)
      else proceed(begun)
    } catch (error) {
      done(error as Error)
    }
  }
}

function sendHit(reply: FastifyReply, hit: Hit): void {
  const body = applyHit(reply, hit)
  // Fastify gives bytes without a type one of its own, which the handler's answer did not have.
  if (body.length > 0 && !reply.hasHeader('content-type')) reply[CAPTURE] = 'untyped'
  reply.send(body.length === 0 ? undefined : body)
}

/** Gives up the lead of a request that is turned away behind the lookup: one of those who wait for it leads. */
export function giveUpLead(reply: FastifyReply): void {
  const captured = reply[CAPTURE]
  if (captured !== null && captured !== 'untyped') captured.lead.drop('gone')
}

/** The last onSend hook of a cached route. */
export const sealing: onSendHookHandler = function seal(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  if (captured !== null && captured !== 'untyped') sealCapture(captured, reply)
  done(null, payload)
}

/** The first onSend hook of a cached route. */
export const capturing: onSendHookHandler = function capture(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  if (captured === null) return done(null, payload)
  if (captured === 'untyped') {
    reply.removeHeader('content-type')
    return done(null, payload)
  }
  done(null, capturePayload(captured, reply, payload))
}
