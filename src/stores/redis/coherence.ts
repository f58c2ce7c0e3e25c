/**
 * How this process hears of what others invalidate: messages on one channel, each written by a script together with
 * what it tells of.
 *
 *     ["s", origin, epoch, before, seq, floor, soft, name ...]   names were stamped; `before` is the seq until then
 *     ["k", origin, id ...]                                      entries were removed or replaced
 *     ["r", id]                                                  a lease ended for which somebody waits
 *     ["e", origin, echo]                                        the answer to a SYNC, on the way that messages take
 *
 * Knowledge is *current* while the channel is subscribed, the mirror was synced after that, every stamp since has
 * arrived (each names the one before it), and the beat is younger than the staleness allowed. At the least doubt
 * everything that was kept on the strength of it is dropped.
 *
 * Two connections may lead to two servers, when an address passes from one to the other and the old one lives on: it
 * answers every PING and says nothing. So with each connection that is made, of either kind, SYNC asks for an echo, which
 * only those hear who listen to the server that it ran on.
 */
import { newToken } from '../../token.ts'
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

export interface CoherenceOptions {
  readonly subscriber: ChannelSource
  readonly channel: string
  readonly mirror: Mirror
  /** The name of this store in messages: its own writes are no news. */
  readonly origin: () => string
  /** How old the beat may be. */
  readonly maxStalenessMs: number
  readonly listener: CoherenceListener
}

/** So many beats while knowledge is current: one may be late. */
const BEATS_PER_STALENESS = 4
const SLOWEST_BEAT_MS = 1000
/** Without an echo for so long the wrong server is listened to, and another connection is made; each time it may take longer. */
const ECHO_FIRST_MS = 2000
const ECHO_LAST_MS = 60_000

export class Coherence implements ChannelListener {
  readonly #options: CoherenceOptions
  #isCaughtUp = false
  #isSubscribed = false
  #isSynced = false
  /** What is to be heard; '' once it was. */
  #echo = ''
  #echoWithinMs = ECHO_FIRST_MS
  /** Counts doubts, so that a sync that began before one does not end it. */
  #doubts = 0
  #again: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: CoherenceOptions) {
    this.#options = options
    const beatIntervalMs = Math.min(options.maxStalenessMs / BEATS_PER_STALENESS, SLOWEST_BEAT_MS)
    options.subscriber.join(options.channel, this, beatIntervalMs)
  }

  get channel(): string {
    return this.#options.channel
  }

  /** What a SYNC is to have published; '' if the server that is listened to is known to be the right one. */
  get echo(): string {
    return this.#echo
  }

  isCurrent(): boolean {
    const { subscriber, maxStalenessMs } = this.#options
    return this.#isCaughtUp && performance.now() - subscriber.beatAt < maxStalenessMs
  }

  onSubscribed(): void {
    this.doubt()
    this.#isSubscribed = true
  }

  onLost(): void {
    this.#isSubscribed = false
    this.#isCaughtUp = false
    this.#doubts++
    this.#options.listener.onDoubt()
  }

  /** The connection for commands is lost: the next one may lead elsewhere. */
  onCommandsLost(): void {
    this.#isCaughtUp = false
    this.#doubts++
  }

  /** What is kept is still good if the same server is listened to; `onSubscribed` finds out about another one. */
  onCommandsBack(): void {
    if (this.#isSubscribed) this.#verify()
  }

  onMessage(message: Buffer): void {
    const { mirror, origin, listener } = this.#options
    const parts = parse(message)
    if (parts === undefined) return this.doubt()
    const [kind, ...rest] = parts
    if (kind === 'r') return listener.onReleased(rest[0]!)
    const [from, ...facts] = rest
    if (kind === 'e') return this.#onEcho(facts[0])
    if (kind === 'k' && from !== origin()) return listener.onRemoved(facts)
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

  /** Drops what is kept, and is current again when the mirror has been synced and its echo was heard. */
  doubt(): void {
    this.#options.listener.onDoubt()
    this.#verify()
  }

  #verify(): void {
    this.#isCaughtUp = false
    this.#isSynced = false
    this.#echo = newToken()
    const doubt = ++this.#doubts
    this.#options.mirror.sync().then(
      () => {
        if (doubt !== this.#doubts) return
        this.#isSynced = true
        this.#catchUp()
        if (!this.#isCaughtUp && this.#isSubscribed) this.#awaitEcho()
      },
      // Redis does not answer: the loss of the subscription, or the next message that does not fit, tries again.
      () => this.#later(SLOWEST_BEAT_MS, () => this.#verify()),
    )
  }

  #onEcho(echo: string | undefined): void {
    if (echo !== this.#echo) return
    this.#echo = ''
    this.#echoWithinMs = ECHO_FIRST_MS
    this.#catchUp()
  }

  #catchUp(): void {
    if (this.#isCaughtUp || !this.#isSynced || this.#echo !== '') return
    this.#isCaughtUp = true
    this.#options.listener.onInStep?.()
  }

  #awaitEcho(): void {
    const withinMs = this.#echoWithinMs
    this.#echoWithinMs = Math.min(2 * withinMs, ECHO_LAST_MS)
    this.#later(withinMs, () => {
      if (!this.#isCaughtUp) this.#options.subscriber.reconnect(new Error(`no echo within ${withinMs} ms`))
    })
  }

  /** Unless there is another doubt meanwhile. */
  #later(afterMs: number, act: () => void): void {
    const doubts = this.#doubts
    if (this.#isClosed) return
    clearTimeout(this.#again)
    this.#again = setTimeout(() => doubts === this.#doubts && act(), afterMs).unref()
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
