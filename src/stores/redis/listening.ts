/** What a store hears of others, and how current it is, from the first time that somebody waits or keeps entries near. */
import type { StoreListener } from '../store.ts'
import type { Watches } from '../watches.ts'
import { Coherence } from './coherence.ts'
import type { StoreConnection } from './connection.ts'
import type { Mirror } from './mirror.ts'
import type { StoreScripts } from './store-scripts.ts'

/** A memory in front of a store. */
export interface Tier {
  onRemoved(ids: readonly string[]): void
  /** Nothing that is kept may be relied on; with several shards only what `isConcerned` says. */
  onDoubt(isConcerned?: (id: string) => boolean): void
}

export interface ListeningOptions {
  readonly connection: StoreConnection
  readonly scripts: StoreScripts
  readonly mirror: Mirror
  readonly watches: Watches
  readonly trace: NonNullable<StoreListener['onTrace']>
}

export class Listening {
  /** How long the memory in front may lag behind, in milliseconds; 0 without one. */
  maxStalenessMs = 0
  readonly #options: ListeningOptions
  #tier: Tier | undefined
  #coherence: Coherence | undefined
  #isClosed = false

  constructor(options: ListeningOptions) {
    this.#options = options
  }

  /** What a SYNC is to have published. */
  get echo(): string {
    return this.#coherence?.echo ?? ''
  }

  /** Serve the memory in front. */
  follow(tier: Tier, maxStalenessMs: number): void {
    this.#tier = tier
    this.maxStalenessMs = maxStalenessMs
    this.start()
  }

  isCurrent(): boolean {
    return this.#coherence?.isCurrent() === true
  }

  start(): void {
    if (!this.#isClosed) this.#coherence ??= this.#listen()
  }

  /** A connection was made; it may be to another database than was thought. */
  onGreeting(): void {
    if (this.#coherence === undefined || this.#coherence.channel === this.#options.scripts.channel) return
    void this.#coherence.close()
    this.#tier?.onDoubt()
    this.#coherence = this.#listen()
  }

  onCommandsLost(): void {
    this.#coherence?.onCommandsLost()
  }

  onCommandsBack(): void {
    this.#coherence?.onCommandsBack()
  }

  /** The server does not serve us: what is heard there is no news either. */
  reconnect(reason: Error): void {
    this.#coherence?.reconnect(reason)
  }

  doubt(): void {
    this.#coherence?.doubt()
  }

  onRemoved(ids: readonly string[]): void {
    this.#tier?.onRemoved(ids)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#coherence?.close()
  }

  #listen(): Coherence {
    const { connection, scripts, mirror, watches, trace } = this.#options
    return new Coherence({
      subscriber: connection.subscriber(),
      channel: scripts.channel,
      mirror,
      origin: () => scripts.origin,
      maxStalenessMs: this.maxStalenessMs || Infinity,
      listener: {
        onRemoved: (ids) => this.#tier?.onRemoved(ids),
        onReleased: (id) => watches.wake(id),
        onDoubt: () => {
          this.#tier?.onDoubt()
          if (this.#tier !== undefined) trace('out of step with Redis, what memory held is dropped')
        },
        onInStep: () => {
          if (this.#tier !== undefined) trace('in step with Redis, memory may serve')
        },
      },
    })
  }
}
