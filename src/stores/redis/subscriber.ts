/**
 * One connection that listens, for all caches of this process on one server: messages in the order they were
 * published, and the *beat*.
 *
 * The beat is the moment at which the last PING that was answered on this very connection was sent. Redis answers a
 * connection in order, so the pong comes behind every message published before the PING was executed: as of the beat
 * nothing is missing, whatever the network did. A connection that was cut without a word gives no more pongs, and
 * whoever asks `beatAt` knows how old its knowledge is.
 */
import type { PortListener, SubscriberPort } from './client.ts'
import { isUnserved, replyCodeOf } from './reply-error.ts'

export interface ChannelListener {
  onMessage(message: Buffer): void
  /** From now on every message arrives; what was published before may have been missed. */
  onSubscribed(): void
  onLost(): void
  /** On Cluster: this node does not serve the channel. */
  onElsewhere?(reason: Error): void
}

/** Where a channel is listened to. */
export type ChannelSource = Pick<Subscriber, 'beatAt' | 'join' | 'leave' | 'reconnect'>

/** A PING that is not answered for so long: the connection is dead, and made anew. */
const SILENCE_MS = 2000

export class Subscriber implements PortListener {
  /** In milliseconds of `performance.now()`. */
  beatAt: number = -Infinity
  readonly #port: SubscriberPort
  readonly #onClosed: () => void
  /** Channel -> who listens, with the beat that each of them wants; caches of one prefix share a channel. */
  readonly #channels = new Map<string, Map<ChannelListener, number>>()
  #isUp = false
  #beatTimer: NodeJS.Timeout | undefined
  #isConnecting = false

  /** @param onClosed the last channel was left: this one is of no more use */
  constructor(port: SubscriberPort, onClosed: () => void) {
    this.#port = port
    this.#onClosed = onClosed
    port.listen(this)
    port.onMessage((channel, message) => {
      for (const listener of this.#channels.get(channel)?.keys() ?? []) listener.onMessage(message)
    })
  }

  /** Listens to `channel`, with a beat at least every `beatIntervalMs`; it connects with the first one. */
  join(channel: string, listener: ChannelListener, beatIntervalMs: number): void {
    const listeners = this.#channels.get(channel) ?? new Map<ChannelListener, number>()
    this.#channels.set(channel, listeners.set(listener, beatIntervalMs))
    if (this.#isUp) void this.#subscribe(channel)
    else if (!this.#isConnecting) this.#port.connect()
    this.#isConnecting = true
  }

  /** Leaves `channel`; with the last one the connection is closed. */
  async leave(channel: string, listener: ChannelListener): Promise<void> {
    const listeners = this.#channels.get(channel)
    listeners?.delete(listener)
    if (listeners?.size !== 0) return
    this.#channels.delete(channel)
    if (this.#channels.size > 0) {
      // Nobody listens any more, whether Redis has heard of it or not.
      if (this.#isUp) this.#port.unsubscribe(channel).catch(() => undefined)
      return
    }
    this.#isUp = false
    this.#onClosed()
    clearTimeout(this.#beatTimer)
    await this.#port.close()
  }

  /** Ends the connection and makes a new one, which may lead elsewhere. */
  reconnect(reason: Error): void {
    if (this.#isUp) this.#port.drop(reason)
  }

  onUp(): void {
    this.#isUp = true
    for (const channel of this.#channels.keys()) void this.#subscribe(channel)
    void this.#beat()
  }

  onDown(): void {
    this.beatAt = -Infinity
    if (!this.#isUp) return
    this.#isUp = false
    clearTimeout(this.#beatTimer)
    for (const listener of this.#listeners()) listener.onLost()
  }

  onEnd(): void {
    this.onDown()
  }

  #listeners(): ChannelListener[] {
    return Array.from(this.#channels.values(), (listeners) => [...listeners.keys()]).flat()
  }

  async #subscribe(channel: string): Promise<void> {
    try {
      await this.#port.subscribe(channel)
      for (const listener of this.#channels.get(channel)?.keys() ?? []) listener.onSubscribed()
    } catch (error) {
      const elsewhere = [...(this.#channels.get(channel)?.keys() ?? [])].filter((one) => one.onElsewhere !== undefined)
      // The other channels of this node are none the worse for it.
      if (elsewhere.length > 0 && this.#isUp && replyCodeOf(error as Error) !== undefined)
        for (const listener of elsewhere) listener.onElsewhere!(error as Error)
      else this.#port.drop(error as Error)
    }
  }

  async #beat(): Promise<void> {
    const sentAt = performance.now()
    const silence = setTimeout(() => this.#port.drop(new Error(`no pong within ${SILENCE_MS} ms`)), SILENCE_MS).unref()
    try {
      await this.#port.ping()
    } catch (error) {
      // The port tells of the loss.
      if (replyCodeOf(error as Error) === undefined) return
      // It does not hear what its primary's clients publish, or does not let us hear it.
      if (isUnserved(error as Error)) return this.#port.drop(error as Error)
      // Who is busy, or has a full disk, refuses PING as well; that comes in its turn, like any answer.
    } finally {
      clearTimeout(silence)
    }
    if (!this.#isUp) return
    this.beatAt = sentAt
    const interval = Math.min(...Array.from(this.#channels.values(), (wanted) => Math.min(...wanted.values())))
    clearTimeout(this.#beatTimer)
    this.#beatTimer = setTimeout(() => void this.#beat(), interval).unref()
  }
}
