/** What a cache tells of itself: typed events, and the same facts on `node:diagnostics_channel` as `tidemark:<event>`. */
import { channel, type Channel } from 'node:diagnostics_channel'
import type { RedisConnectionError } from './exceptions.ts'

/** Whose entry an event is about. */
export interface EntryEvent {
  readonly key: string
  readonly namespace: string
}

/** Redis is out of reach, or it is back. */
export type ConnectionEvent =
  | { readonly state: 'down'; readonly redis: string; readonly error: RedisConnectionError }
  | {
      readonly state: 'up'
      /** Which one: `Redis at 127.0.0.1:6379`. */
      readonly redis: string
      /** How long it was away, from the first command that it did not answer; 0 if it was not. */
      readonly awayMs: number
      /** Invalidations that had been queued, and are delivered now. */
      readonly delivered: number
      /** Invalidations that it has not taken yet. */
      readonly waiting: number
      /** It is another server than before (a restart, a failover): what was stored there before is invalid. */
      readonly anotherServer: boolean
    }

/** Every event and what it carries. Cached values are never part of it. */
export interface CacheEvents {
  /** A fresh entry was served. */
  hit: EntryEvent
  /** An entry was served past its ttl. */
  stale: EntryEvent
  miss: EntryEvent
  /** A loader ran, to its end or to its error; `durationMs` is what it took. */
  load: EntryEvent & { readonly durationMs: number }
  /** A load was stored. */
  fill: EntryEvent
  /** A load, or a token of `begin`, was refused because an invalidation or another load had overtaken it. */
  fence: EntryEvent
  set: EntryEvent
  delete: { readonly keys: readonly string[]; readonly namespace: string; readonly deleted: number }
  invalidate: { readonly tags: readonly string[]; readonly soft: boolean }
  /** `namespace` is undefined when everything was cleared. */
  clear: { readonly namespace: string | undefined }
  /** An entry was removed from memory for room. */
  evict: { readonly id: string }
  /** Redis was lost, or cannot be reached (`state: 'down'`), or it is back (`'up'`). */
  connection: ConnectionEvent
  /** Something failed that the caller may not see: Redis out of reach, unreadable bytes, a listener that threw. */
  error: { readonly error: unknown; readonly key?: string; readonly namespace?: string; readonly route?: string }
}

export type CacheEventName = keyof CacheEvents
export type CacheEventListener<E extends CacheEventName> = (event: CacheEvents[E]) => void

const NAMES = [
  'hit',
  'stale',
  'miss',
  'load',
  'fill',
  'fence',
  'set',
  'delete',
  'invalidate',
  'clear',
  'evict',
  'connection',
  'error',
] as const satisfies readonly CacheEventName[]

const CHANNELS = Object.fromEntries(NAMES.map((name) => [name, channel(`tidemark:${name}`)])) as Record<
  CacheEventName,
  Channel
>

/** Listeners by event. On the way of a hit nothing is made, not even the event, while nobody listens. */
export class Events {
  readonly #listeners: { [E in CacheEventName]?: Set<CacheEventListener<E>> } = {}

  on<E extends CacheEventName>(name: E, listener: CacheEventListener<E>): void {
    if (!Object.hasOwn(CHANNELS, name)) throw new TypeError(`event: expected one of ${NAMES.join(', ')}, got ${name}`)
    const listeners: Set<CacheEventListener<E>> = this.#listeners[name] ?? new Set()
    listeners.add(listener)
    Object.assign(this.#listeners, { [name]: listeners })
  }

  off<E extends CacheEventName>(name: E, listener: CacheEventListener<E>): void {
    const listeners = this.#listeners[name]
    listeners?.delete(listener)
    if (listeners?.size === 0) delete this.#listeners[name]
  }

  /** True if somebody wants to hear of it: ask before an event is made on a hot path. */
  has(name: CacheEventName): boolean {
    return this.#listeners[name] !== undefined || CHANNELS[name].hasSubscribers
  }

  emit<E extends CacheEventName>(name: E, event: CacheEvents[E]): void {
    CHANNELS[name].publish(event)
    // A listener's mistake is not the cached function's: it is told where faults are told, but only once.
    const onMistake = (error: unknown): void => {
      if (name !== 'error') this.emit('error', { error })
    }
    for (const listener of this.#listeners[name] ?? []) {
      try {
        const returned: unknown = listener(event)
        if (returned instanceof Promise) returned.catch(onMistake)
      } catch (error) {
        onMistake(error)
      }
    }
  }
}
