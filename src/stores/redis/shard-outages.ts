/** The outages of shards told as one: from the first that is lost to the last that is back. */
import type { ConnectionEvent } from '../../events.ts'

export class ShardOutages {
  readonly #tell: (change: ConnectionEvent) => void
  readonly #lost = new Set<object>()
  #longestMs = 0
  #delivered = 0
  #waiting = 0
  #isAnother = false

  constructor(tell: (change: ConnectionEvent) => void) {
    this.#tell = tell
  }

  get isOn(): boolean {
    return this.#lost.size > 0
  }

  onConnection(shard: object, change: ConnectionEvent): void {
    if (change.state === 'down') {
      if (this.#lost.size === 0) this.#tell(change)
      this.#lost.add(shard)
      return
    }
    if (!this.#lost.delete(shard)) return
    this.#longestMs = Math.max(this.#longestMs, change.awayMs)
    this.#delivered += change.delivered
    this.#waiting += change.waiting
    if (change.anotherServer) this.#isAnother = true
    if (this.#lost.size > 0) return
    const sums = { awayMs: this.#longestMs, delivered: this.#delivered, waiting: this.#waiting }
    this.#tell({ ...change, ...sums, anotherServer: this.#isAnother })
    this.#longestMs = this.#delivered = this.#waiting = 0
    this.#isAnother = false
  }
}
