/** The right, and the duty, to run the handler: `finish` with what it made, `confirm` what was stored, or `drop`. */
import type { CacheParts } from '../cache-parts.ts'
import type { Clock } from '../clock.ts'
import type { LoadControl } from '../load-request.ts'
import type { MaybePromise } from '../stores/store.ts'
import { controlOf, OWN_CONTROL, withheldNames } from './cache-control.ts'
import { hasValidator, isPublic, keptWindows, lifetimeOf, type Arrival, type ResponseHead } from './freshness.ts'
import { lineOf, storedHeaders } from './headers.ts'
import type { VariedId } from './key.ts'
import type { HandledResponse, Headers } from './message.ts'
import type { Narrowed } from './narrowed.ts'
import { packed } from './packed.ts'
import { refusalReason, varyingNames } from './policy.ts'
import type { RoutePolicy } from './route-policy.ts'
import { controllingHeaders, encodeResponse, type StoredHead, type StoredResponse } from './stored-response.ts'
import { freshenedHeaders } from './validation.ts'
import { union, withVariant, type Varying } from './vary.ts'

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
  /** The handler was asked first, for this request or for another that it waited for. */
  readonly forwarded?: Forwarded
}

/** How the handler came to be asked, and what came of it. */
export interface Forwarded {
  readonly why: Forward
  /**
   * Somebody else's request was answered with the same (`collapsed`), its answer was stored (`stored`), it had a failure
   * for an answer, or none in time (`late`).
   */
  readonly outcome: 'collapsed' | 'stored' | 'failed' | 'late'
  /** That of the failure. */
  readonly status?: number
}

/**
 * Why the handler runs (RFC 9211 §2.2): nothing was there, or other variants only, nothing fresh was, or the client
 * wanted it.
 */
export type Forward = 'uri-miss' | 'vary-miss' | 'stale' | 'request'

/**
 * Why there is nothing to store: the response may not be; the handler failed; whoever asked is gone before it was
 * complete; or a refresh behind the caller's back did not reach the handler.
 */
export type Drop = 'refused' | 'failed' | 'gone' | 'unreached'

/** Where the responses of a request's target are stored, as far as the request decides it. */
export interface Place {
  /** What was known of the target before the handler ran; undefined if its responses never vary. */
  readonly varying: Varying | undefined
  /** The id under which that is noted. */
  readonly targetId: string
  /** The id of the response that varies by these fields, and what tells its variant from others. */
  at(names: readonly string[]): VariedId & { readonly variant: string }
  /** From now on this process looks for the target's responses by these fields. */
  learn(names: readonly string[]): void
}

export interface LeadOptions {
  /** Of the entry that is to be filled. */
  readonly key: VariedId
  readonly policy: RoutePolicy
  readonly clock: Clock
  readonly compression: CacheParts['compression']
  readonly context: LoadControl
  readonly place: Place
  readonly forward: Forward
  /** The request bears an Authorization that the key does not know. */
  readonly isAuthorized: boolean
  /** Why nothing will be stored whatever the response says; it is shared with those who wait all the same. */
  readonly obstacle: 'unreachable' | 'authorization' | undefined
  /** What is stored, and may be confirmed. */
  readonly previous: StoredResponse | undefined
  /** What may be sent should the handler fail. */
  readonly standIn: (status: number) => Hit | undefined
  /** Told that nothing is stored, or nothing that may be used again, and why. */
  readonly onDrop: (why: Drop) => void
}

export class Lead {
  readonly kind = 'lead'
  readonly id: string
  readonly forward: Forward
  readonly obstacle: LeadOptions['obstacle']
  readonly maxBodyBytes: number
  /** What is stored and may be confirmed, as the handler is told of it. */
  readonly previous: StoredResponse | undefined
  /** The encoded response, once it is known; undefined if nothing is to be stored. */
  readonly result: Promise<Buffer | undefined>
  readonly #options: LeadOptions
  readonly #beganAt: number
  /** When the head of the response had come. */
  #receivedAt: number | undefined
  #resolve: ((result: MaybePromise<Buffer | undefined>) => void) | undefined
  #narrowed: Narrowed | undefined

  constructor(options: LeadOptions) {
    this.#options = options
    this.#beganAt = options.clock.now()
    this.id = options.key.id
    this.forward = options.forward
    this.obstacle = options.obstacle
    this.previous = options.previous
    this.maxBodyBytes = options.policy.maxBodyBytes
    this.result = new Promise((resolve) => (this.#resolve = resolve))
  }

  /** It was finished or dropped; the first word counts. */
  get isOver(): boolean {
    return this.#resolve === undefined
  }

  /** The handler is about to run, and what it reads is noted. */
  narrow(narrowed: Narrowed): void {
    this.#narrowed = narrowed
  }

  /** The request header fields that the responses of the target are known to vary by. */
  get variesBy(): readonly string[] {
    return this.#options.place.varying?.names ?? []
  }

  /**
   * Why the response may not be stored, as far as its head tells; undefined if it may.
   *
   * @param before the header fields that were there before the handler
   */
  refusal(head: ResponseHead, before: Headers): string | undefined {
    const { policy, isAuthorized } = this.#options
    const reason = refusalReason(head, { policy, isAuthorized, before, ...this.#arrival() })
    if (reason !== undefined) return reason
    if (this.#variant(head.headers, before) === 'too many') return 'variants'
    return this.#unkeyed(head.headers, before)
  }

  /** The response is complete, and not refused. */
  finish(response: HandledResponse, before: Headers): void {
    if (this.isOver) return
    const { status, headers, body, hasOwnTag = false } = response
    // A stream may be made while it flows.
    if (this.#unkeyed(headers, before) !== undefined) return this.drop('refused')
    const head = this.#prepare({ status, headers, hasOwnTag }, before)
    this.#end(packed({ ...head, body }, this.#options.compression))
  }

  /**
   * The handler has had `previous` confirmed: with the fields that it was told it is the response from now on (RFC 9111
   * §4.3.4). What is to be sent; it is stored with `commit`, unless it may not be.
   */
  confirm(
    told: Headers,
    before: Headers,
  ): { readonly hit: Hit; readonly refusal: string | undefined; readonly commit: () => void } {
    const previous = this.#options.previous!
    const headers = freshenedHeaders(controllingHeaders(previous), told)
    const hasOwnTag = previous.hasOwnTag && headers.etag === previous.headers.etag
    const head = { status: previous.status, headers, hasOwnTag }
    const refusal = this.refusal(head, before)
    const { age, windows } = this.#lifetime(head)
    const { coding, length, body } = previous
    const commit = (): void => {
      if (this.isOver) return
      this.#end(encodeResponse({ ...this.#prepare(head, before), coding, length, body }))
    }
    const response = { ...previous, headers: storedHeaders(headers, before), hasOwnTag, age }
    const ttlSeconds = Math.floor(windows.ttlMs / 1000)
    const hit: Hit = { kind: 'hit', response, entryId: undefined, isStale: false, ageSeconds: age, ttlSeconds }
    return { hit, refusal, commit }
  }

  /** There is nothing to store. */
  drop(why: Drop): void {
    if (this.isOver) return
    this.#options.onDrop(why)
    this.#options.context.skip()
    this.#end(undefined)
  }

  /** The stale response to send in the place of a failure with `status`, if there is one and it allows it. */
  standIn(status: number): Hit | undefined {
    return this.#options.standIn(status)
  }

  /** Says how long and under which id the response is stored; what is stored before its body. */
  #prepare(
    head: ResponseHead & { readonly hasOwnTag: boolean },
    before: Headers,
  ): Omit<StoredHead, 'coding' | 'length'> {
    const { key, policy, context, clock, onDrop } = this.#options
    const { status, headers, hasOwnTag } = head
    const now = clock.now()
    const lifetime = this.#lifetime(head)
    context.windows(keptWindows(lifetime, hasValidator(headers, hasOwnTag), policy))
    // It has to be confirmed for each request: nobody waits for another's.
    if (lifetime.windows.ttlMs <= 0) onDrop('refused')
    const control = controlOf(headers, policy.heedsCdn)
    const kept = storedHeaders(headers, before, withheldNames(control))
    const variant = this.#variant(headers, before)
    const settled = typeof variant === 'object' ? variant : undefined
    if (settled !== undefined) this.#settle(settled)
    const isLearnt = policy.kind === 'rfc9111' && settled !== undefined && settled.names.length > 0
    return {
      status,
      headers: { date: new Date(now).toUTCString(), ...kept },
      isPublic: isPublic(control),
      age: lifetime.age,
      graceMs: lifetime.windows.graceMs,
      hasOwnTag,
      mustValidate: lifetime.mustValidate,
      // Under 'route' the id tells them apart by itself: the names are always the same.
      varies: isLearnt ? settled?.names : undefined,
      variant: isLearnt ? settled?.variant : undefined,
      ownControl: lineOf(headers[OWN_CONTROL]),
      longKey: (settled?.key ?? key).longKey,
    }
  }

  #lifetime(head: ResponseHead): ReturnType<typeof lifetimeOf> {
    const { policy } = this.#options
    return lifetimeOf(head, controlOf(head.headers, policy.heedsCdn), { policy, ...this.#arrival() })
  }

  /** The head has come when it is first asked about; the body may take its time. */
  #arrival(): Required<Arrival> {
    const now = this.#options.clock.now()
    this.#receivedAt ??= now
    return { now, receivedAt: this.#receivedAt, delayMs: this.#receivedAt - this.#beganAt }
  }

  /** Which variant of its target a response is; undefined if there is only one. */
  #variant(headers: Headers, before: Headers): Settled | 'too many' | undefined {
    const { place, policy } = this.#options
    if (place.varying === undefined) return undefined
    const more = policy.kind === 'rfc9111' ? varyingNames(headers, before) : []
    const names = union(place.varying.names, more)
    const { variant, ...key } = place.at(names)
    const varying = withVariant(place.varying, names, variant)
    return varying === undefined ? 'too many' : { key, names, variant, varying }
  }

  #unkeyed(headers: Headers, before: Headers): string | undefined {
    if (this.#narrowed === undefined) return undefined
    const { policy, place } = this.#options
    if (policy.kind === 'route') return this.#narrowed.refusal(policy.vary)
    return this.#narrowed.refusal(union(place.varying?.names ?? [], varyingNames(headers, before)))
  }

  #settle({ key, names, varying }: Settled): void {
    const { context, place } = this.#options
    if (key.id !== this.id) context.as(key.id)
    if (varying === place.varying) return
    place.learn(names)
    context.note(place.targetId, varying)
  }

  #end(result: MaybePromise<Buffer | undefined>): void {
    this.#resolve?.(result)
    this.#resolve = undefined
  }
}

interface Settled {
  readonly key: VariedId
  readonly names: readonly string[]
  readonly variant: string
  readonly varying: Varying
}
