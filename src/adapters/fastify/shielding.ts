/**
 * Keeps stored bytes from hooks that write into what they are shown.
 *
 * All hits of an entry send the same Buffer. Other people's onSend hooks are handed it, and some write in place, a nonce
 * for instance: one client would be sent what was meant for another. Where there are such hooks they get a copy; where
 * there are none, which is known from the first hit on, nothing is copied; nor is what is encoded for @fastify/compress
 * alone, which passes it on as it is.
 */
import type { FastifyRequest, onSendHookHandler } from 'fastify'
import type { Answer } from '../../http/answer.ts'
import { HEAD_HOOK } from './compression.ts'

/** No other hook is called so by accident. Fastify binds hooks, so that they cannot be known by themselves. */
const OURS = 'tidemark '

/** A hook that leaves bodies alone. */
export function ours<Hook extends onSendHookHandler>(hook: Hook): Hook {
  return Object.defineProperty(hook, 'name', { value: `${OURS}${hook.name}` })
}

/** Whether a route's answers are shown to hooks of others; told from the first hit on. */
export class Onlookers {
  readonly #compressHooks: () => number
  #who: 'nobody' | 'compress' | 'others' | undefined
  #seeReplies: boolean | undefined

  /** @param compressHooks how many hooks there are that leave what is encoded as it is, if the route has no others */
  constructor(compressHooks: () => number) {
    this.#compressHooks = compressHooks
  }

  /** They are shown payloads, and this one is not finished before. */
  look(request: FastifyRequest, { headers, body }: Answer): boolean {
    this.#who ??= this.#onlookers(request)
    if (this.#who === 'nobody') return false
    const { 'content-encoding': coding } = headers
    return this.#who === 'others' || (body !== undefined && (coding === undefined || coding === 'identity'))
  }

  /** They are shown replies afterwards, or when time is over. */
  seeReplies(request: FastifyRequest): boolean {
    this.#seeReplies ??= hooksOf(request, 'onResponse') !== null || hooksOf(request, 'onTimeout') !== null
    return this.#seeReplies
  }

  /** The answer as they may be shown it. */
  shielded(request: FastifyRequest, answer: Answer): Answer {
    return answer.body !== undefined && this.look(request, answer)
      ? { ...answer, body: Buffer.from(answer.body) }
      : answer
  }

  #onlookers(request: FastifyRequest): 'nobody' | 'compress' | 'others' {
    const count = othersThatSee(request)
    if (count === 0) return 'nobody'
    return count === this.#compressHooks() ? 'compress' : 'others'
  }
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

function othersThatSee(request: FastifyRequest): number {
  const hooks = hooksOf(request, 'onSend')
  if (!Array.isArray(hooks)) return Infinity
  const isHead = request.routeOptions.method === 'HEAD'
  return hooks.filter(({ name }: { readonly name: string }) => {
    return !name.startsWith(`bound ${OURS}`) && !(isHead && name === `bound ${HEAD_HOOK}`)
  }).length
}
