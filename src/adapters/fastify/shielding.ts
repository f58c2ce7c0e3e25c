/**
 * Keeps stored bytes from hooks that write into what they are shown.
 *
 * All hits of an entry send the same Buffer. Other people's onSend hooks are handed it, and some write in place, a nonce
 * for instance: one client would be sent what was meant for another. Where there are such hooks they get a copy; where
 * there are none, which is known from the first hit on, nothing is copied.
 */
import type { FastifyRequest, onSendHookHandler } from 'fastify'
import type { Answer } from '../../http/answer.ts'
import type { MaybePromise } from '../../stores/store.ts'

/** No other hook is called so by accident. Fastify binds hooks, so that they cannot be known by themselves. */
const OURS = 'tidemark '

/** Fastify's own, of the HEAD routes that it makes. */
const HEAD_HOOK = 'headRouteOnSendHandler'

/** A hook that leaves bodies alone. */
export function ours<Hook extends onSendHookHandler>(hook: Hook): Hook {
  return Object.defineProperty(hook, 'name', { value: `${OURS}${hook.name}` })
}

/** Whether a route's answers are shown to hooks of others; told from the first hit on. */
export class Onlookers {
  #areThere: boolean | undefined
  #seeReplies: boolean | undefined

  /** They are shown payloads. */
  areThere(request: FastifyRequest): boolean {
    this.#areThere ??= isSeenByOthers(request)
    return this.#areThere
  }

  /** They are shown replies afterwards, or when time is over. */
  seeReplies(request: FastifyRequest): boolean {
    this.#seeReplies ??= hooksOf(request, 'onResponse') !== null || hooksOf(request, 'onTimeout') !== null
    return this.#seeReplies
  }

  /** The answer as they may be shown it. */
  shielded(request: FastifyRequest, answered: MaybePromise<Answer>): MaybePromise<Answer> {
    if (!this.areThere(request)) return answered
    return answered instanceof Promise ? answered.then(copied) : copied(answered)
  }
}

function copied(answer: Answer): Answer {
  return answer.body === undefined ? answer : { ...answer, body: Buffer.from(answer.body) }
}

/**
 * Hooks of the application itself are in no list that a plugin may read, so this looks where Fastify keeps those of a
 * route; `null` is none, and undefined if that is no longer there: there may be some.
 */
function hooksOf(request: FastifyRequest, kind: 'onSend' | 'onResponse' | 'onTimeout'): unknown {
  const place = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')
  const context =
    place && (request as unknown as Readonly<Record<symbol, Readonly<Record<string, unknown>> | null>>)[place]
  return context?.[kind]
}

function isSeenByOthers(request: FastifyRequest): boolean {
  const hooks = hooksOf(request, 'onSend')
  if (!Array.isArray(hooks)) return true
  const isHead = request.routeOptions.method === 'HEAD'
  return hooks.some(({ name }: { readonly name: string }) => {
    return !name.startsWith(`bound ${OURS}`) && !(isHead && name === `bound ${HEAD_HOOK}`)
  })
}
