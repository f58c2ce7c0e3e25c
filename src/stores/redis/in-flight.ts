/**
 * The commands of one connection that have not been answered, in the order they came in.
 *
 * All have the same deadline, so they also expire in that order: one list and one timer serve them all, and a command
 * costs no timer of its own. The timer keeps the process alive while there are commands, which lets sockets and everything
 * else be unref'ed: an application that forgets `close()` can still end.
 */
import type { Argument, Reply } from './client.ts'

export interface Pending {
  readonly args: readonly Argument[]
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
  readonly dueAt: number
  /** How many answers the link had had when this went out; undefined: it waits for a connection. */
  answersBefore: number | undefined
  isSettled: boolean
  next: Pending | undefined
}

export interface InFlightOptions {
  readonly timeoutMs: number
  /** They are late, and off the list; all that is left is to tell whoever waits for them. */
  readonly onExpired: (late: readonly Pending[]) => void
}

export class InFlight {
  count = 0
  /** When the last command came in, in milliseconds of `performance.now()`. */
  lastAddedAt: number = performance.now()
  readonly #options: InFlightOptions
  #first: Pending | undefined
  #last: Pending | undefined
  #deadline: NodeJS.Timeout | undefined
  #onNone: (() => void) | undefined

  constructor(options: InFlightOptions) {
    this.#options = options
  }

  /** When the first came in that is not settled yet, in milliseconds of `performance.now()`; without one, now. */
  get since(): number {
    return this.#first === undefined ? performance.now() : this.sinceOf(this.#first)
  }

  /** When it came in. */
  sinceOf({ dueAt }: Pending): number {
    return dueAt - this.#options.timeoutMs
  }

  add(command: Pick<Pending, 'args' | 'resolve' | 'reject'>): Pending {
    const { timeoutMs } = this.#options
    this.lastAddedAt = performance.now()
    const pending: Pending = {
      args: command.args,
      resolve: command.resolve,
      reject: command.reject,
      dueAt: this.lastAddedAt + timeoutMs,
      answersBefore: undefined,
      isSettled: false,
      next: undefined,
    }
    if (this.#last === undefined) this.#first = pending
    else this.#last.next = pending
    this.#last = pending
    this.count++
    if (this.#deadline === undefined) this.#deadline = setTimeout(this.#onDeadline, timeoutMs)
    else if (this.count === 1) this.#deadline.ref()
    return pending
  }

  /** Takes it off the list. What settles out of turn stays until those before it are settled too. */
  settle(pending: Pending): Pending {
    pending.isSettled = true
    while (this.#first?.isSettled) {
      const { next } = this.#first
      // The collector would take an old one, though dead, for a reason to keep all that came after it.
      this.#first.next = undefined
      this.#first = next
    }
    if (this.#first === undefined) this.#last = undefined
    if (--this.count === 0) {
      this.#deadline?.unref()
      this.#onNone?.()
    }
    return pending
  }

  /** Those that are not settled when it is their turn: settling one may settle others. */
  *unsettled(): Iterable<Pending> {
    const all: Pending[] = []
    for (let pending = this.#first; pending !== undefined; pending = pending.next) all.push(pending)
    for (const pending of all) if (!pending.isSettled) yield pending
  }

  /** Resolves when there are none, and after `graceMs` at the latest. */
  drained(graceMs: number): Promise<void> {
    if (this.count === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs)
      this.#onNone = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** There will be no more. */
  stop(): void {
    clearTimeout(this.#deadline)
  }

  readonly #onDeadline = (): void => {
    this.#deadline = undefined
    if (this.#first === undefined) return
    const leftMs = this.#first.dueAt - performance.now()
    if (leftMs > 0) this.#deadline = setTimeout(this.#onDeadline, Math.ceil(leftMs))
    // After a busy stretch timers run before the replies that lie ready in the socket; setImmediate runs after them.
    else setImmediate(() => this.#expire())
  }

  #expire(): void {
    const now = performance.now()
    const late: Pending[] = []
    for (let pending = this.#first; pending !== undefined && pending.dueAt <= now; pending = this.#first) {
      late.push(this.settle(pending))
    }
    this.#options.onExpired(late)
    if (this.#deadline === undefined) this.#onDeadline()
  }
}
