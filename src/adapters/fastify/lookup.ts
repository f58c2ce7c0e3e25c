/** The two hooks of a cached route: ask the cache before the handler, and take what the handler made. */
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  onSendHookHandler,
  preHandlerHookHandler,
  RouteOptions,
} from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheDecompressionError } from '../../exceptions.ts'
import { answersOf, type Answer, type Answers } from '../../http/answer.ts'
import { OWN_CONTROL } from '../../http/cache-control.ts'
import type { Hit, Lead } from '../../http/lead.ts'
import { ResponseCache, type Begun } from '../../http/response-cache.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'
import { previousOf, type PreviousResponse } from '../../http/validation.ts'
import { whenThere } from '../../http/when-there.ts'
import type { MaybePromise } from '../../stores/store.ts'
import { beginCapture, capturePayload, sealCapture, type Capture } from './capture.ts'
import { compressHooksOf, compressing } from './compression.ts'
import { applyAnswer, applyBypass, applyVerdict, RequestView, weakenEncoded } from './exchange.ts'
import { refreshOf, rerun } from './refresh.ts'
import type { CacheRouteOptions, CacheSpec } from './route-options.ts'
import { Onlookers, ours } from './shielding.ts'
import { mayGoStraight, sendStraight } from './straight.ts'

/** What the hooks on the way out have to know of a reply: what its handler's answer is captured by, or a hit. */
const CAPTURE: unique symbol = Symbol('tidemark.capture')

/**
 * A hit on its way: in identity, so that a plugin may encode it yet; so and without a Content-Type; as a 304; or
 * nothing that matters.
 */
type Sent = 'plain' | 'untyped' | 'not modified' | null

/** What the handler of a cached route is told. */
export interface RequestCache {
  /** What is stored and no longer fresh, if it can be confirmed: with `reply.notModified()`, or by passing on a 304. */
  readonly previous: PreviousResponse | undefined
}

const NOTHING_STORED: RequestCache = { previous: undefined }
const REQUEST_CACHE: unique symbol = Symbol('tidemark.request')

declare module 'fastify' {
  interface FastifyRequest {
    [REQUEST_CACHE]: RequestCache | null
    /** What the cache has of this request's response. */
    readonly cache: RequestCache
  }

  interface FastifyReply {
    [CAPTURE]: Capture | Sent
    /**
     * Answers with `request.cache.previous`, which the origin has confirmed: it is fresh again, with the header fields
     * that were set on this reply in the place of its own (RFC 9111 §4.3.4).
     *
     * @throws {TypeError} if there is nothing to confirm
     */
    notModified(): FastifyReply
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

/** A route whose responses are cached, as it was registered and checked. */
export interface CachedRoute {
  readonly app: FastifyInstance
  readonly route: RouteOptions
  readonly spec: CacheSpec<CacheRouteOptions>
  readonly policy: RoutePolicy
}

/** The preHandler of a cached route. Callback style: a hit in memory is answered at once. */
export function lookingUp(cached: CachedRoute): preHandlerHookHandler {
  const lookup = new Lookup(cached)
  const { options } = cached.spec
  return function look(request, reply, done) {
    lookup.begin(new Visit(reply, new RequestView(request, options), done))
  }
}

/** A request on its way through the lookup. No object literal, for the reason that is told of Entry. */
class Visit {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly view: RequestView
  /** Goes on to the handler, or to the error handler. */
  readonly done: (error?: Error) => void

  constructor(reply: FastifyReply, view: RequestView, done: (error?: Error) => void) {
    this.request = reply.request
    this.reply = reply
    this.view = view
    this.done = done
  }
}

class Lookup {
  readonly #app: FastifyInstance
  readonly #cache: CacheManager
  readonly #policy: RoutePolicy
  readonly #responses: ResponseCache
  readonly #answers: Answers
  readonly #mayEncode: (reply: FastifyReply) => boolean
  readonly #onlookers: Onlookers

  constructor({ app, route, spec, policy }: CachedRoute) {
    const { cache } = spec
    this.#app = app
    this.#cache = cache
    this.#policy = policy
    this.#responses = new ResponseCache(cache, this.#policy)
    this.#answers = answersOf(cache.parts)
    const own = [capturing, sealing]
    this.#mayEncode = compressing(route, cache, own)
    this.#onlookers = new Onlookers(() => compressHooksOf(route, own))
  }

  begin(visit: Visit): void {
    const { request, view, reply, done } = visit
    // A plugin may have wrapped this hook in another function, and so it runs twice: it must not wait for itself.
    if (isCapture(reply[CAPTURE])) return done()
    try {
      const lead = refreshOf(this.#responses, request, view)
      if (lead === 'another') return void reply.code(503).send()
      if (lead !== undefined) return this.#proceed(visit, lead)
      const begun = this.#responses.begin(view, (led) => rerun(this.#app, led, { request, view, policy: this.#policy }))
      if (begun instanceof Promise) begun.then((later) => this.#proceed(visit, later), done)
      else this.#proceed(visit, begun)
    } catch (error) {
      done(error as Error)
    }
  }

  #proceed(visit: Visit, begun: Begun): void {
    const { request, view, reply, done } = visit
    if (begun.kind === 'hit') return this.#sendHit(visit, begun)
    if (begun.kind === 'unsatisfied') return sendUnsatisfied(reply)
    if (begun.kind === 'bypass') {
      applyBypass(reply, begun.reason)
    } else {
      view.keepHeaders()
      if (begun.previous !== undefined) request[REQUEST_CACHE] = { previous: previousOf(begun.previous) }
      const answer = (stale: Hit): MaybePromise<Answer> => this.#answer(visit, stale)
      reply[CAPTURE] = beginCapture({ request: view, reply, lead: begun, answer })
    }
    done()
  }

  #sendHit(visit: Visit, hit: Hit): void {
    try {
      const answer = this.#answer(visit, hit)
      if (!(answer instanceof Promise)) return this.#send(visit, hit, answer)
      answer.then((later) => this.#send(visit, hit, later)).catch((error: unknown) => this.#doWithout(visit, error))
    } catch (error) {
      this.#doWithout(visit, error)
    }
  }

  #answer({ request, view, reply }: Visit, hit: Hit): MaybePromise<Answer> {
    const answer = this.#answers.to(view, hit, this.#mayEncode(reply))
    return whenThere(answer, (there) => this.#onlookers.shielded(request, there))
  }

  #send({ request, reply }: Visit, hit: Hit, answer: Answer): void {
    // Its time was over before the store answered.
    if (reply.sent) return
    const isUnseen = !this.#onlookers.look(request, answer) && !this.#onlookers.seeReplies(request)
    if (isUnseen && mayGoStraight(reply, answer)) sendStraight(reply, hit, answer)
    else send(reply, hit, answer)
  }

  /** What cannot be decompressed was not written by us, and is of no use to anybody: the handler runs. */
  #doWithout(visit: Visit, error: unknown): void {
    if (!(error instanceof CacheDecompressionError)) return visit.done(error as Error)
    this.#cache.parts.telemetry.report(error)
    this.#proceed(visit, { kind: 'bypass', reason: 'unreadable' })
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

/** What a request leads, between its lookup and its answer. */
export function leadOf(reply: FastifyReply): Lead | undefined {
  const captured = reply[CAPTURE]
  return isCapture(captured) ? captured.lead : undefined
}

/** Gives up the lead of a request that is turned away behind the lookup: one of those who wait for it leads. */
export function giveUpLead(reply: FastifyReply): void {
  leadOf(reply)?.drop('gone')
}

/** The first onSend hook of a cached route. */
export const capturing: onSendHookHandler = ours(function capture(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  if (!isCapture(captured)) {
    if (captured === 'untyped') reply.removeHeader('content-type')
    return done(null, payload)
  }
  const captive = capturePayload(captured, reply, payload)
  if (captive instanceof Promise) captive.then((later) => done(null, later), done)
  else done(null, captive)
})

/** The last onSend hook of a cached route. */
export const sealing: onSendHookHandler = ours(function seal(_request, reply, ...[payload, done]) {
  const captured = reply[CAPTURE]
  const sealed = isCapture(captured) ? sealCapture(captured, reply, payload) : payload
  // It was meant for this cache (RFC 9213 §2.1), also if that had no part in the answer.
  if (reply.hasHeader(OWN_CONTROL)) reply.removeHeader(OWN_CONTROL)
  if (isCapture(captured)) return done(null, sealed)
  if (captured === 'plain' || captured === 'untyped') {
    weakenEncoded(reply)
  } else if (captured === 'not modified') {
    // A length of 0 is what Fastify says of every HEAD without a body, and no plugin's '' is a body either.
    reply.removeHeader('content-length')
    return done(null, null)
  }
  done(null, payload)
})

function isCapture(captured: Capture | Sent): captured is Capture {
  return typeof captured === 'object' && captured !== null
}
