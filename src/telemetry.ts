/** What happened, told to whom it concerns: counted, emitted, and where an operator should know, logged. */
import type { Clock } from './clock.ts'
import type { ConnectionEvent, Events } from './events.ts'
import {
  CacheException,
  concerning,
  describeError,
  LoadTimeoutError,
  RedisConnectionError,
  RedisReplyError,
} from './exceptions.ts'
import type { Counters, Statistics } from './statistics.ts'
import type { MaybePromise } from './stores/store.ts'

/** Which entry a fact is about. */
export interface About {
  readonly key: string
  readonly namespace: string
}

/** What a fault is about, as far as it is known. */
export interface Subject extends Partial<About> {
  /** The route whose options are at fault: `GET /items/:id`. */
  readonly route?: string
}

const COUNTER = { hit: 'hits', stale: 'staleHits', miss: 'misses', set: 'sets', fence: 'fences' } as const

/** Faults of one code are logged no more often than this, however many keys and namespaces they are about. */
const LOG_INTERVAL_MS = 60_000
const MAX_FAULTS = 100
/** While an outage lasts, the requests that fail with it are logged anew no sooner than this. */
const OUTAGE_LOG_INTERVAL_MS = 600_000
/** So many namespaces, and so many routes, of requests that failed in one way are logged in an interval. */
const MAX_FAILED = 10

/** Whether the log should have a failed request: as the first like it, as the one that tells of too many, or not. */
export type News = 'first' | 'more' | 'none'

/** Which requests a line of the log stands for. */
interface Failure {
  readonly at: number
  /** The same fault of other namespaces, or routes. */
  readonly group: string
  readonly isOfOutage: boolean
  readonly news: News
}

/** Who told of a fault first: the cache that it is of. */
const reporters = new WeakMap<object, Telemetry>()

/** The telemetry of the cache that a fault is of; undefined if none has reported it. */
export function reporterOf(error: CacheException): Telemetry | undefined {
  return reporters.get(error) ?? reporters.get(Object(error.cause) as object)
}

export interface TelemetryOptions {
  readonly counters: Counters
  readonly events: Events
  readonly clock: Clock
  readonly warn: (message: string) => void
  /**
   * One command that Redis did not answer is logged so long afterwards, in milliseconds, and not at all if it was the
   * beginning of an outage, which is told by itself; 0 by default: at once.
   */
  readonly confirmMs?: number
}

export class Telemetry {
  readonly counters: Counters
  readonly events: Events
  readonly #options: TelemetryOptions
  readonly #loggedAt = new Map<string, number>()
  #resetAt: number
  /** Kinds of faults that may turn out to be the beginning of an outage. */
  readonly #unconfirmed = new Set<string>()
  /** How many outages have been told of. */
  #outages = 0
  /** What messages call the server that is away, as its operator has been told. */
  #away: string | undefined
  /** How many faults it has brought about. */
  #faultsOfOutage = 0
  readonly #failures = new Map<string, Failure>()
  #failuresClearedAt = -Infinity

  constructor(options: TelemetryOptions) {
    this.counters = options.counters
    this.events = options.events
    this.#options = options
    this.#resetAt = options.clock.now()
  }

  statistics(): Statistics {
    return this.counters.statistics(this.#options.clock.now() - this.#resetAt)
  }

  reset(): void {
    this.counters.reset()
    this.#resetAt = this.#options.clock.now()
  }

  /** Counts what happened to an entry, and emits it if anybody listens. */
  count(event: keyof typeof COUNTER, key: string, namespace: string): void {
    this.counters.of(namespace)[COUNTER[event]]++
    if (this.events.has(event)) this.events.emit(event, { key, namespace })
  }

  /** Tells of a fault of the cache, whether the caller gets to see it or not. */
  report(error: unknown, about: Subject = {}): void {
    this.counters.errors++
    this.events.emit('error', { error, ...about })
    if (!(error instanceof CacheException)) return
    if (!reporters.has(error)) reporters.set(error, this)
    // That it is away, or a node of its cluster, has been said; what else that brings about is another matter.
    const isOfOutage = (away: string): boolean =>
      error instanceof RedisConnectionError || error.message.startsWith(away)
    if (this.#away !== undefined && isOfOutage(this.#away)) {
      this.#faultsOfOutage++
      return
    }
    // Refused today for a password is another fault than out of reach a moment ago.
    const { cause } = error
    const why = cause instanceof Error ? cause.message : error.code === 'ERR_CACHE' ? error.message : ''
    const detail = about.route ?? why.slice(0, 200)
    const kind = `${faultOf(error)} ${detail}`
    const message = `${error.message} (${error.code}${nameOf(about)})`
    if (error instanceof RedisConnectionError) this.#warnUnlessLost(kind, message)
    else this.#warn(kind, message)
  }

  /** Tells once that Redis is away, and once that it is back. */
  connection(change: ConnectionEvent): void {
    this.events.emit('connection', change)
    const { warn } = this.#options
    const now = this.#options.clock.now()
    // A server that comes and goes is no reason to tell the same again each time.
    if (now - this.#failuresClearedAt >= LOG_INTERVAL_MS) {
      this.#failures.clear()
      this.#failuresClearedAt = now
    }
    if (change.state === 'down') {
      this.#outages++
      this.#faultsOfOutage = 0
      this.#away = change.redis
      warn(`tidemark: ${change.error.message} (${change.error.code})`)
      return
    }
    this.#away = undefined
    const { redis, awayMs, delivered, waiting, anotherServer } = change
    const faults = this.#faultsOfOutage
    const what = [
      awayMs > 0 && `is back after ${(awayMs / 1000).toFixed(1)} s`,
      anotherServer && `${awayMs > 0 ? 'it ' : ''}is another server than before, so what was stored is invalid`,
      delivered > 0 && `${delivered} queued ${delivered === 1 ? 'invalidation was' : 'invalidations were'} delivered`,
      waiting > 0 && `${waiting} still ${waiting === 1 ? 'waits' : 'wait'}`,
      awayMs > 0 && faults > 0 && `${faults} ${faults === 1 ? 'call' : 'calls'} had to do without it`,
    ].filter(Boolean)
    // At the level of the line that it answers: who reads the one should find the other.
    warn(`tidemark: ${redis} ${what.join('; ')}`)
  }

  /**
   * Whether the log should have a request that failed with Redis: the first of its namespace, or route, and fault in ten
   * minutes of an outage, and in one minute while Redis refuses. The others are counted.
   */
  newsOf(what: 'undelivered' | 'failed', of: string, error: CacheException): News {
    const now = this.#options.clock.now()
    for (const [told, { at, isOfOutage }] of this.#failures) {
      const interval = isOfOutage && this.#away !== undefined ? OUTAGE_LOG_INTERVAL_MS : LOG_INTERVAL_MS
      if (now - at >= interval) this.#failures.delete(told)
    }
    const group = `${what} ${faultOf(error)}`
    const kind = `${group}: ${of}`
    if (this.#failures.has(kind) || this.#failures.size >= MAX_FAULTS) return 'none'
    const told = [...this.#failures.values()].filter((one) => one.group === group)
    const isFull = told.filter((one) => one.news === 'first').length >= MAX_FAILED
    if (isFull && told.some((one) => one.news === 'more')) return 'none'
    const news = isFull ? 'more' : 'first'
    // What a server refuses is no matter of one that is away.
    this.#failures.set(kind, { at: now, group, isOfOutage: !(error instanceof RedisReplyError), news })
    return news
  }

  /** Tells of a load whose failure, or lateness, no caller sees: each was answered with what was stale. */
  reportLoad(error: unknown, { key, namespace, route }: About & { readonly route?: string | undefined }): void {
    // Any other fault of the cache was told where it occurred.
    if (error instanceof CacheException && !(error instanceof LoadTimeoutError)) return
    this.counters.errors++
    this.events.emit('error', { error, key, namespace, ...(route !== undefined && { route }) })
    // Its own deadline is over; that of a load inside of the loader is a failure like others.
    if (error instanceof LoadTimeoutError && error.key === key && error.namespace === namespace) {
      const where = nameOf({ namespace })
      return this.#warn(
        `late ${route ?? namespace}`,
        `${error.message}${where}; what is stale is served (${error.code})`,
      )
    }
    const name = error instanceof Error ? error.name : typeof error
    this.#warn(
      `load ${namespace} ${name}`,
      `a load failed, what is stale is served: ${describeError(error)}${nameOf({ key, namespace })}`,
    )
  }

  /** Reports a rejection on its way to the caller, who is told which call it belongs to. */
  async watch<T>(result: MaybePromise<T>, about: Partial<About> = {}): Promise<T> {
    try {
      return await result
    } catch (error) {
      const fault = concerning(error, about)
      this.report(fault, about)
      throw fault
    }
  }

  #warnUnlessLost(kind: string, message: string): void {
    const { confirmMs = 0 } = this.#options
    if (confirmMs === 0) return this.#warn(kind, message)
    if (this.#unconfirmed.has(kind) || this.#unconfirmed.size >= MAX_FAULTS) return
    this.#unconfirmed.add(kind)
    const outages = this.#outages
    setTimeout(() => {
      this.#unconfirmed.delete(kind)
      if (outages === this.#outages) this.#warn(kind, message)
    }, confirmMs).unref()
  }

  /** Logs a fault, unless one of its kind was logged a moment ago. */
  #warn(kind: string, message: string): void {
    const { clock, warn } = this.#options
    const now = clock.now()
    if (now - (this.#loggedAt.get(kind) ?? -Infinity) < LOG_INTERVAL_MS) return
    if (this.#loggedAt.size >= MAX_FAULTS) this.#loggedAt.clear()
    this.#loggedAt.set(kind, now)
    warn(`tidemark: ${message}`)
  }
}

/** What tells one fault from another: its code, and that of Redis's answer. */
function faultOf(error: CacheException): string {
  const reply = [error, error.cause].find((one) => one instanceof RedisReplyError)
  return reply === undefined ? error.code : `${error.code} ${reply.replyCode}`
}

/** How a message names an entry, or a namespace, behind a comma. */
export function nameOf({ key, namespace = '' }: Subject): string {
  if (key === undefined) return namespace === '' ? '' : `, namespace ${quoted(namespace)}`
  return `, key ${quoted(key)}${namespace === '' ? '' : ` in namespace ${quoted(namespace)}`}`
}

/** On one line and short: a client may have made it up. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name)
}
