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
 * - *closed*.
 *
 * All commands of a link have the same deadline, so they expire in the order they came in: one list and one timer serve
 * them all, and a command costs no timer of its own. The timer keeps the process alive while commands are in flight,
 * which lets sockets and everything else here be unref'ed: an application that forgets `close()` can still end.
 *
 * A deadline that passes without a single answer since the command went out means a dead connection, not a slow command
 * (the answers of a connection come in order). Our own connection is then dropped and made anew; a client of the user's
 * is asked with PING until it answers, and counts as down meanwhile.
 */
import { RedisConnectionError, RedisReplyError } from '../../exceptions.ts'
import type { Argument, PortListener, RedisPort, Reply } from './client.ts'
import { REDIRECTIONS, isUnserved, lost, outOfReach, toException, withoutArguments } from './reply-error.ts'

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
  /** @param since when it began, in milliseconds of `performance.now()`: with the first command that was not answered */
  onDown(error: RedisConnectionError, since: number): void
  onUp(): void
}

/** What is said first on every new connection, and now and then later on. */
export interface Greeting {
  say(): readonly Argument[]
  /** What the server answered, each time. */
  onTaken?(reply: Reply): void
  /** We may not say it. The server is taken as it is. */
  onRefused(error: Error): void
  /** The server does not serve us: it still loads, it is a replica. It is left, and tried again. */
  onUnserved(error: Error): void
  /** On Cluster: another node is to be greeted, or the slot is between two. The connection serves other shards. */
  onElsewhere?(error: Error): void
}

interface Pending {
  readonly args: readonly Argument[]
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
  readonly dueAt: number
  /** How many answers the link had had when this went out; undefined: it waits for a connection. */
  answersBefore: number | undefined
  isSettled: boolean
  next: Pending | undefined
}

/** A client of the user's stays connected to a server that does not serve us: that one is greeted again after a while. */
const GREET_AGAIN_FIRST_MS = 50
const GREET_AGAIN_LAST_MS = 2000

const ONE_OF_MANY = 'it is a node of a Redis Cluster: name its nodes in redis.cluster'

export class Link implements PortListener {
  /** Commands that have not been answered. */
  inFlight = 0
  /** When the last command came in, in milliseconds of `performance.now()`. */
  lastUsedAt: number = performance.now()
  readonly port: RedisPort
  readonly #options: LinkOptions
  #state: 'idle' | 'trying' | 'greeting' | 'up' | 'down' | 'closed' = 'idle'
  #cause: Error | undefined
  /** The watcher knows that it is down. */
  #isToldDown = false
  #answers = 0
  #first: Pending | undefined
  #last: Pending | undefined
  #deadline: NodeJS.Timeout | undefined
  #healthCheck: NodeJS.Timeout | undefined
  #nextProbe: NodeJS.Timeout | undefined
  /** Greetings that were refused since the last one that was taken. */
  #refusals = 0
  #onIdle: (() => void) | undefined

  constructor(port: RedisPort, options: LinkOptions) {
    this.port = port
    this.#options = options
    port.listen(this)
  }

  isUp(): boolean {
    return this.#state === 'up' && this.port.isReady()
  }

  /** Send a command: settled within `commandTimeoutMs`, with the reply, a `RedisReplyError` or a `RedisConnectionError`. */
  send(args: readonly Argument[]): Promise<Reply> {
    if (this.#state === 'down' || this.#state === 'closed') return Promise.reject(this.#unreachable())
    return new Promise((resolve, reject) => {
      const pending = this.#enqueue({ args, resolve, reject })
      // Not ready although up: the loss is about to be told.
      if (this.isUp()) this.#write(pending)
      else if (this.#state === 'idle') this.open()
    })
  }

  /** Begin to connect. */
  open(): void {
    this.#state = 'trying'
    this.port.connect()
    this.#scheduleHealthCheck(this.#options.healthCheckIntervalMs)
  }

  onUp(): void {
    if (this.#state === 'closed' || this.#state === 'greeting') return
    const greetings = [...(this.#options.greetings?.() ?? [])]
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
        const code = error instanceof RedisReplyError ? error.replyCode : ''
        if (code === 'NOPERM') greeting.onRefused(error)
        else if (!REDIRECTIONS.has(code)) return this.leave(error)
        else if (greeting.onElsewhere === undefined) return this.leave(new Error(`${error.message} (${ONE_OF_MANY})`))
        else greeting.onElsewhere(error)
        onTaken()
      }
      const resolve = (reply: Reply): void => {
        greeting.onTaken?.(reply)
        onTaken()
      }
      this.#write(this.#enqueue({ args: greeting.say(), resolve, reject }))
    }
  }

  onDown(error: Error): void {
    if (this.#state === 'closed') return
    const cause = withoutArguments(error)
    const wasUp = this.#state === 'up'
    this.#cause = cause
    this.#state = wasUp && this.#options.onLost === undefined ? 'trying' : 'down'
    this.#tellDown(wasUp ? lost(this.#options.name, cause) : this.#unreachable())
    this.#rejectWritten(error)
    if (this.#state === 'down') this.#rejectWaiting()
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
    const pauseMs = Math.min(GREET_AGAIN_FIRST_MS * 2 ** this.#refusals++, GREET_AGAIN_LAST_MS)
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
    clearTimeout(this.#healthCheck)
    this.#rejectWaiting()
    if (this.inFlight > 0) await this.#drained(graceMs)
    this.#rejectAll()
    clearTimeout(this.#deadline)
    await this.port.close()
  }

  #tellDown(error: RedisConnectionError, since: number = this.#waitingSince()): void {
    if (this.#isToldDown) return
    this.#isToldDown = true
    this.#options.watcher?.onDown(error, since)
  }

  /** When the first command came in that is not answered yet; without one, now. */
  #waitingSince(): number {
    const now = performance.now()
    return this.#first === undefined ? now : Math.min(now, this.#first.dueAt - this.#options.commandTimeoutMs)
  }

  #drained(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs)
      this.#onIdle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** The server has taken the greeting, or there is none to say. */
  #begin(): void {
    if (this.#state === 'closed') return
    this.#state = 'up'
    this.#cause = undefined
    this.#refusals = 0
    for (const pending of this.#unsettled()) {
      if (pending.answersBefore === undefined) this.#write(pending)
    }
    if (!this.#isToldDown) return
    this.#isToldDown = false
    this.#options.watcher?.onUp()
  }

  #enqueue(command: Pick<Pending, 'args' | 'resolve' | 'reject'>): Pending {
    const { commandTimeoutMs } = this.#options
    this.lastUsedAt = performance.now()
    const pending: Pending = {
      args: command.args,
      resolve: command.resolve,
      reject: command.reject,
      dueAt: this.lastUsedAt + commandTimeoutMs,
      answersBefore: undefined,
      isSettled: false,
      next: undefined,
    }
    if (this.#last === undefined) this.#first = pending
    else this.#last.next = pending
    this.#last = pending
    this.inFlight++
    if (this.#deadline === undefined) this.#deadline = setTimeout(this.#onDeadline, commandTimeoutMs)
    else if (this.inFlight === 1) this.#deadline.ref()
    return pending
  }

  #write(pending: Pending): void {
    pending.answersBefore = this.#answers
    this.port.send(pending.args).then(
      (reply) => {
        this.#onAnswer()
        if (!pending.isSettled) this.#settle(pending).resolve(reply)
      },
      (error: unknown) => {
        const exception = toException(error as Error, nameOf(pending.args), this.#options.name)
        if (!(exception instanceof RedisConnectionError)) this.#onAnswer()
        const isLeft = isUnserved(error as Error) && (this.#state === 'up' || this.#state === 'greeting')
        const settled = pending.isSettled ? undefined : this.#settle(pending)
        // The others are told where they are, this one what it was answered.
        if (isLeft) this.leave(error as Error)
        settled?.reject(exception)
        if (isLeft) this.#options.onUnserved?.(error as Error)
      },
    )
  }

  #onAnswer(): void {
    this.#answers++
    // Late, but an answer: the server of a user's client is not silent any more.
    if (this.#state === 'down' && this.port.isReady()) this.onUp()
  }

  /** Takes it off the list. What settles out of turn stays until those before it are settled too. */
  #settle(pending: Pending): Pending {
    pending.isSettled = true
    while (this.#first?.isSettled) this.#first = this.#first.next
    if (this.#first === undefined) this.#last = undefined
    if (--this.inFlight === 0) {
      this.#deadline?.unref()
      this.#onIdle?.()
    }
    return pending
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
    const since = this.#waitingSince()
    let silence: RedisConnectionError | undefined
    const expired: Pending[] = []
    for (let pending = this.#first; pending !== undefined && pending.dueAt <= now; pending = this.#first) {
      // What waits for the greeting says nothing about the connection; the greeting itself does.
      const isWaiting = pending.answersBefore === undefined && this.#state !== 'greeting'
      if (isWaiting || pending.answersBefore === this.#answers) silence ??= this.#late(pending)
      expired.push(this.#settle(pending))
    }
    if (silence !== undefined) this.#onSilence(silence, since)
    for (const pending of expired) pending.reject(this.#late(pending))
    if (this.#deadline === undefined) this.#onDeadline()
  }

  #onSilence(silence: RedisConnectionError, since: number): void {
    if (this.#state === 'down' || this.#state === 'closed') return
    const isConnected = this.#state !== 'trying'
    this.#state = 'down'
    this.#cause = silence
    this.#tellDown(this.#unreachable(), since)
    this.#rejectAll()
    if (!isConnected) return
    if (this.port.drop === undefined) this.#probe()
    else this.port.drop(silence)
  }

  /** Asks a silent client of the user's until it answers; what it answers to any command is noticed as well. */
  #probe(): void {
    clearTimeout(this.#nextProbe)
    if (this.#state !== 'down' || !this.port.isReady()) return
    this.port.send(['PING']).then(
      () => this.#onAnswer(),
      () => undefined,
    )
    this.#nextProbe = setTimeout(() => this.#probe(), this.#options.commandTimeoutMs).unref()
  }

  /**
   * An idle connection that a firewall has forgotten is found out before a user's command is; and a server that was
   * demoted to a replica in silence, though nothing is written to it.
   */
  #scheduleHealthCheck(afterMs: number): void {
    const { healthCheckIntervalMs } = this.#options
    if (healthCheckIntervalMs === 0) return
    this.#healthCheck = setTimeout(() => {
      const quietMs = performance.now() - this.lastUsedAt
      const greetings = [...(this.#options.greetings?.() ?? [])]
      const isDue = greetings.length > 0 || quietMs >= healthCheckIntervalMs
      if (isDue && this.isUp()) this.#check(greetings)
      this.#scheduleHealthCheck(isDue ? healthCheckIntervalMs : healthCheckIntervalMs - quietMs)
    }, afterMs).unref()
  }

  /** The deadline of a command is the health check: PING only sees to it that there is one. */
  #check(greetings: readonly Greeting[]): void {
    for (const greeting of greetings) {
      this.send(greeting.say()).then(
        (reply) => greeting.onTaken?.(reply),
        (error: unknown) => {
          if (error instanceof RedisReplyError && REDIRECTIONS.has(error.replyCode)) greeting.onElsewhere?.(error)
        },
      )
    }
    if (greetings.length === 0) this.send(['PING']).catch(() => undefined)
  }

  /** Their answers are lost. A user's ioredis client may send them again; whoever waits is told now. */
  #rejectWritten(error: Error): void {
    for (const pending of this.#unsettled()) {
      if (pending.answersBefore === undefined) continue
      this.#settle(pending).reject(toException(error, nameOf(pending.args), this.#options.name))
    }
  }

  #rejectWaiting(): void {
    for (const pending of this.#unsettled()) {
      if (pending.answersBefore === undefined) this.#settle(pending).reject(this.#unreachable())
    }
  }

  #rejectAll(): void {
    for (const pending of this.#unsettled()) this.#settle(pending).reject(this.#unreachable())
  }

  *#unsettled(): Iterable<Pending> {
    for (let pending = this.#first; pending !== undefined; pending = pending.next) {
      if (!pending.isSettled) yield pending
    }
  }

  #late(pending: Pending): RedisConnectionError {
    const { name, commandTimeoutMs } = this.#options
    return new RedisConnectionError(`${name} did not answer ${nameOf(pending.args)} within ${commandTimeoutMs} ms`)
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
