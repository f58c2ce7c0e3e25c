/**
 * One connection with deadlines: whatever the client beneath it does, a command settles.
 *
 * A link knows of its connection one of these:
 *
 * - *idle*: nobody has asked for it. The first command begins to connect.
 * - *trying*: what comes of an attempt is not known, at the beginning and after a loss. Commands wait for it.
 * - *greeting*: connected, and the greeting is on its way. Commands wait: none is answered by a server that has not
 *   taken the greeting.
 * - *up*: commands go out as they come.
 * - *down*: an attempt has failed, the server is silent, or it does not serve us (it refused the greeting, it became a
 *   replica). Commands are rejected at once, while the client keeps on trying; when it has succeeded the link is up again.
 *   One that was silent has to answer as much as an ordinary reply first, and until it has nobody waits for it: on a
 *   network that lets through a few bytes at a time it would be up and silent in turn, at a deadline's cost each time.
 * - *closed*.
 *
 * A deadline that passes without a single answer since the command went out means a dead connection, not a slow command
 * (the answers of a connection come in order). Our own connection is then dropped and made anew; a client of the user's
 * is asked with PING, and counts as down until it answers. So a silent server costs those who asked it meanwhile one
 * deadline, and nobody after them anything: the link is a circuit breaker, and each attempt of the client is its probe.
 */
import { RedisConnectionError, RedisReplyError } from '../../exceptions.ts'
import type { Argument, PortListener, RedisPort, Reply } from './client.ts'
import type { Breaker } from '../store.ts'
import { PROOF, type Greeting } from './greeting.ts'
import { HealthCheck } from './health-check.ts'
import { InFlight, type Pending } from './in-flight.ts'
import { jittered } from '../../jitter.ts'
import {
  isGivenUp,
  isReadable,
  isRedirection,
  isUnserved,
  lost,
  outOfReach,
  replyCodeOf,
  toException,
  tooLate,
  withoutArguments,
} from './reply-error.ts'

export interface LinkOptions {
  readonly commandTimeoutMs: number
  /** PING after so long without a command; 0 is never. */
  readonly healthCheckIntervalMs: number
  /** What is said first on every new connection; whatever else is asked waits for all the answers. */
  readonly greetings?: () => Iterable<Greeting>
  /** Told of a server that does not serve us, and that this link has left. */
  readonly onUnserved?: (error: Error) => void
  /** How messages call it: `Redis at 127.0.0.1:6379`. */
  readonly name: string
  /** The connection was lost, or could not be made, and the link is of no use any more. Without it, it tries again. */
  readonly onLost?: () => void
  /** Once when the server is lost, or cannot be reached, or refuses us, and once when it is back. */
  readonly watcher?: LinkWatcher | undefined
}

export interface LinkWatcher {
  /**
   * @param since when it began, in milliseconds of `performance.now()`: with the first command that was not answered
   * @param isEnd the server ended what nobody waited for; told once more, without `isEnd`, if it cannot be made anew
   */
  onDown(error: RedisConnectionError, since: number, isEnd?: boolean): void
  onUp(): void
}

/** A client of the user's stays connected to a server that does not serve us: that one is greeted again after a while. */
const GREET_AGAIN_FIRST_MS = 50
const GREET_AGAIN_LAST_MS = 2000

/** A connection that lasted so long is lost by accident; one that did not is tried again with a delay, and callers wait. */
export const STABLE_MS = 1000

const ONE_OF_MANY = 'it is a node of a Redis Cluster: name its nodes in redis.cluster'

export class Link implements PortListener {
  readonly port: RedisPort
  readonly #options: LinkOptions
  #state: 'idle' | 'trying' | 'greeting' | 'up' | 'down' | 'closed' = 'idle'
  #cause: Error | undefined
  /** It was silent, and has not yet shown that it is not any more. */
  #isInDoubt = false
  /** What the watcher was told last and is not over; what began with a clean end is an outage since then. */
  #loss: { error: RedisConnectionError; since: number; isEnd: boolean } | undefined
  #answers = 0
  /** Commands are numbered as they go out, and answered in that order: those up to `#answered` owe nothing any more. */
  #written = 0
  #answered = 0
  #upSince = Infinity
  readonly #commands: InFlight
  readonly #healthCheck: HealthCheck
  #nextProbe: NodeJS.Timeout | undefined
  /** Greetings that were refused since the last one that was taken. */
  #refusals = 0

  constructor(port: RedisPort, options: LinkOptions) {
    this.port = port
    this.#options = options
    this.#commands = new InFlight({ timeoutMs: options.commandTimeoutMs, onExpired: (late) => this.#onExpired(late) })
    const { healthCheckIntervalMs: intervalMs, greetings } = options
    this.#healthCheck = new HealthCheck({ link: this, intervalMs, greetings: () => [...(greetings?.() ?? [])] })
    port.listen(this)
  }

  /** Commands that have not been answered. */
  get inFlight(): number {
    return this.#commands.count
  }

  /** When the last command came in, in milliseconds of `performance.now()`. */
  get lastUsedAt(): number {
    return this.#commands.lastAddedAt
  }

  get breaker(): Breaker {
    if (this.#state === 'down' || this.#state === 'closed') return 'open'
    return this.#loss?.isEnd === false && this.#state !== 'up' ? 'half-open' : 'closed'
  }

  isUp(): boolean {
    return this.#state === 'up' && this.port.isReady()
  }

  /** Send a command: settled within `commandTimeoutMs`, with the reply, a `RedisReplyError` or a `RedisConnectionError`. */
  send(args: readonly Argument[]): Promise<Reply> {
    const isProving = this.#state === 'greeting' && this.#isInDoubt
    if (isProving || this.#state === 'down' || this.#state === 'closed') return Promise.reject(this.#unreachable())
    return new Promise((resolve, reject) => {
      const pending = this.#commands.add({ args, resolve, reject })
      // Not ready although up: the loss is about to be told.
      if (this.isUp()) this.#write(pending)
      else if (this.#state === 'idle') this.open()
    })
  }

  /** Begin to connect. */
  open(): void {
    this.#state = 'trying'
    this.port.connect()
    this.#healthCheck.start()
  }

  onUp(): void {
    if (this.#state === 'closed' || this.#state === 'greeting') return
    const greetings = [...(this.#options.greetings?.() ?? []), ...(this.#isInDoubt ? [PROOF] : [])]
    if (greetings.length === 0) return this.#begin()
    this.#state = 'greeting'
    let left = greetings.length
    // Lost, silent or left already: not in that state any more.
    const onTaken = (): void => {
      if (--left === 0 && this.#state === 'greeting') this.#begin()
    }
    for (const greeting of greetings) {
      const reject = (error: Error): void => {
        if (this.#state !== 'greeting') return
        const isRefused = error instanceof RedisReplyError && error.replyCode === 'NOPERM'
        if (isRefused || (greeting === PROOF && isReadable(error))) greeting.onRefused(error)
        else if (!isRedirection(error)) return this.leave(error)
        else if (greeting.onElsewhere === undefined) return this.leave(new Error(`${error.message} (${ONE_OF_MANY})`))
        else greeting.onElsewhere(error)
        onTaken()
      }
      const resolve = (reply: Reply): void => {
        greeting.onTaken?.(reply)
        onTaken()
      }
      this.#write(this.#commands.add({ args: greeting.say(), resolve, reject }))
    }
  }

  onDown(error: Error, isCleanEnd = false): void {
    if (this.#state === 'closed') return
    const cause = withoutArguments(error)
    const wasUp = this.#state === 'up'
    // A server ends what has been idle for long (`timeout`): no outage, unless it cannot be made anew.
    const isStable = wasUp && performance.now() - this.#upSince > STABLE_MS
    const isEnd = isStable && isCleanEnd && this.#written === this.#answered
    this.#cause = cause
    this.#state = wasUp && this.#options.onLost === undefined ? 'trying' : 'down'
    this.#tellDown(wasUp ? lost(this.#options.name, cause) : this.#unreachable(), undefined, isEnd)
    this.#rejectWritten(error)
    // A user's ioredis client may send them again: what they are answered then says nothing of later ones.
    this.#answered = this.#written
    if (this.#state === 'down') this.#rejectAll()
    this.#options.onLost?.()
  }

  /** Read nothing more from this server before it, or another one, has taken the greeting. */
  leave(reason: Error): void {
    if (this.#state !== 'up' && this.#state !== 'greeting') return
    this.#state = 'down'
    this.#cause = withoutArguments(reason)
    this.#tellDown(this.#unreachable())
    this.#rejectAll()
    if (this.port.drop !== undefined) return this.port.drop(reason)
    clearTimeout(this.#nextProbe)
    const pauseMs = jittered(Math.min(GREET_AGAIN_FIRST_MS * 2 ** this.#refusals++, GREET_AGAIN_LAST_MS))
    this.#nextProbe = setTimeout(() => {
      // Without a connection the client's next one is greeted.
      if (this.#state === 'down' && this.port.isReady()) this.onUp()
    }, pauseMs).unref()
  }

  onEnd(error: Error): void {
    if (this.#state === 'up') this.#state = 'trying'
    this.onDown(error)
  }

  /** Let commands in flight finish for up to `graceMs`, then end the connection. What is left is rejected. */
  async close(graceMs: number): Promise<void> {
    this.#state = 'closed'
    this.#healthCheck.stop()
    for (const pending of this.#commands.unsettled()) {
      if (pending.answersBefore === undefined) this.#commands.settle(pending).reject(this.#unreachable())
    }
    await this.#commands.drained(graceMs)
    this.#rejectAll()
    this.#commands.stop()
    await this.port.close(this.#written > this.#answered)
  }

  #tellDown(error: RedisConnectionError, since: number = this.#commands.since, isEnd = false): void {
    if (this.#loss?.isEnd === false) return
    this.#loss = { error, since: this.#loss?.since ?? since, isEnd }
    this.#options.watcher?.onDown(error, this.#loss.since, isEnd)
  }

  /** The server has taken the greeting, or there is none to say. */
  #begin(): void {
    if (this.#state === 'closed') return
    this.#state = 'up'
    this.#cause = undefined
    this.#isInDoubt = false
    this.#refusals = 0
    this.#upSince = performance.now()
    for (const pending of this.#commands.unsettled()) {
      if (pending.answersBefore === undefined) this.#write(pending)
    }
    if (this.#loss === undefined) return
    this.#loss = undefined
    this.#options.watcher?.onUp()
  }

  #write(pending: Pending): void {
    pending.answersBefore = this.#answers
    const number = ++this.#written
    this.port.send(pending.args).then(
      (reply) => {
        this.#onAnswer(number)
        if (!pending.isSettled) this.#commands.settle(pending).resolve(reply)
      },
      (error: unknown) => {
        const exception = toException(error as Error, nameOf(pending.args), this.#options.name)
        if (!(exception instanceof RedisConnectionError)) this.#onAnswer(number)
        else if (!isUnserved(error as Error)) this.#onBroken(error as Error)
        else this.#answered = Math.max(this.#answered, number)
        const isLeft = isUnserved(error as Error) && (this.#state === 'up' || this.#state === 'greeting')
        const settled = pending.isSettled ? undefined : this.#commands.settle(pending)
        // The user's client has a shorter deadline than ours, and silence is silence.
        if (isGivenUp(error as Error) && pending.answersBefore === this.#answers)
          this.#onSilence(exception as RedisConnectionError, this.#commands.sinceOf(pending))
        // The others are told where they are, this one what it was answered.
        if (isLeft) this.leave(error as Error)
        settled?.reject(exception)
        if (isLeft) this.#options.onUnserved?.(error as Error)
      },
    )
  }

  /** No answer, and no deadline: our own connection fails, and has not told yet. What it costs is told afterwards. */
  #onBroken(error: Error): void {
    if (this.#state !== 'up' || this.port.drop === undefined) return
    this.#tellDown(lost(this.#options.name, withoutArguments(error)))
    this.port.drop(error)
  }

  #onAnswer(number: number): void {
    this.#answers++
    this.#answered = Math.max(this.#answered, number)
    // Late, but an answer: the server of a user's client is not silent any more.
    if (this.#state === 'down' && this.port.isReady()) this.onUp()
  }

  #onExpired(late: readonly Pending[]): void {
    // What waits for the greeting says nothing about the connection; the greeting itself does.
    const isSilence = ({ answersBefore }: Pending): boolean =>
      answersBefore === undefined ? this.#state !== 'greeting' : answersBefore === this.#answers
    const silent = late.find(isSilence)
    if (silent !== undefined) this.#onSilence(this.#late(silent), this.#commands.sinceOf(silent))
    for (const pending of late) pending.reject(this.#late(pending))
  }

  #onSilence(silence: RedisConnectionError, since: number): void {
    if (this.#state === 'down' || this.#state === 'closed') return
    const isConnected = this.#state !== 'trying'
    this.#state = 'down'
    this.#isInDoubt = true
    this.#cause = silence
    this.#tellDown(this.#unreachable(), since)
    this.#rejectAll()
    if (!isConnected) return
    if (this.port.drop === undefined) this.#probe()
    else this.port.drop(silence)
  }

  /**
   * Asks a silent client of the user's whether its server is back; what it answers to any command is noticed as well.
   * One PING is enough, however long the silence, since answers come in order, unless the client gives it up by itself.
   */
  #probe(): void {
    clearTimeout(this.#nextProbe)
    if (this.#state !== 'down' || !this.port.isReady()) return
    const number = ++this.#written
    this.port.send(['PING']).then(
      () => this.#onAnswer(number),
      (error: unknown) => {
        // Busy, or with a full disk: not silent any more.
        if (replyCodeOf(error as Error) !== undefined) return this.#onAnswer(number)
        if (this.#state !== 'down') return
        this.#nextProbe = setTimeout(() => this.#probe(), jittered(this.#options.commandTimeoutMs)).unref()
      },
    )
  }

  /** Their answers are lost. A user's ioredis client may send them again; whoever waits is told now. */
  #rejectWritten(error: Error): void {
    for (const pending of this.#commands.unsettled()) {
      if (pending.answersBefore === undefined) continue
      this.#commands.settle(pending).reject(toException(error, nameOf(pending.args), this.#options.name))
    }
  }

  #rejectAll(): void {
    for (const pending of this.#commands.unsettled()) this.#commands.settle(pending).reject(this.#unreachable())
  }

  #late(pending: Pending): RedisConnectionError {
    return tooLate(nameOf(pending.args), { ...this.#options, obstacle: this.port.obstacle })
  }

  #unreachable(): RedisConnectionError {
    const { name } = this.#options
    if (this.#state === 'closed') return new RedisConnectionError(`the connection to ${name} was closed by close()`)
    return outOfReach(name, this.#cause)
  }
}

function nameOf(args: readonly Argument[]): string {
  return String(args[0])
}
