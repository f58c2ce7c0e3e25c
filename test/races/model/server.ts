/**
 * The model of a Redis server: it executes one command at a time over its keyspace, and hands messages to those who
 * listen, in order. Which command comes next, and when its reply arrives, is the network's business (network.ts).
 */
import { Keyspace, WrongType } from './keyspace.ts'
import type { ModelReply } from './prelude.ts'
import { SCRIPTS, type KnownScript } from './scripts.ts'

/** Who sent a command, as far as a server can tell. */
export interface Sender {
  /** Microseconds of its own clock; no script may take notice. */
  clock(): number
  receive(channel: string, message: string): void
}

export class ModelServer {
  readonly keyspace: Keyspace
  readonly #now: () => number
  readonly #channels = new Map<string, Set<Sender>>()
  readonly #cached = new Set<KnownScript>()
  #runs = 0

  /** @param now microseconds of its clock */
  constructor(now: () => number) {
    this.#now = now
    this.keyspace = new Keyspace(now)
  }

  /** @throws {Error} what Redis replies as an error */
  execute(sender: Sender, [name, ...args]: readonly string[]): ModelReply {
    if (name === 'PING') return 'PONG'
    if (name === 'MGET') return args.map((key) => this.#peek(key))
    if (name === 'EVAL')
      return this.#eval(
        sender,
        SCRIPTS.find(({ lua }) => lua === args[0])!,
        args.slice(1),
      )
    if (name === 'EVALSHA') return this.#evalsha(sender, args)
    if (name === 'SUBSCRIBE') return this.#subscribe(sender, args[0]!)
    throw new Error(`ERR unknown command '${name}'`)
  }

  /** Its connection has ended. */
  forget(sender: Sender): void {
    for (const senders of this.#channels.values()) senders.delete(sender)
  }

  /** Another process of the server, which knows no scripts. */
  restart(): void {
    this.#runs++
    this.#cached.clear()
  }

  #evalsha(sender: Sender, [sha, ...rest]: readonly string[]): ModelReply {
    const script = SCRIPTS.find((known) => known.sha === sha)!
    if (!this.#cached.has(script)) throw new Error('NOSCRIPT No matching script. Please use EVAL.')
    return this.#eval(sender, script, rest)
  }

  #eval(sender: Sender, script: KnownScript, [count, ...rest]: readonly string[]): ModelReply {
    this.#cached.add(script)
    return script.model({
      keyspace: this.keyspace,
      keys: rest.slice(0, Number(count)),
      args: rest.slice(Number(count)),
      run: `run${this.#runs}`,
      now: this.#now,
      callersNow: () => sender.clock(),
      publish: (channel, message) => {
        for (const one of this.#channels.get(channel) ?? []) one.receive(channel, message)
      },
    })
  }

  #subscribe(sender: Sender, channel: string): ModelReply {
    this.#channels.set(channel, (this.#channels.get(channel) ?? new Set()).add(sender))
    return 1
  }

  /** MGET takes another type for nothing. */
  #peek(key: string): string | null {
    try {
      return this.keyspace.get(key) ?? null
    } catch (error) {
      if (error instanceof WrongType) return null
      throw error
    }
  }
}
