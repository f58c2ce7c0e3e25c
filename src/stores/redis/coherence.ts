/**
 * How this process hears of what others invalidate: messages on one channel, each written by a script together with
 * what it tells of.
 *
 *     ["s", origin, epoch, before, seq, floor, soft, name ...]   names were stamped; `before` is the seq until then
 *     ["k", origin, id ...]                                      entries were removed or replaced
 *     ["r", id]                                                  a lease ended for which somebody waits
 *
 * Knowledge is *current* while the channel is subscribed, the mirror was synced after that, every stamp since has
 * arrived (each names the one before it), and the beat is younger than the staleness allowed. At the least doubt
 * everything that was kept on the strength of it is dropped.
 */
import type { Mirror } from './mirror.ts'
import type { ChannelListener, ChannelSource } from './subscriber.ts'

export interface CoherenceListener {
  /** Entries were removed or replaced by somebody else. */
  onRemoved(ids: readonly string[]): void
  onReleased(id: string): void
  /** What is kept may be out of date, nobody knows what. */
  onDoubt(): void
  /** From now on nothing is missed. */
  onInStep?(): void
}

/** A memory in front of a store. */
export interface Tier {
  onRemoved(ids: readonly string[]): void
  /** Nothing that is kept may be relied on; with several shards only what `isConcerned` says. */
  onDoubt(isConcerned?: (id: string) => boolean): void
}

export interface CoherenceOptions {
  readonly subscriber: ChannelSource
  readonly channel: string
  readonly mirror: Mirror
  /** The name of this store in messages: its own writes are no news. */
  readonly origin: string
  /** How old the beat may be. */
  readonly maxStalenessMs: number
  readonly listener: CoherenceListener
}

/** So many beats while knowledge is current: one may be late. */
const BEATS_PER_STALENESS = 4
const SLOWEST_BEAT_MS = 1000

export class Coherence implements ChannelListener {
  readonly #options: CoherenceOptions
  #isCaughtUp = false
  /** Counts doubts, so that a sync that began before one does not end it. */
  #doubts = 0
  #again: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: CoherenceOptions) {
    this.#options = options
    const beatIntervalMs = Math.min(options.maxStalenessMs / BEATS_PER_STALENESS, SLOWEST_BEAT_MS)
    options.subscriber.join(options.channel, this, beatIntervalMs)
  }

  isCurrent(): boolean {
    const { subscriber, maxStalenessMs } = this.#options
    return this.#isCaughtUp && performance.now() - subscriber.beatAt < maxStalenessMs
  }

  onSubscribed(): void {
    this.doubt()
  }

  onLost(): void {
    this.#isCaughtUp = false
    this.#doubts++
    this.#options.listener.onDoubt()
  }

  onMessage(message: Buffer): void {
    const { mirror, origin, listener } = this.#options
    const parts = parse(message)
    if (parts === undefined) return this.doubt()
    const [kind, ...rest] = parts
    if (kind === 'r') return listener.onReleased(rest[0]!)
    const [from, ...facts] = rest
    if (kind === 'k' && from !== origin) return listener.onRemoved(facts)
    if (kind !== 's') return undefined
    const [epoch, before, seq, floor, soft, ...names] = facts
    const stamps = { epoch: epoch!, before: Number(before), seq: Number(seq), floor: Number(floor) }
    if (![stamps.before, stamps.seq, stamps.floor].every(Number.isSafeInteger)) return this.doubt()
    if (!mirror.apply({ ...stamps, isSoft: soft !== '', names })) this.doubt()
    return undefined
  }

  /** The server that is listened to is not the one to listen to any more. */
  reconnect(reason: Error): void {
    this.doubt()
    this.#options.subscriber.reconnect(reason)
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#again)
    return this.#options.subscriber.leave(this.#options.channel, this)
  }

  /** Drops what is kept, and is current again when the mirror has been synced. */
  doubt(): void {
    const { mirror, listener } = this.#options
    this.#isCaughtUp = false
    const doubt = ++this.#doubts
    listener.onDoubt()
    mirror.sync().then(
      () => {
        if (doubt !== this.#doubts) return
        this.#isCaughtUp = true
        listener.onInStep?.()
      },
      () => {
        // Redis does not answer: the loss of the subscription, or the next message that does not fit, tries again.
        if (doubt !== this.#doubts || this.#isClosed) return
        this.#again = setTimeout(() => doubt === this.#doubts && this.doubt(), SLOWEST_BEAT_MS).unref()
      },
    )
  }
}

function parse(message: Buffer): readonly string[] | undefined {
  try {
    const parts: unknown = JSON.parse(message.toString())
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : undefined
  } catch {
    return undefined
  }
}
