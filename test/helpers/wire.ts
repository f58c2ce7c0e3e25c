/** What clients send to a server, command by command, without what scripts call there. */
import { Redis } from 'ioredis'
import * as scripts from '../../src/stores/redis/scripts.ts'
import type { RedisServer } from './redis.ts'

const SCRIPT_NAMES = new Map(Object.entries(scripts).map(([name, { sha }]) => [sha, name]))

export class Wire {
  readonly #server: RedisServer
  readonly #monitor: Redis
  readonly #seen: string[][] = []
  #marks = 0

  private constructor(server: RedisServer, monitor: Redis) {
    this.#server = server
    this.#monitor = monitor
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (source !== 'lua') this.#seen.push(args)
    })
  }

  /** Watches a server until `close()`. */
  static async tap(server: RedisServer): Promise<Wire> {
    const client = new Redis({
      host: server.host,
      port: server.port,
      protocol: 2,
      lazyConnect: true,
      disableClientInfo: true,
    })
    const monitor = await client.monitor()
    client.disconnect()
    return new Wire(server, monitor)
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
    this.#monitor.disconnect()
  }

  /** The monitor tells in the order of execution: when it has told of this, it has told of all before. */
  async #catchUp(): Promise<void> {
    const mark = `mark ${this.#marks++}`
    const seen = new Promise<void>((resolve) => {
      const onMonitor = (_time: string, args: string[]): void => {
        if (args[1] !== mark) return
        this.#monitor.off('monitor', onMonitor)
        this.#seen.pop()
        resolve()
      }
      this.#monitor.on('monitor', onMonitor)
    })
    await this.#server.call('ECHO', mark)
    await seen
  }
}

function nameOf([command = '', sha = '']: readonly string[]): string {
  const name = command.toUpperCase()
  if (name === 'EVALSHA') return `EVALSHA ${SCRIPT_NAMES.get(sha) ?? sha}`
  return name
}
