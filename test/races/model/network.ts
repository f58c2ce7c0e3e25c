/**
 * The network between the processes and the server of the model: connections on which commands, replies and messages
 * are under way until the schedule lets them arrive. On one connection everything arrives in order, as over TCP.
 */
import type { ModelReply } from './prelude.ts'
import type { ModelServer, Sender } from './server.ts'
import type { Step } from './step.ts'
import { tellCommand, tellMessage, tellReply } from './words.ts'

const IS_ASCII = /^[\0-\x7f]*$/

export type Argument = string | Buffer
export type Answer = Buffer | number | null | readonly Answer[]

interface Request {
  readonly args: readonly Argument[]
  readonly since: number
  resolve(answer: Answer): void
  reject(error: Error): void
}

interface Arrival {
  readonly since: number
  tell(): string
  run(): void
}

/** Counts what happens, so that of two steps the older one is known. */
export class Ages {
  #last = 0

  next(): number {
    return ++this.#last
  }
}

export interface Place {
  readonly server: ModelServer
  readonly ages: Ages
  /** The process that connects: `A`. */
  readonly process: string
  /** Microseconds of that process's own clock. */
  clock(): number
}

/** One connection, from the moment it is made until it is cut. */
export class Wire implements Sender {
  readonly #place: Place
  readonly #requests: Request[] = []
  readonly #arrivals: Arrival[] = []
  /** Sent, and not answered. */
  readonly #pending = new Set<Request>()
  readonly #onMessage: (channel: string, message: Buffer) => void
  #messages = 0
  #heard = 0
  #isCut = false

  constructor(place: Place, onMessage: (channel: string, message: Buffer) => void) {
    this.#place = place
    this.#onMessage = onMessage
  }

  clock(): number {
    return this.#place.clock()
  }

  send(args: readonly Argument[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request: Request = { args, resolve, reject, since: this.#place.ages.next() }
      this.#requests.push(request)
      this.#pending.add(request)
    })
  }

  /** What it has been told up to now: true, once asked later, when all of it has arrived, or nothing will any more. */
  hasHeardUntilNow(): () => boolean {
    const sent = this.#messages
    return () => this.#isCut || this.#heard >= sent
  }

  receive(channel: string, message: string): void {
    this.#messages++
    this.#arrive({
      tell: () => `${this.#place.process} hears ${tellMessage(message)}`,
      run: () => {
        this.#heard++
        this.#onMessage(channel, Buffer.from(message))
      },
    })
  }

  /**
   * The connection ends: no reply arrives any more.
   *
   * @param isLate whether commands that are under way still reach the server, at some later time
   */
  cut(isLate: boolean): void {
    this.#isCut = true
    this.#arrivals.length = 0
    if (!isLate) this.#requests.length = 0
    this.#place.server.forget(this)
    for (const request of this.#pending) request.reject(new Error('Connection is closed.'))
    this.#pending.clear()
  }

  /** @param name what it is called among all connections that still matter */
  steps(name: string): Step[] {
    const { process } = this.#place
    const [request, arrival] = [this.#requests[0], this.#arrivals[0]]
    const steps: Step[] = []
    if (request !== undefined) {
      steps.push({
        name: `${name}>`,
        process: undefined,
        since: request.since,
        tell: () => `Redis executes ${tellCommand(request.args)} of ${process}`,
        run: () => this.#execute(this.#requests.shift()!),
      })
    }
    if (arrival !== undefined) {
      const run = (): void => this.#arrivals.shift()!.run()
      steps.push({ name: `${name}<`, process, since: arrival.since, tell: arrival.tell, run })
    }
    return steps
  }

  #arrive(arrival: Omit<Arrival, 'since'>): void {
    this.#arrivals.push({ ...arrival, since: this.#place.ages.next() })
  }

  #execute(request: Request): void {
    const { server, process } = this.#place
    const answered = (tell: () => string, run: () => void): void => {
      if (!this.#pending.has(request)) return
      const told = (): string => `${process} gets the reply to ${tellCommand(request.args)}: ${tell()}`
      this.#arrive({ tell: told, run: () => this.#pending.delete(request) && run() })
    }
    try {
      const reply = server.execute(this, request.args.map(toText))
      answered(
        () => tellReply(reply),
        () => request.resolve(toAnswer(reply)),
      )
    } catch (error) {
      answered(
        () => (error as Error).message,
        () => request.reject(error as Error),
      )
    }
  }
}

/** Bytes as latin1; most of what is sent as text is ASCII, which they are as it is. */
function toText(argument: Argument): string {
  if (typeof argument !== 'string') return argument.toString('latin1')
  return IS_ASCII.test(argument) ? argument : Buffer.from(argument).toString('latin1')
}

function toAnswer(reply: ModelReply): Answer {
  if (typeof reply === 'string') return Buffer.from(reply, 'latin1')
  return Array.isArray(reply) ? reply.map(toAnswer) : (reply as number | null)
}
