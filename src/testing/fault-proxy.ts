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

/** When a connection is cut. */
export interface FaultCut {
  /** As soon as so many more bytes of the server's have passed, in the middle of a reply; at once by default. */
  readonly afterBytes?: number
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
  /** Let through so many bytes a second of what the server says, a few at a time; 0 ends it. */
  drip(bytesPerSecond: number): void
  /** Turn everything that the server says into other bytes (each bit of it), as many; `false` ends it. */
  garble(isOn?: boolean): void
  /**
   * Let the connections there are lead nowhere, and tell nobody, as a firewall does that has forgotten them: half-open,
   * they are never answered and never closed. New ones are well.
   */
  abandon(): void
  /** Reset every connection there is, at once or in the middle of a reply. New ones are accepted. */
  cut(cut?: FaultCut): void
  /** Refuse new connections (ECONNREFUSED); those there are live on. */
  refuse(): void
  /** End `refuse()`: accept on the same port. */
  accept(): Promise<void>
  /** End every fault: bytes flow as they come, and new connections are accepted. What is abandoned or cut stays so. */
  heal(): Promise<void>
  /** Reset every connection and end the proxy. Also `await using`. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const HOST = '127.0.0.1'
/** A drip falls so often, or byte by byte if that is slower. */
const DRIP_MS = 20

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
  readonly #faults: Faults = { up: 0, down: 0, isStalled: false, isGarbled: false, bytesPerSecond: 0 }
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

  drip(bytesPerSecond: number): void {
    this.#faults.bytesPerSecond = bytesPerSecond
    for (const pair of this.#pairs) pair.flush()
  }

  garble(isOn = true): void {
    this.#faults.isGarbled = isOn
  }

  abandon(): void {
    for (const pair of this.#pairs) pair.abandon()
  }

  cut({ afterBytes = 0 }: FaultCut = {}): void {
    for (const pair of this.#pairs) pair.reset(afterBytes)
    if (afterBytes === 0) this.#pairs.clear()
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

  async heal(): Promise<void> {
    this.delay(0)
    this.garble(false)
    this.drip(0)
    this.resume()
    await this.accept()
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
  isGarbled: boolean
  /** Of the server; 0 is as they come. */
  bytesPerSecond: number
}

/** A client's connection and the one to the server that serves it. */
class Pair {
  readonly #client: Socket
  readonly #server: Socket
  readonly #up: Pipe
  readonly #down: Pipe
  #isAbandoned = false

  constructor(client: Socket, server: Socket, faults: Faults) {
    this.#client = client
    this.#server = server
    this.#up = new Pipe(client, server, { faults, direction: 'up' })
    this.#down = new Pipe(server, client, { faults, direction: 'down' })
    // A socket that failed, or that is done with in both directions, takes the other one with it.
    for (const event of ['error', 'close'] as const) {
      client.on(event, () => server.destroy())
      server.on(event, () => {
        if (!this.#isAbandoned) client.destroy()
      })
    }
    // Who gives up an abandoned connection has its half of the goodbye, and nobody has the other.
    client.on('end', () => {
      if (this.#isAbandoned) client.destroy()
    })
  }

  flush(): void {
    this.#up.flush()
    this.#down.flush()
  }

  abandon(): void {
    this.#isAbandoned = true
    this.#up.stop()
    this.#down.stop()
    this.#server.destroy()
  }

  /** @param afterBytes of the server's; with none left, at once */
  reset(afterBytes: number): void {
    const reset = (): void => {
      this.#client.resetAndDestroy()
      this.#server.destroy()
    }
    if (afterBytes === 0) reset()
    else this.#down.endAfter(afterBytes, reset)
  }
}

/** One direction: everything arrives in its order, late by the delay that was in force when it came in, or more. */
class Pipe {
  readonly #to: Socket
  readonly #faults: Faults
  readonly #direction: 'up' | 'down'
  /** Bytes, and at last the end, `undefined`. */
  readonly #held: { chunk: Buffer | undefined; readonly dueAt: number }[] = []
  #timer: NodeJS.Timeout | undefined
  /** When the next drop may fall. */
  #dripAt = -Infinity
  /** How many bytes there are left to pass on, and what comes then. */
  #last: { bytes: number; readonly onPassed: () => void } | undefined
  #isStopped = false

  constructor(from: Socket, to: Socket, { faults, direction }: { faults: Faults; direction: 'up' | 'down' }) {
    this.#to = to
    this.#faults = faults
    this.#direction = direction
    from.on('data', (chunk) => this.#hold(chunk))
    from.on('end', () => this.#hold(undefined))
    to.on('close', () => this.stop())
  }

  flush(): void {
    clearTimeout(this.#timer)
    while (!this.#faults.isStalled && !this.#isStopped) {
      const [next] = this.#held
      if (next === undefined) return
      const leftMs = Math.max(next.dueAt, this.#isDripping() ? this.#dripAt : -Infinity) - performance.now()
      if (leftMs > 0) {
        this.#timer = setTimeout(() => this.flush(), Math.ceil(leftMs))
        return
      }
      if (next.chunk !== undefined) next.chunk = this.#pass(next.chunk)
      else this.#to.end()
      if (next.chunk === undefined) this.#held.shift()
    }
  }

  endAfter(bytes: number, onPassed: () => void): void {
    this.#last = { bytes, onPassed }
  }

  /** Whatever comes from now on is swallowed. */
  stop(): void {
    this.#isStopped = true
    this.#held.length = 0
    clearTimeout(this.#timer)
  }

  #hold(chunk: Buffer | undefined): void {
    if (this.#isStopped) return
    this.#held.push({ chunk, dueAt: performance.now() + this.#faults[this.#direction] })
    this.flush()
  }

  #isDripping(): boolean {
    return this.#direction === 'down' && this.#faults.bytesPerSecond > 0
  }

  /** Writes what may pass of a chunk now, and returns what is left of it. */
  #pass(chunk: Buffer): Buffer | undefined {
    const { bytesPerSecond, isGarbled } = this.#faults
    let bytes = chunk.length
    if (this.#isDripping()) {
      bytes = Math.min(bytes, Math.max(1, Math.floor((bytesPerSecond * DRIP_MS) / 1000)))
      this.#dripAt = performance.now() + (bytes * 1000) / bytesPerSecond
    }
    if (this.#last !== undefined) bytes = Math.min(bytes, this.#last.bytes)
    const passing = chunk.subarray(0, bytes)
    this.#to.write(isGarbled && this.#direction === 'down' ? passing.map((byte) => ~byte) : passing)
    if (this.#last !== undefined && (this.#last.bytes -= bytes) === 0) {
      this.stop()
      // What was written is on its way: a reset would take it back.
      setImmediate(this.#last.onPassed)
      return undefined
    }
    return bytes === chunk.length ? undefined : chunk.subarray(bytes)
  }
}
