/**
 * Looks after a connection from time to time.
 *
 * An idle one that a firewall has forgotten is found out before a user's command is; and a server that was demoted to a
 * replica in silence, though nothing is written to it.
 */
import type { Argument, Reply } from './client.ts'
import type { Greeting } from './greeting.ts'
import { isRedirection } from './reply-error.ts'

/** What of a link it needs. */
interface Checked {
  readonly lastUsedAt: number
  isUp(): boolean
  send(args: readonly Argument[]): Promise<Reply>
}

export interface HealthCheckOptions {
  readonly link: Checked
  /** 0: never. */
  readonly intervalMs: number
  readonly greetings: () => readonly Greeting[]
}

export class HealthCheck {
  readonly #options: HealthCheckOptions
  #timer: NodeJS.Timeout | undefined

  constructor(options: HealthCheckOptions) {
    this.#options = options
  }

  start(): void {
    const { intervalMs } = this.#options
    if (intervalMs > 0) this.#schedule(intervalMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #schedule(afterMs: number): void {
    const { link, intervalMs, greetings } = this.#options
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const quietMs = performance.now() - link.lastUsedAt
      const said = greetings()
      const isDue = said.length > 0 || quietMs >= intervalMs
      if (isDue && link.isUp()) this.#check(said)
      this.#schedule(isDue ? intervalMs : intervalMs - quietMs)
    }, afterMs).unref()
  }

  /** The deadline of a command is the health check: PING only sees to it that there is one. */
  #check(greetings: readonly Greeting[]): void {
    const { link } = this.#options
    for (const greeting of greetings) {
      link.send(greeting.say()).then(
        (reply) => greeting.onTaken?.(reply),
        (error: unknown) => {
          if (isRedirection(error)) greeting.onElsewhere?.(error)
        },
      )
    }
    if (greetings.length === 0) link.send(['PING']).catch(() => undefined)
  }
}
