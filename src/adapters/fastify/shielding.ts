/**
 * Keeps stored bytes from hooks that write into what they are shown.
 *
 * All hits of an entry send the same Buffer. Other people's onSend hooks are handed it, and some write in place, a nonce
 * for instance: one client would be sent what was meant for another. Where there are such hooks they get a copy; where
 * there are none, which is known from the first hit on, nothing is copied.
 */
import type { FastifyRequest } from 'fastify'
import type { Answer } from '../../http/answer.ts'
import type { MaybePromise } from '../../stores/store.ts'

/** Hooks that leave bodies alone, by the names that Fastify gives them when it binds them: ours, and its own for HEAD. */
const HARMLESS: ReadonlySet<string> = new Set([
  'bound capture',
  'bound seal',
  'bound invalidate',
  'bound headRouteOnSendHandler',
])

/** Whether a route's answers are shown to hooks of others; told from the first hit on. */
export class Onlookers {
  #areThere: boolean | undefined

  areThere(request: FastifyRequest): boolean {
    this.#areThere ??= isSeenByOthers(request)
    return this.#areThere
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
 * route; if it is no longer there, there may be some.
 */
function isSeenByOthers(request: FastifyRequest): boolean {
  const place = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'fastify.context')
  const context = place && (request as unknown as Readonly<Record<symbol, { readonly onSend?: unknown } | null>>)[place]
  const hooks = context?.onSend
  if (!Array.isArray(hooks)) return true
  const names = hooks.map((hook: { readonly name: string }) => hook.name)
  // One of each: somebody else may have thought of the same name.
  return names.length > new Set(names.filter((name) => HARMLESS.has(name))).size
}
