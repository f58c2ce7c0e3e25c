/** The two hooks of a cached route: ask the cache before the handler, and take what the handler made. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type {
  FastifyInstance,
  onSendHookHandler,
  preHandlerHookHandler,
  RouteOptions,
} from 'fastify'
import type { Lead } from '../../http/lead.ts'
import type { CacheableRequest } from '../../http/message.ts'
import { ResponseCache, type Begun } from '../../http/response-cache.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'
import { beginCapture, capturePayload, type Capture } from './capture.ts'
import { applyBypass, applyHit, RequestView } from './exchange.ts'
import { routePolicy, type CacheRouteOptions, type CacheSpec } from './route-options.ts'

/** Set on the reply of a request whose handler leads. */
const CAPTURE = Symbol('tidemark.capture')

declare module 'fastify' {
  interface FastifyReply {
    [CAPTURE]: Capture | null
  }
}

/** The lead of a refresh behind the caller's back. It is no header, so no client can pretend to be one. */
const refreshes = new AsyncLocalStorage<{ lead: Lead | undefined }>()

export function isRefreshing(): boolean {
  return refreshes.getStore() !== undefined
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
      if (begun.kind === 'hit') return void reply.send(applyHit(reply, begun))
      if (begun.kind === 'bypass') applyBypass(reply, begun.reason)
      else reply[CAPTURE] = beginCapture(reply, begun)
      done()
    }
    const refresh = refreshes.getStore()
    if (refresh?.lead !== undefined) {
      // Once: what the handler injects into other routes is no refresh of them.
      const { lead } = refresh
      refresh.lead = undefined
      return proceed(lead)
    }
    const view = new RequestView(request, spec.options)
    try {
      const begun = responses.begin(view, (lead) => rerun(app, { url: request.url, view, policy, lead }))
      if (begun instanceof Promise) begun.then(proceed).catch(done)
      else proceed(begun)
    } catch (error) {
      done(error as Error)
    }
  }
}

/** The first onSend hook of a cached route. */
export const capturing: onSendHookHandler = function capture(_request, reply, payload, done) {
  const captured = reply[CAPTURE]
  if (captured === null) return done(null, payload)
  reply[CAPTURE] = null
  done(null, capturePayload(captured, reply, payload))
}

interface Refresh {
  readonly url: string
  readonly view: CacheableRequest
  readonly policy: RoutePolicy
  readonly lead: Lead
}

/** Runs a route again, with nothing of the caller's but what is in the key. */
function rerun(app: FastifyInstance, { url, view, policy, lead }: Refresh): void {
  const keyed = policy.vary.map((name) => [name, view.header(name)] as const)
  const headers = Object.fromEntries(keyed.filter(([, value]) => value !== undefined))
  const abandon = (): void => lead.abandon()
  refreshes.run({ lead }, () => {
    app.inject({ method: 'GET', url, headers: { ...headers, host: view.host } }).then(abandon, abandon)
  })
}
