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
  readonly #ids = new Set<string>()
  readonly #hard = new Set<string>()
  readonly #soft = new Set<string>()
  #replaying: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined

  constructor(delivery: Delivery) {
    this.#delivery = delivery
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0 && this.#hard.size === 0 && this.#soft.size === 0
  }

  addIds(ids: readonly string[]): void {
    this.#add(this.#ids, ids)
  }

  addStamps(stamps: readonly string[], isSoft: boolean): void {
    this.#add(isSoft ? this.#soft : this.#hard, stamps)
  }

  /** Delivers what is left; rejects as long as Redis does not take it. */
  replay(): Promise<void> {
    this.#replaying ??= this.#deliver().finally(() => (this.#replaying = undefined))
    return this.#replaying
  }

  close(): void {
    clearTimeout(this.#retry)
  }

  #add(names: Set<string>, added: readonly string[]): void {
    for (const name of added) names.add(name)
    if (this.#ids.size + this.#hard.size + this.#soft.size > MAX_NAMES) {
      for (const set of [this.#ids, this.#hard, this.#soft]) set.clear()
      this.#hard.add(EVERYTHING)
    }
    this.#scheduleRetry()
  }

  async #deliver(): Promise<void> {
    // What is added meanwhile stays for the next time; to deliver a name twice does no harm.
    const [ids, hard, soft] = [[...this.#ids], [...this.#hard], [...this.#soft]]
    if (ids.length > 0) await this.#delivery.remove(ids)
    if (hard.length > 0) await this.#delivery.invalidate(hard, false)
    if (soft.length > 0) await this.#delivery.invalidate(soft, true)
    for (const id of ids) this.#ids.delete(id)
    for (const name of hard) this.#hard.delete(name)
    for (const name of soft) this.#soft.delete(name)
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
