/** The port over a node-redis client that the user brought (the package `redis`, from version 5 on). */
import type { Argument, PortListener, RedisPort, Reply, SubscriberPort } from './client.ts'
import { listenTo } from './client-events.ts'
import { jittered } from '../../jitter.ts'

/** What of node-redis a port needs. */
interface NodeRedisClient {
  readonly isOpen: boolean
  readonly isReady: boolean
  readonly options?:
    | { readonly database?: number | undefined; readonly disableOfflineQueue?: boolean | undefined }
    | undefined
  sendCommand(args: readonly Argument[], options: object): Promise<unknown>
  connect(): Promise<unknown>
  on(event: string, listener: (error: Error) => void): unknown
  off(event: string, listener: (error: Error) => void): unknown
  duplicate(): NodeRedisSubscription
}

interface NodeRedisSubscription extends NodeRedisClient {
  subscribe(channel: string, receive: (message: Buffer, channel: Buffer) => void, asBuffers: true): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  ping(): Promise<unknown>
  destroy(): void
}

/**
 * Strings of all kinds ($ + = of RESP) as Buffers, maps and sets as arrays.
 *
 * The timeout is ours: node-redis's own ends when the command is written, and its AbortSignal per command is three
 * quarters of what a command costs (18 µs, without it 5 µs).
 */
const COMMAND_OPTIONS = {
  typeMapping: { 36: Buffer, 43: Buffer, 61: Buffer, 37: Array, 126: Array },
  timeout: 0,
}

/** Not a cluster, a sentinel or a pool of node-redis: their `sendCommand` wants other arguments, and none has SELECT. */
export function isNodeRedis(client: unknown): client is NodeRedisClient {
  return (
    typeof client === 'object' &&
    client !== null &&
    'sendCommand' in client &&
    typeof client.sendCommand === 'function' &&
    'isReady' in client &&
    typeof client.isReady === 'boolean' &&
    'SELECT' in client
  )
}

/** The user's client: we listen and send, and never end its connection. */
export function adoptNodeRedis(client: NodeRedisClient): RedisPort {
  return new UsersNodeRedis(client)
}

/** A connection that listens, beside the user's client and to where that one leads. */
export function duplicateNodeRedisSubscriber(client: NodeRedisClient, connectTimeoutMs: number): SubscriberPort {
  return new NodeRedisSubscriber(client, connectTimeoutMs)
}

/** What node-redis says when the server has closed the connection; the error bears no name of its own. */
const CLEAN_END = 'Socket closed unexpectedly'

const RECONNECT_FIRST_MS = 50
const RECONNECT_LAST_MS = 2000

/** Each connection is a client of its own: what node-redis would do by itself on a reconnect stays under our control. */
class NodeRedisSubscriber implements SubscriberPort {
  readonly #origin: NodeRedisClient
  readonly #connectTimeoutMs: number
  #client: NodeRedisSubscription | undefined
  #listener: PortListener | undefined
  #receive: (channel: string, message: Buffer) => void = () => {}
  #loginTimer: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  /** Connections that were dropped before anything was heard on them. */
  #attempts = 0
  #isClosed = false

  constructor(origin: NodeRedisClient, connectTimeoutMs: number) {
    this.#origin = origin
    this.#connectTimeoutMs = connectTimeoutMs
  }

  listen(listener: PortListener): void {
    this.#listener = listener
  }

  onMessage(receive: (channel: string, message: Buffer) => void): void {
    this.#receive = receive
  }

  connect(): void {
    const client = this.#origin.duplicate()
    this.#client = client
    // node-redis's own `connectTimeout` ends with TCP and TLS: a server that accepts and is silent would be waited for.
    const giveUp = (): void => this.drop(new Error(`no connection within ${this.#connectTimeoutMs} ms`))
    this.#loginTimer = setTimeout(giveUp, this.#connectTimeoutMs).unref()
    client.on('ready', () => {
      clearTimeout(this.#loginTimer)
      this.#listener?.onUp()
    })
    client.on('error', (error) => {
      if (this.#client === client) this.drop(error)
    })
    client.connect().catch((error: unknown) => {
      if (this.#client === client && error instanceof Error) this.drop(error)
    })
  }

  async subscribe(channel: string): Promise<void> {
    await this.#client?.subscribe(channel, (message, from) => this.#receive(from.toString(), message), true)
    this.#attempts = 0
  }

  async unsubscribe(channel: string): Promise<void> {
    await this.#client?.unsubscribe(channel)
  }

  ping(): Promise<unknown> {
    return this.#client?.ping() ?? Promise.reject(new Error('not connected'))
  }

  drop(reason: Error): void {
    this.#end()
    this.#listener?.onDown(reason)
    if (this.#isClosed) return
    clearTimeout(this.#retry)
    const pauseMs = jittered(Math.min(RECONNECT_FIRST_MS * 2 ** this.#attempts++, RECONNECT_LAST_MS))
    this.#retry = setTimeout(() => this.connect(), pauseMs).unref()
  }

  close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#end()
    return Promise.resolve()
  }

  #end(): void {
    clearTimeout(this.#loginTimer)
    const client = this.#client
    this.#client = undefined
    if (client?.isOpen === true) client.destroy()
  }
}

class UsersNodeRedis implements RedisPort {
  readonly kind = 'node-redis'
  readonly native: NodeRedisClient
  db: number
  readonly #forget: () => void
  #listener: PortListener | undefined
  /** Counts connections. */
  #connections = 0

  constructor(client: NodeRedisClient) {
    this.native = client
    this.db = client.options?.database ?? 0
    const onEnd = (error = new Error('the client was closed')): void => {
      this.#connections++
      this.#listener?.onEnd(error)
    }
    this.#forget = listenTo(client, {
      // Without a listener for it a lost connection would end the process.
      error: (error) => this.#onError(error),
      ready: () => void this.#onReady(),
      // Closed by the user, or its `reconnectStrategy` has given up.
      terminated: onEnd,
      end: onEnd,
    })
  }

  isReady(): boolean {
    return this.native.isReady
  }

  send(args: readonly Argument[]): Promise<Reply> {
    return this.native.sendCommand(args, COMMAND_OPTIONS) as Promise<Reply>
  }

  listen(listener: PortListener): void {
    this.#listener = listener
  }

  /** node-redis wants to be told to connect, which the user may have left to us. */
  connect(): void {
    if (this.native.isReady) void this.#onReady()
    else if (!this.native.isOpen) this.native.connect().catch(() => undefined)
  }

  close(): Promise<void> {
    this.#forget()
    return Promise.resolve()
  }

  /** The client does not tell which database it has selected since it was made. */
  async #onReady(): Promise<void> {
    const connection = ++this.#connections
    try {
      this.db = Number(/ db=(\d+)/.exec(String(await this.send(['CLIENT', 'INFO'])))?.[1] ?? this.db)
    } catch {
      // It may not be asked for (ACL): it is the one of the options then.
    }
    if (connection === this.#connections) this.#listener?.onUp()
  }

  /** One for each failed attempt and for each loss; also for faults that leave the connection as it is. */
  #onError(error: Error): void {
    if (this.native.isReady) return
    this.#connections++
    this.#listener?.onDown(error, error.message === CLEAN_END)
  }
}
