/** Those who wait for the end of a lease: woken by a message if one arrives, else by the clock. */
import type { Watch } from './store.ts'

interface Waiting {
  hasEnded: boolean
  wake: () => void
}

export class Watches {
  readonly #waiting = new Map<string, Set<Waiting>>()

  watch(id: string): Watch {
    const waiting: Waiting = { hasEnded: false, wake: () => {} }
    const others = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, others.add(waiting))
    return {
      ended: (withinMs) => untilWoken(waiting, withinMs),
      stop: () => {
        others.delete(waiting)
        if (others.size === 0 && this.#waiting.get(id) === others) this.#waiting.delete(id)
      },
    }
  }

  /** The lease of `id` has ended. */
  wake(id: string): void {
    for (const waiting of this.#waiting.get(id) ?? []) {
      waiting.hasEnded = true
      waiting.wake()
    }
  }
}

function untilWoken(waiting: Waiting, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer)
      waiting.hasEnded = false
      waiting.wake = () => {}
      resolve()
    }
    const timer = setTimeout(finish, withinMs)
    waiting.wake = finish
    // It ended while nobody was looking.
    if (waiting.hasEnded) finish()
  })
}
