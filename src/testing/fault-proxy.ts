/**
 * A TCP proxy that misbehaves on command, for tests of what an application does when Redis is slow, silent or gone.
 *
 * Faults stand between the driver and the server, where they happen in life: a mocked client cannot show what a driver
 * does with a connection that is cut in the middle of a command. Bytes are never lost on a connection that lives on, as
 * TCP loses none: a stalled proxy holds them, and `resume()` delivers them in order.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface FaultProxyOptions {
  /** Where connections lead to. */
  readonly target: { readonly host: string; readonly port: number }
}

/** Milliseconds that bytes are held back: `up` from the client to the server, `down` from the server to the client. */
export interface FaultDelay {
  readonly up?: number
  readonly down?: number
}

export interface FaultProxy {
  readonly host: string
  readonly port: number
  /** How many clients are connected. */
  readonly connections: number
  /** Hold bytes back for so many milliseconds, in both directions or in each by itself; 0 ends it. */
  delay(delay: number | FaultDelay): void
  /** Accept connections and bytes, and pass nothing on: the network is there, nobody answers, nothing is closed. */
  stall(): void
  /** End `stall()`: what was held is delivered. */
  resume(): void
  /** Reset every connection there is. New ones are accepted. */
  cut(): void
  /** Refuse new connections (ECONNREFUSED); those there are live on. */
  refuse(): void
  /** End `refuse()`: accept on the same port. */
  accept(): Promise<void>
  /** Reset every connection and end the proxy. Also `await using`. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const HOST = '127.0.0.1'

/**
 * Start a proxy in front of a server; it listens on a free port of 127.0.0.1.
 *
 * @example
 * const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: 6379 } })
 * const cache = createCache({ redis: { host: proxy.host, port: proxy.port } })
 * proxy.stall() // Redis does not answer any more
 */
export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const proxy = new TcpFaultProxy(options.target)
  await proxy.accept()
  return proxy
}

class TcpFaultProxy implements FaultProxy {
  readonly host: string = HOST
  port = 0
  readonly #target: FaultProxyOptions['target']
  readonly #pairs = new Set<Pair>()
  readonly #faults: Faults = { up: 0, down: 0, isStalled: false }
  #server: Server | undefined

  constructor(target: FaultProxyOptions['target']) {
    this.#target = target
  }

  get connections(): number {
    return this.#pairs.size
  }

  delay(delay: number | FaultDelay): void {
    const { up = 0, down = 0 } = typeof delay === 'number' ? { up: delay, down: delay } : delay
    this.#faults.up = up
    this.#faults.down = down
  }

  stall(): void {
    this.#faults.isStalled = true
  }

  resume(): void {
    this.#faults.isStalled = false
    for (const pair of this.#pairs) pair.flush()
  }

  cut(): void {
    for (const pair of this.#pairs) pair.reset()
    this.#pairs.clear()
  }

  refuse(): void {
    // The port is shut at once; only 'close' waits for the connections.
    this.#server?.close()
    this.#server = undefined
  }

  async accept(): Promise<void> {
    if (this.#server !== undefined) return
    // Half-open, so that a client that has said its last word still gets the answer, as it would without a proxy.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#onConnection(client))
    this.#server = server
    server.listen(this.port, HOST)
    await once(server, 'listening')
    this.port = (server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    const server = this.#server
    const closed = server === undefined ? undefined : once(server, 'close')
    this.refuse()
    this.cut()
    await closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #onConnection(client: Socket): void {
    const pair = new Pair(client, connect({ ...this.#target, allowHalfOpen: true, noDelay: true }), this.#faults)
    this.#pairs.add(pair)
    client.once('close', () => this.#pairs.delete(pair))
  }
}

interface Faults {
  up: number
  down: number
  isStalled: boolean
}

/** A client's connection and the one to the server that serves it. */
class Pair {
  readonly #client: Socket
  readonly #server: Socket
  readonly #up: Pipe
  readonly #down: Pipe

  constructor(client: Socket, server: Socket, faults: Faults) {
    this.#client = client
    this.#server = server
    this.#up = new Pipe(client, server, { faults, direction: 'up' })
    this.#down = new Pipe(server, client, { faults, direction: 'down' })
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      // A socket that failed, or that is done with in both directions, takes the other one with it.
      socket.on('error', () => other.destroy())
      socket.on('close', () => other.destroy())
    }
  }

  flush(): void {
    this.#up.flush()
    this.#down.flush()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.destroy()
  }
}

/** One direction: everything arrives in its order, late by the delay that was in force when it came in, or more. */
class Pipe {
  readonly #to: Socket
  readonly #faults: Faults
  readonly #direction: 'up' | 'down'
  /** Bytes, and at last the end, `undefined`. */
  readonly #held: { readonly chunk: Buffer | undefined; readonly dueAt: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, { faults, direction }: { faults: Faults; direction: 'up' | 'down' }) {
    this.#to = to
    this.#faults = faults
    this.#direction = direction
    from.on('data', (chunk) => this.#hold(chunk))
    from.on('end', () => this.#hold(undefined))
    to.on('close', () => clearTimeout(this.#timer))
  }

  #hold(chunk: Buffer | undefined): void {
    this.#held.push({ chunk, dueAt: performance.now() + this.#faults[this.#direction] })
    this.flush()
  }

  flush(): void {
    clearTimeout(this.#timer)
    while (!this.#faults.isStalled) {
      const [next] = this.#held
      if (next === undefined) return
      const leftMs = next.dueAt - performance.now()
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.flush(), Math.ceil(leftMs))
        return
      }
      this.#held.shift()
      if (next.chunk === undefined) this.#to.end()
      else this.#to.write(next.chunk)
    }
  }
}
