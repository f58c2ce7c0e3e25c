/** The right, and the duty, to run the handler: `finish` with what it made, or `abandon`. */
import type { LoadControl } from '../load.ts'
import { storedHeaders } from './headers.ts'
import type { CacheableRequest, HandledResponse, Headers } from './message.ts'
import { isPublic, lifetimeMs, mayServeStale, refusalReason, type ResponseHead } from './policy.ts'
import type { RoutePolicy } from './route-policy.ts'
import { encodeResponse, type StoredResponse } from './stored-response.ts'

/** Send this. */
export interface Hit {
  readonly kind: 'hit'
  readonly response: StoredResponse
  readonly isStale: boolean
  readonly ageSeconds: number
  /** Seconds until it is no longer fresh; negative when it is stale. */
  readonly ttlSeconds: number
}

export interface LeadOptions {
  readonly request: CacheableRequest
  readonly policy: RoutePolicy
  readonly context: LoadControl
  /** May be sent should the handler fail. */
  readonly stale: Hit | undefined
  /** The client asked for it; otherwise nothing fresh was there. */
  readonly isRequested: boolean
  /** Told that nothing is stored. */
  readonly onAbandon: () => void
}

export class Lead {
  readonly kind = 'lead'
  readonly stale: Hit | undefined
  readonly isRequested: boolean
  /** The encoded response, once it is known; undefined if nothing is to be stored. */
  readonly result: Promise<Buffer | undefined>
  readonly #options: LeadOptions
  #resolve: (result: Buffer | undefined) => void = () => {}

  constructor(options: LeadOptions) {
    this.#options = options
    this.stale = options.stale
    this.isRequested = options.isRequested
    this.result = new Promise((resolve) => (this.#resolve = resolve))
  }

  get maxBodyBytes(): number {
    return this.#options.policy.maxBodyBytes
  }

  /**
   * Why the response may not be stored, as far as its head tells; undefined if it may.
   *
   * @param before the header fields that were there before the handler
   */
  refusal(head: ResponseHead, before: Headers): string | undefined {
    const { request, policy } = this.#options
    return refusalReason(request, head, { policy, before })
  }

  /** The response is complete, and not refused. */
  finish(response: HandledResponse, before: Headers): void {
    const { policy, context } = this.#options
    const { status, headers, body } = response
    if (body.length > policy.maxBodyBytes) return this.abandon()
    const { swrMs, graceMs } = mayServeStale(headers) ? policy.windows : { swrMs: 0, graceMs: 0 }
    context.windows({ ttlMs: lifetimeMs(response, policy.windows.ttlMs, Date.now()), swrMs, graceMs })
    this.#resolve(encodeResponse({ status, headers: storedHeaders(headers, before), isPublic: isPublic(headers), body }))
  }

  /** There is nothing to store: refused, failed, cut off, too large. Those who wait run the handler themselves. */
  abandon(): void {
    this.#options.onAbandon()
    this.#options.context.skip()
    this.#resolve(undefined)
  }
}
