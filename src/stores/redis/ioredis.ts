/**
 * The port over ioredis: a client of our own, or one the user brought (also iovalkey, its fork).
 *
 * Our own connects anew by itself, with timers that do not keep the process alive; ioredis's own retries would, for as
 * long as Redis is away. Without a `retryStrategy` ioredis also rejects what was in flight as soon as the connection is
 * lost, where otherwise it sends it again (an INCR ran twice) or forgets it (maxRetriesPerRequest of 1 and more).
 */
import type { Socket } from 'node:net'
import { Redis, type RedisOptions } from 'ioredis'
import type { Argument, PortListener, RedisPort, Reply, ServerOptions, SubscriberPort } from './client.ts'
import { listenTo } from './client-events.ts'
import { jittered } from '../../jitter.ts'
import { BEHAVIOUR, serverOptions } from './ioredis-options.ts'
import { STABLE_MS } from './link.ts'
import { isReadable, NO_HANDSHAKE, unanswered } from './reply-error.ts'
import { reset } from './reset.ts'

const RETRY_FIRST_MS = 50
/** Whoever waits for the next attempt does so for no longer: hits are back soon after Redis is. */
const RETRY_MAX_MS = 1000
/** By the other side, to whoever reads and to whoever writes. */
const ENDED: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE'])

/** What of ioredis a port needs; iovalkey and ioredis 5 have it too. */
interface IoredisClient {
  readonly status: string
  /** How the connection stands; `select` on the client is noted here, and not in the options. */
  readonly condition?: { readonly select?: number | undefined } | null | undefined
  readonly stream?: { readonly writable: boolean; cork(): void; uncork(): void }
  readonly options?: {
    readonly db?: number | string | undefined
    readonly keyPrefix?: string | undefined
    readonly stringNumbers?: boolean | undefined
    readonly enableAutoPipelining?: boolean | undefined
    readonly autoResendUnfulfilledCommands?: boolean | undefined
    readonly commandTimeout?: number | undefined
  }
  callBuffer(name: string, args: Argument[]): Promise<unknown>
  duplicate(override: RedisOptions): Redis
  connect(): Promise<unknown>
  on(event: string, listener: (error: Error) => void): unknown
  off(event: string, listener: (error: Error) => void): unknown
}

export function isIoredis(client: unknown): client is IoredisClient {
  return (
    typeof client === 'object' &&
    client !== null &&
    'callBuffer' in client &&
    typeof client.callBuffer === 'function' &&
    'status' in client &&
    typeof client.status === 'string'
  )
}

/** A client of our own; it connects on `connect()`. */
export function openIoredis(server: ServerOptions): RedisPort {
  return new OwnIoredis(new Redis({ ...serverOptions(server), ...BEHAVIOUR }), server)
}

/** A connection of our own that listens. */
export function openIoredisSubscriber(server: ServerOptions): SubscriberPort {
  return new IoredisSubscriber(new Redis({ ...serverOptions(server), ...BEHAVIOUR }), server)
}

/** A connection that listens, beside the user's client and to where that one leads. */
export function duplicateIoredisSubscriber(client: IoredisClient, connectTimeoutMs: number): SubscriberPort {
  return new IoredisSubscriber(client.duplicate(BEHAVIOUR), { db: dbOf(client), keepAlive: true, connectTimeoutMs })
}

/** The user's client: we listen and send, and never end its connection. */
export function adoptIoredis(client: IoredisClient): RedisPort {
  return new UsersIoredis(client)
}

type OwnServer = Pick<ServerOptions, 'db' | 'keepAlive' | 'connectTimeoutMs' | 'isClusterNode' | 'path' | 'sentinel'> &
  Partial<Pick<ServerOptions, 'ssl'>>

class OwnIoredis implements RedisPort {
  readonly kind = 'ioredis'
  readonly native: Redis
  readonly db: number
  readonly send: RedisPort['send']
  readonly #server: OwnServer
  #listener: PortListener | undefined
  #isVerified = false
  /** Once at least: TLS, or none, is what the server wants. */
  #wasUp = false
  #isClosed = false
  #lastError: Error | undefined
  #attempts = 0
  #upSince = Infinity
  #loginTimer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined

  constructor(client: Redis, server: OwnServer) {
    this.native = client
    this.db = server.db
    this.#server = server
    this.send = corkedSend(client)
    // The first of an attempt says why; those after it are the connection being torn down.
    client.on('error', (error) => (this.#lastError ??= error))
    client.on('sentinelError', (error: Error) => (this.#lastError ??= error))
    client.on('connect', () => {
      // Commands in flight keep the process alive (their deadline does), an idle connection does not.
      client.stream.unref()
      if (!server.keepAlive) client.stream.setKeepAlive(false)
    })
    client.on('ready', () => void this.#verify())
    client.on('end', () => this.#onEnd())
  }

  get peer(): string | undefined {
    const { remoteAddress, remotePort } = (this.native.stream as Socket | undefined) ?? {}
    // An IPv4 address as it is written everywhere else.
    return remoteAddress && `${remoteAddress.replace(/^::ffff:/, '')}:${remotePort}`
  }

  get obstacle(): string | undefined {
    const stream = this.native.stream as Socket | undefined
    // With TLS ioredis is connected after the handshake.
    const isShakingHands = this.native.status === 'connecting' && stream?.connecting === false
    return this.#server.ssl && isShakingHands && !this.#wasUp ? NO_HANDSHAKE : undefined
  }

  isReady(): boolean {
    return this.#isVerified && isWritable(this.native)
  }

  listen(listener: PortListener): void {
    this.#listener = listener
  }

  connect(): void {
    this.#lastError = undefined
    const { connectTimeoutMs } = this.#server
    // ioredis's own `connectTimeout` ends with TCP and TLS: a server that accepts and is silent would be waited for.
    const giveUp = (): void => {
      const { obstacle } = this
      this.drop(
        new Error(`no connection within ${connectTimeoutMs} ms${obstacle === undefined ? '' : `: ${obstacle}`}`),
      )
    }
    this.#loginTimer = setTimeout(giveUp, connectTimeoutMs).unref()
    // What comes of it arrives as an event.
    this.native.connect().catch(() => undefined)
  }

  drop(reason: Error): void {
    this.#isVerified = false
    this.#lastError ??= reason
    if (isConnected(this.native)) reset(this.native.stream)
  }

  async close(isUnanswered = false): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#loginTimer)
    clearTimeout(this.#retryTimer)
    const { native } = this
    if (native.status === 'end') return
    if (isUnanswered && isConnected(native)) reset(native.stream)
    const ended = new Promise<void>((resolve) => native.once('end', resolve))
    native.disconnect()
    await ended
  }

  /** ioredis calls a connection ready although SELECT was refused (on the wrong database), or though Redis still loads. */
  async #verify(): Promise<void> {
    const { stream } = this.native
    try {
      const select = this.#server.db === 0 ? undefined : this.send(['SELECT', String(this.#server.db)])
      const ping = this.send(['PING']).catch((error: unknown) => {
        if (!isReadable(error)) throw error
      })
      await Promise.all([select, ping])
    } catch (error) {
      // Another connection may have taken the place of the one that failed.
      if (this.native.stream === stream && error instanceof Error) this.drop(error)
      return
    }
    if (this.#isClosed || this.native.stream !== stream || !isWritable(this.native)) return
    clearTimeout(this.#loginTimer)
    this.#isVerified = this.#wasUp = true
    this.#upSince = performance.now()
    this.#lastError = undefined
    this.#listener?.onUp()
  }

  #onEnd(): void {
    clearTimeout(this.#loginTimer)
    this.#isVerified = false
    if (this.#isClosed) return
    if (performance.now() - this.#upSince > STABLE_MS) this.#attempts = 0
    if (this.#isUnanswered()) this.#lastError = unanswered(this.#lastError ?? closed())
    this.#upSince = Infinity
    // Before the listener is told, who may say `close`.
    this.#retryTimer = setTimeout(() => this.connect(), backoffMs(this.#attempts++)).unref()
    tellLoss(this.#listener, this.#lastError)
  }

  /** The first connection, which is without TLS, was ended by the server before it said anything. */
  #isUnanswered(): boolean {
    const { ssl, path, sentinel } = this.#server
    if (this.#wasUp || ssl !== false || path !== undefined || sentinel !== undefined) return false
    const isEnded = this.#lastError === undefined || ENDED.has((this.#lastError as NodeJS.ErrnoException).code)
    return isEnded && (this.native.stream as Socket | undefined)?.bytesRead === 0
  }
}

class IoredisSubscriber extends OwnIoredis implements SubscriberPort {
  readonly #isSharded: boolean

  constructor(client: Redis, server: OwnServer) {
    super(client, server)
    this.#isSharded = server.isClusterNode === true
    // A slot has left the node; which one, ioredis does not tell. What is still here is subscribed again.
    client.on('moved', () => this.drop(new Error('a slot was moved to another node')))
  }

  onMessage(receive: (channel: string, message: Buffer) => void): void {
    const event = this.#isSharded ? 'smessageBuffer' : 'messageBuffer'
    this.native.on(event, (channel: Buffer, message: Buffer) => receive(channel.toString(), message))
  }

  subscribe(channel: string): Promise<unknown> {
    return this.#isSharded ? this.native.ssubscribe(channel) : this.native.subscribe(channel)
  }

  unsubscribe(channel: string): Promise<unknown> {
    return this.#isSharded ? this.native.sunsubscribe(channel) : this.native.unsubscribe(channel)
  }

  ping(): Promise<unknown> {
    return this.send(['PING'])
  }
}

class UsersIoredis implements RedisPort {
  readonly kind = 'ioredis'
  readonly native: IoredisClient
  db: number
  readonly send: RedisPort['send']
  readonly #forget: () => void
  #listener: PortListener | undefined
  #lastError: Error | undefined

  constructor(client: IoredisClient) {
    this.native = client
    this.db = dbOf(client)
    this.send = corkedSend(client)
    this.#forget = listenTo(client, {
      error: (error) => (this.#lastError = error),
      ready: () => this.#onReady(),
      close: () => tellLoss(this.#listener, this.#lastError),
      end: () => this.#onEnd(),
    })
  }

  isReady(): boolean {
    return isWritable(this.native)
  }

  listen(listener: PortListener): void {
    this.#listener = listener
  }

  connect(): void {
    if (this.native.status === 'wait') this.native.connect().catch(() => undefined)
    else if (this.native.status === 'ready') this.#onReady()
    else if (this.native.status === 'end') this.#onEnd()
  }

  close(): Promise<void> {
    this.#forget()
    return Promise.resolve()
  }

  #onReady(): void {
    this.#lastError = undefined
    this.db = dbOf(this.native)
    this.#listener?.onUp()
  }

  #onEnd(): void {
    this.#listener?.onEnd(this.#lastError ?? new Error('the client was closed'))
  }
}

/** Without an error the server has closed it. */
function tellLoss(listener: PortListener | undefined, error: Error | undefined): void {
  listener?.onDown(error ?? closed(), error === undefined)
}

function closed(): Error {
  return new Error('the server closed the connection')
}

/** The options may name it as a string. */
function dbOf({ condition, options }: IoredisClient): number {
  return Number(condition?.select ?? options?.db ?? 0)
}

/**
 * Sends through ioredis, all commands of one tick in one write: ioredis writes each by itself, and the system call is
 * more than half of the cost of a command (a 1 KB GET of 50 callers took 7.6 µs of CPU, corked 3.4 µs).
 */
function corkedSend(client: IoredisClient): RedisPort['send'] {
  const call = caller(client)
  let corked: IoredisClient['stream']
  const uncork = (): void => {
    corked?.uncork()
    corked = undefined
  }
  return (args) => {
    if (corked === undefined && client.stream !== undefined) {
      corked = client.stream
      corked.cork()
      process.nextTick(uncork)
    }
    return call(String(args[0]), args.slice(1)) as Promise<Reply>
  }
}

/** Under `enableAutoPipelining` ioredis's `callBuffer` drops the command's name, and throws where nobody can catch it. */
function caller(client: IoredisClient): (name: string, args: Argument[]) => unknown {
  if (!client.options?.enableAutoPipelining) return (name, args) => client.callBuffer(name, args)
  const methods = client as unknown as Record<string, (args: Argument[]) => unknown>
  return (name, args) => methods[`${name.toLowerCase()}Buffer`]!(args)
}

function isConnected({ status }: IoredisClient): boolean {
  return status === 'connect' || status === 'ready'
}

/** A stream that has ended is not writable any more; ioredis learns of it one event later. */
function isWritable(client: IoredisClient): boolean {
  return client.status === 'ready' && client.stream?.writable !== false
}

/** At once after a loss, then 50 ms doubling up to 1 s, of which half is chance: a restarted server is not stormed. */
function backoffMs(attempts: number): number {
  if (attempts === 0) return 0
  return jittered(Math.min(RETRY_FIRST_MS * 2 ** (attempts - 1), RETRY_MAX_MS))
}
