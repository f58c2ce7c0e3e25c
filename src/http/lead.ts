/** The right, and the duty, to run the handler: `finish` with what it made, or `drop`. */
import type { CacheParts } from '../cache-manager.ts'
import type { Clock } from '../clock.ts'
import type { LoadControl } from '../load-request.ts'
import type { MaybePromise } from '../stores/store.ts'
import { storedHeaders } from './headers.ts'
import type { HandledResponse, Headers } from './message.ts'
import { packed } from './packed.ts'
import { ageSeconds, isPublic, lifetimeMs, mayServeStale, refusalReason, type ResponseHead } from './policy.ts'
import type { RoutePolicy } from './route-policy.ts'
import type { StoredResponse } from './stored-response.ts'

/** Send this. */
export interface Hit {
  readonly kind: 'hit'
  readonly response: StoredResponse
  /** The attempt to fill that made it; undefined if it is in no entry. */
  readonly entryId: string | undefined
  readonly isStale: boolean
  readonly ageSeconds: number
  /** Seconds until it is no longer fresh; negative when it is stale. */
  readonly ttlSeconds: number
}

/**
 * Why there is nothing to store: the response may not be; the handler failed; whoever asked is gone before it was
 * complete; or a refresh behind the caller's back did not reach the handler.
 */
export type Drop = 'refused' | 'failed' | 'gone' | 'unreached'

export interface LeadOptions {
  /** The id of the entry that is to be filled. */
  readonly id: string
  readonly policy: RoutePolicy
  readonly clock: Clock
  readonly compression: CacheParts['compression']
  readonly context: LoadControl
  /** Why the handler runs (RFC 9211 §2.2): nothing was there, nothing fresh was, or the client asked for it. */
  readonly forward: 'uri-miss' | 'stale' | 'request'
  /** The request bears an Authorization that the key does not know. */
  readonly isAuthorized: boolean
  /** Why nothing will be stored whatever the response says; it is shared with those who wait all the same. */
  readonly obstacle: 'unreachable' | 'authorization' | undefined
  /** What may be sent should the handler fail. */
  readonly standIn: () => Hit | undefined
  /** Told that nothing is stored, and why. */
  readonly onDrop: (why: Drop) => void
}

export class Lead {
  readonly kind = 'lead'
  readonly id: string
  readonly forward: LeadOptions['forward']
  readonly obstacle: LeadOptions['obstacle']
  readonly maxBodyBytes: number
  /** The encoded response, once it is known; undefined if nothing is to be stored. */
  readonly result: Promise<Buffer | undefined>
  readonly #options: LeadOptions
  #resolve: ((result: MaybePromise<Buffer | undefined>) => void) | undefined

  constructor(options: LeadOptions) {
    this.#options = options
    this.id = options.id
    this.forward = options.forward
    this.obstacle = options.obstacle
    this.maxBodyBytes = options.policy.maxBodyBytes
    this.result = new Promise((resolve) => (this.#resolve = resolve))
  }

  /** It was finished or dropped; the first word counts. */
  get isOver(): boolean {
    return this.#resolve === undefined
  }

  /**
   * Why the response may not be stored, as far as its head tells; undefined if it may.
   *
   * @param before the header fields that were there before the handler
   */
  refusal(head: ResponseHead, before: Headers): string | undefined {
    const { policy, isAuthorized, clock } = this.#options
    return refusalReason(head, { policy, isAuthorized, before, now: clock.now() })
  }

  /** The response is complete, and not refused. */
  finish(response: HandledResponse, before: Headers): void {
    const { policy, context, clock, compression } = this.#options
    const { status, headers, body } = response
    if (this.isOver) return
    const { swrMs, graceMs } = mayServeStale(headers) ? policy.windows : { swrMs: 0, graceMs: 0 }
    const now = clock.now()
    context.windows({ ttlMs: lifetimeMs(response, policy.windows.ttlMs, now), swrMs, graceMs })
    const kept = { date: new Date(now).toUTCString(), ...storedHeaders(headers, before) }
    const facts = { status, headers: kept, isPublic: isPublic(headers), age: ageSeconds(headers) }
    this.#end(packed({ ...facts, body }, compression))
  }

  /** There is nothing to store. */
  drop(why: Drop): void {
    if (this.isOver) return
    this.#options.onDrop(why)
    this.#options.context.skip()
    this.#end(undefined)
  }

  /** The stale response to send in the place of a failure, if there is one and it allows it. */
  standIn(): Hit | undefined {
    return this.#options.standIn()
  }

  #end(result: MaybePromise<Buffer | undefined>): void {
    this.#resolve?.(result)
    this.#resolve = undefined
  }
}
