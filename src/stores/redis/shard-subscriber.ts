/**
 * Listens to the channel of one slot, on whichever node serves it: the very node whose scripts publish there, so that
 * its PONGs come behind their messages and the beat is a hard bound.
 *
 * Redis ends the subscription when the slot leaves the node (from version 7 on; before, a cluster has no channels that
 * belong to a slot, and nothing is heard).
 */
import type { RedisConnection } from './connection.ts'
import type { ChannelListener, ChannelSource, Subscriber } from './subscriber.ts'

export interface ShardSubscriberOptions {
  /** A node does not serve the channel, and says who does. */
  onMoved(error: Error): void
  /** Somebody wants to listen, and it is not known where. */
  onWanted(): void
}

interface Wanted {
  readonly channel: string
  readonly listener: ChannelListener
  readonly beatIntervalMs: number
}

/** A node that does not serve the channel, and names no other that does, is asked again after so long. */
const JOIN_AGAIN_MS = 2000

export class ShardSubscriber implements ChannelSource {
  readonly #options: ShardSubscriberOptions
  #node: RedisConnection | undefined
  #source: Subscriber | undefined
  #wanted: Wanted | undefined
  #joinAgain: NodeJS.Timeout | undefined

  constructor(options: ShardSubscriberOptions) {
    this.#options = options
  }

  get beatAt(): number {
    return this.#source?.beatAt ?? -Infinity
  }

  join(channel: string, listener: ChannelListener, beatIntervalMs: number): void {
    const onElsewhere = (error: Error): void => this.#onElsewhere(error)
    const bound: ChannelListener = {
      onMessage: (message) => listener.onMessage(message),
      onSubscribed: () => listener.onSubscribed(),
      onLost: () => listener.onLost(),
      onElsewhere,
    }
    this.#wanted = { channel, listener: bound, beatIntervalMs }
    if (this.#node === undefined) this.#options.onWanted()
    else this.#listen()
  }

  async leave(): Promise<void> {
    const { channel, listener } = this.#wanted ?? {}
    const source = this.#source
    this.#wanted = undefined
    this.#source = undefined
    clearTimeout(this.#joinAgain)
    if (channel !== undefined && listener !== undefined) await source?.leave(channel, listener)
  }

  reconnect(reason: Error): void {
    this.#source?.reconnect(reason)
  }

  /** The slot is served by that node from now on; undefined: it is not known by whom. */
  moveTo(node: RedisConnection | undefined): void {
    if (node === this.#node) return
    this.#node = node
    this.#listen()
  }

  /** What was published between two subscriptions may have been missed: `onSubscribed` says so. */
  #listen(): void {
    clearTimeout(this.#joinAgain)
    if (this.#wanted === undefined) return
    const { channel, listener, beatIntervalMs } = this.#wanted
    const before = this.#source
    this.#source = undefined
    if (before !== undefined) {
      listener.onLost()
      void before.leave(channel, listener)
    }
    this.#source = this.#node?.subscriber()
    this.#source?.join(channel, listener, beatIntervalMs)
  }

  #onElsewhere(error: Error): void {
    const node = this.#node
    this.#options.onMoved(error)
    if (this.#node !== node) return
    clearTimeout(this.#joinAgain)
    this.#joinAgain = setTimeout(() => this.#listen(), JOIN_AGAIN_MS).unref()
  }
}
