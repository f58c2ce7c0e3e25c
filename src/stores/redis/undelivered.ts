/**
 * Invalidations that could not be delivered. Their callers were told (they reject), and nothing is forgotten: they are
 * delivered as soon as Redis answers, before anything is read from it. Until then this store reads nothing, so this
 * process does not serve what they concern.
 *
 * Bounded: beyond so many names everything is invalidated instead, which is one name.
 */
import { EVERYTHING } from '../../key.ts'

const MAX_NAMES = 10_000
const RETRY_MS = 250

export interface Delivery {
  remove(ids: readonly string[]): Promise<unknown>
  invalidate(stamps: readonly string[], isSoft: boolean): Promise<unknown>
}

export class Undelivered {
  readonly #delivery: Delivery
  /** Names, and which addition was the last to name them. */
  readonly #ids = new Map<string, number>()
  readonly #hard = new Map<string, number>()
  readonly #soft = new Map<string, number>()
  #additions = 0
  /** Additions up to this one have been delivered. */
  #delivered = 0
  #replaying: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined

  constructor(delivery: Delivery) {
    this.#delivery = delivery
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  /** How many calls wait to be delivered. */
  get waiting(): number {
    return this.#additions - this.#delivered
  }

  addIds(ids: readonly string[]): void {
    this.#add(this.#ids, ids)
  }

  addStamps(stamps: readonly string[], isSoft: boolean): void {
    this.#add(isSoft ? this.#soft : this.#hard, stamps)
  }

  /** Delivers what is left, until nothing is; rejects as long as Redis does not take it. */
  async replay(): Promise<void> {
    while (!this.isEmpty) {
      this.#replaying ??= this.#deliver().finally(() => (this.#replaying = undefined))
      await this.#replaying
    }
  }

  close(): void {
    clearTimeout(this.#retry)
  }

  get #size(): number {
    return this.#ids.size + this.#hard.size + this.#soft.size
  }

  #add(names: Map<string, number>, added: readonly string[]): void {
    const addition = ++this.#additions
    for (const name of added) names.set(name, addition)
    if (this.#size > MAX_NAMES) {
      for (const one of [this.#ids, this.#hard, this.#soft]) one.clear()
      this.#hard.set(EVERYTHING, addition)
    }
    this.#scheduleRetry()
  }

  async #deliver(): Promise<void> {
    const last = this.#additions
    const [ids, hard, soft] = [[...this.#ids.keys()], [...this.#hard.keys()], [...this.#soft.keys()]]
    if (ids.length > 0) await this.#delivery.remove(ids)
    if (hard.length > 0) await this.#delivery.invalidate(hard, false)
    if (soft.length > 0) await this.#delivery.invalidate(soft, true)
    // What was added meanwhile stays for the next time, also what is named the second time.
    for (const names of [this.#ids, this.#hard, this.#soft]) {
      for (const [name, addition] of names) if (addition <= last) names.delete(name)
    }
    this.#delivered = last
  }

  #scheduleRetry(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      const again = (): void => {
        if (!this.isEmpty) this.#scheduleRetry()
      }
      this.replay().then(again, again)
    }, RETRY_MS).unref()
  }
}
