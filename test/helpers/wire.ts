/** What clients send to a server, command by command, without what scripts call there. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import * as scripts from '../../src/stores/redis/scripts.ts'
import type { RedisServer } from './redis.ts'

const SCRIPT_NAMES = new Map(Object.entries(scripts).map(([name, { sha }]) => [sha, name]))

/** `+1700000000.000001 [0 127.0.0.1:50000] "ECHO" "text"`; what a script calls comes from `lua`. */
const LINE = /^\+[\d.]+ \[\d+ (\S+)\] (.*)$/
const ARGUMENT = /"((?:[^"\\]|\\.)*)"/g

export class Wire {
  readonly #server: RedisServer
  readonly #monitor: Socket
  readonly #seen: string[][] = []
  readonly #awaited = new Map<string, () => void>()
  #marks = 0

  private constructor(server: RedisServer, monitor: Socket) {
    this.#server = server
    this.#monitor = monitor
    createInterface(monitor).on('line', (line) => this.#onLine(line))
  }

  /**
   * Watches a server until `close()`. By a socket of its own: a client that is switched to MONITOR while there is traffic
   * takes what it is told for replies.
   */
  static async tap(server: RedisServer): Promise<Wire> {
    const monitor = connect(server.port, server.host)
    await once(monitor, 'connect')
    const wire = new Wire(server, monitor)
    monitor.write('MONITOR\r\n')
    await wire.#catchUp()
    return wire
  }

  /** The commands sent while `action` ran, in capitals; a script by its own name: `['MGET', 'EVALSHA ACQUIRE']`. */
  async during(action: () => unknown): Promise<readonly string[]> {
    await this.#catchUp()
    this.#seen.length = 0
    await action()
    await this.#catchUp()
    return this.#seen.map(nameOf)
  }

  close(): void {
    this.#monitor.destroy()
  }

  #onLine(line: string): void {
    const [, source, words = ''] = LINE.exec(line) ?? []
    if (source === undefined || source === 'lua') return
    const args = Array.from(words.matchAll(ARGUMENT), ([, word = '']) => word)
    const told = this.#awaited.get(args[1] ?? '')
    if (told === undefined) this.#seen.push(args)
    else told()
  }

  /** The monitor tells in the order of execution: when it has told of this, it has told of all before. */
  async #catchUp(): Promise<void> {
    const mark = `mark ${this.#marks++}`
    const seen = new Promise<void>((resolve) => this.#awaited.set(mark, resolve))
    // Until MONITOR has been taken nothing is told.
    const again = setInterval(() => void this.#server.call('ECHO', mark), 50)
    await this.#server.call('ECHO', mark)
    await seen
    clearInterval(again)
  }
}

function nameOf([command = '', sha = '']: readonly string[]): string {
  const name = command.toUpperCase()
  if (name === 'EVALSHA') return `EVALSHA ${SCRIPT_NAMES.get(sha) ?? sha}`
  return name
}
