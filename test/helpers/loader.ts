/** A loader whose runs a test sees, and ends. */
import type { LoadContext } from 'tidemark'

interface Run<T> {
  readonly context: LoadContext<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export class Loader<T = unknown> {
  readonly runs: Run<T>[] = []
  readonly #waiting: (() => void)[] = []

  /** The loader itself. */
  readonly load = (context: LoadContext<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      this.runs.push({ context, resolve, reject })
      for (const wake of this.#waiting.splice(0)) wake()
    })

  /** Resolves when the loader has been run so many times. */
  async started(times = 1): Promise<Run<T>> {
    while (this.runs.length < times) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return this.runs[times - 1]!
  }
}
