/** Which ids had nothing to store a moment ago (known as hit-for-miss), and why. */
import type { Clock } from '../clock.ts'
import type { Drop } from './lead.ts'

const KEPT_MS = 2000
/** Beyond it the oldest is forgotten: the next requests wait once more for nothing. */
const MAX_IDS = 1000

export class RecentDrops {
  readonly #drops = new Map<string, { readonly why: Drop; readonly until: number }>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get(id: string): Drop | undefined {
    const drop = this.#drops.get(id)
    if (drop === undefined || this.#clock.now() < drop.until) return drop?.why
    this.#drops.delete(id)
    return undefined
  }

  add(id: string, why: Drop): void {
    this.#drops.delete(id)
    this.#drops.set(id, { why, until: this.#clock.now() + KEPT_MS })
    if (this.#drops.size <= MAX_IDS) return
    const [oldest] = this.#drops.keys()
    this.#drops.delete(oldest!)
  }
}
