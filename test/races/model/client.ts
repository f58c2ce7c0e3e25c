/**
 * An ioredis client, as far as the library can tell, whose connections are those of the model: `redis: { client }`
 * takes it as one that the user brought. So everything above the client is the library's own.
 */
import { EventEmitter } from 'node:events'
import { Wire, type Answer, type Argument, type Place } from './network.ts'
import type { Step } from './step.ts'

type Role = 'commands' | 'ear'

export class ModelClient extends EventEmitter {
  status: 'wait' | 'connecting' | 'reconnecting' | 'ready' | 'end' = 'wait'
  readonly options = { db: 0 }
  readonly stream: Record<'cork' | 'uncork' | 'unref' | 'setKeepAlive' | 'destroy', () => void>
  /** The connection that listens, beside the one for commands. */
  ear: ModelClient | undefined
  readonly #place: Place
  readonly #role: Role
  #wire: Wire | undefined
  /** Connections that have ended, whose commands may still reach the server. */
  #gone: Wire[] = []
  #since = 0

  constructor(place: Place, role: Role = 'commands') {
    super()
    this.#place = place
    this.#role = role
    const nothing = (): void => {}
    const destroy = (): void => queueMicrotask(() => this.cut(false))
    this.stream = { cork: nothing, uncork: nothing, unref: nothing, setKeepAlive: nothing, destroy }
  }

  /** Only the library's own listening connection is made this way. */
  duplicate(): ModelClient {
    this.ear = new ModelClient(this.#place, 'ear')
    return this.ear
  }

  connect(): Promise<void> {
    this.#begin('connecting')
    return Promise.resolve()
  }

  callBuffer(name: string, args: readonly Argument[]): Promise<Answer> {
    if (this.#wire === undefined) return Promise.reject(new Error('Connection is closed.'))
    return this.#wire.send([name, ...args])
  }

  /** By which a configuration knows a client. */
  sendCommand(): never {
    throw new Error('the library calls callBuffer')
  }

  subscribe(channel: string): Promise<Answer> {
    return this.callBuffer('SUBSCRIBE', [channel])
  }

  disconnect(): void {
    this.#wire?.cut(false)
    this.#wire = undefined
    this.status = 'end'
    this.emit('end')
  }

  /** The connection is lost; ioredis makes a user's client a new one by itself. */
  cut(isLate: boolean): void {
    if (this.#wire === undefined) return
    this.#wire.cut(isLate)
    if (isLate) this.#gone.push(this.#wire)
    this.#wire = undefined
    if (this.#role === 'commands') this.#begin('reconnecting')
    else this.status = 'end'
    this.emit('close')
    if (this.#role === 'ear') this.emit('end')
  }

  /** What is under way to a server that is no more. */
  drop(): void {
    this.#gone = []
    this.cut(false)
  }

  hasHeardUntilNow(): () => boolean {
    return this.#wire?.hasHeardUntilNow() ?? (() => true)
  }

  steps(): Step[] {
    const { process } = this.#place
    // `A` for its commands, `a` for its ear.
    const name = this.#role === 'commands' ? process : process.toLowerCase()
    const late = this.#gone.flatMap((wire, i) => wire.steps(`${name}~${i}`))
    if (this.#wire !== undefined) return [...late, ...this.#wire.steps(name)]
    if (this.status !== 'connecting' && this.status !== 'reconnecting') return late
    const tell = (): string => `${process} is connected (${this.#role})`
    return [...late, { name: `${name}+`, process, since: this.#since, tell, run: () => this.#up() }]
  }

  #begin(status: 'connecting' | 'reconnecting'): void {
    this.status = status
    this.#since = this.#place.ages.next()
  }

  #up(): void {
    const hear = (channel: string, message: Buffer): void => {
      this.emit('messageBuffer', Buffer.from(channel), message)
    }
    this.#wire = new Wire(this.#place, hear)
    this.status = 'ready'
    this.emit('connect')
    this.emit('ready')
  }
}
