/**
 * From the moment Redis is out of reach to the moment it is back: each told once, however often it was tried in between.
 *
 * It is back when the invalidations that waited for it have been delivered, or were refused.
 */
import type { ConnectionEvent } from '../../events.ts'
import type { RedisConnectionError } from '../../exceptions.ts'
import type { LinkWatcher } from './link.ts'
import type { Undelivered } from './undelivered.ts'

export interface OutagesOptions {
  /** How messages call the server. */
  readonly redis: string
  readonly undelivered: Undelivered
  readonly tell: (change: ConnectionEvent) => void
}

export class Outages implements LinkWatcher {
  readonly #options: OutagesOptions
  /** When the outage that was told of began, in milliseconds of `performance.now()`. */
  #beganAt: number | undefined
  #isDown = false
  /** Which one answered last. */
  #server: string | undefined
  /** Another server than before has answered, which has not been told yet. */
  #isAnother = false

  constructor(options: OutagesOptions) {
    this.#options = options
  }

  /** The end of a connection that nobody waited for is no outage, unless it cannot be made anew. */
  onDown(error: RedisConnectionError, since: number, isEnd = false): void {
    this.#isDown = true
    if (isEnd || this.#beganAt !== undefined) return
    this.#beganAt = since
    const { redis, tell } = this.#options
    tell({ state: 'down', redis, error })
  }

  /** With another server than before what was stored there before is invalid. */
  onGreeted(server: string): void {
    const before = this.#server
    this.#server = server
    if (before === undefined || before === server) return
    this.#isAnother = true
    // Without an outage there is no end of one to say it.
    if (this.#beganAt === undefined) this.#tellUp(0, 0)
  }

  onUp(): void {
    this.#isDown = false
    void this.#end()
  }

  async #end(): Promise<void> {
    const { undelivered } = this.#options
    const before = undelivered.waiting
    await undelivered.replay().catch(() => undefined)
    // Lost again meanwhile: it is one outage.
    if (this.#isDown || this.#beganAt === undefined) return
    const awayMs = Math.round(performance.now() - this.#beganAt)
    this.#beganAt = undefined
    this.#tellUp(awayMs, Math.max(0, before - undelivered.waiting))
  }

  #tellUp(awayMs: number, delivered: number): void {
    const { redis, undelivered, tell } = this.#options
    const anotherServer = this.#isAnother
    this.#isAnother = false
    tell({ state: 'up', redis, awayMs, delivered, waiting: undelivered.waiting, anotherServer })
  }
}
