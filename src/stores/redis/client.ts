/**
 * The port over Redis clients: send a command, get its reply; be told when the connection is up and when it is lost.
 *
 * Deadlines, waiting for the first connection and the words of errors are the link's business (link.ts), so that
 * ioredis and node-redis act alike: through the port neither queues a command while offline nor sends one twice.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls'

/** What Redis answers. Buffers may be views of a larger chunk from the network: copy what is kept. */
export type Reply = Buffer | number | null | readonly Reply[]
export type Argument = string | Buffer

/** What a port tells of its connection. */
export interface PortListener {
  onUp(): void
  /**
   * The connection was lost, or an attempt to make one failed; another one follows.
   *
   * @param isCleanEnd the server has closed it in good order, as it does with one that is idle (`timeout`)
   */
  onDown(error: Error, isCleanEnd?: boolean): void
  /** There is no connection, and nobody tries to make one: the user has closed the client, or it has given up. */
  onEnd(error: Error): void
}

export interface RedisPort {
  readonly kind: 'ioredis' | 'node-redis'
  /** The client itself, for libraries that want one. */
  readonly native: unknown
  /** The number of the database that commands go to. */
  readonly db: number
  /** The `host:port` that a connection of our own leads to; undefined if there is none. */
  readonly peer?: string | undefined
  /** What an attempt of our own that is under way is held up by, as far as it shows, and what to do about it. */
  readonly obstacle?: string | undefined
  /** Whether a command sent now goes out now. */
  isReady(): boolean
  /** Send one command, its name in capitals first. Only while `isReady()`. */
  send(args: readonly Argument[]): Promise<Reply>
  /** Who is told of the connection; one listener, set before `connect`. */
  listen(listener: PortListener): void
  /** Begin to connect, unless the client does so already. The listener hears what comes of it. */
  connect(): void
  /** Reset the connection and make a new one: what has not arrived shall not any more. Absent where the client belongs to the user. */
  drop?(reason: Error): void
  /**
   * End the connection for good; a client of the user's is left as it is.
   *
   * @param isUnanswered something was sent that must not arrive any more
   */
  close(isUnanswered?: boolean): Promise<void>
}

/** A connection of its own that listens to channels. */
export interface SubscriberPort extends Pick<RedisPort, 'listen' | 'connect' | 'close'> {
  /** Who receives the messages of all channels; set before `connect`. */
  onMessage(receive: (channel: string, message: Buffer) => void): void
  /** Resolves when messages arrive from now on. A new connection starts without any channel. */
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  /** PING on this very connection; the answer comes behind every message that was published before. */
  ping(): Promise<unknown>
  /** End the connection at once and make a new one. */
  drop(reason: Error): void
}

/** Where Redis is, and how to log in. */
export interface ServerOptions {
  readonly host: string
  readonly port: number
  /** A unix socket, instead of host and port. */
  readonly path?: string | undefined
  /** Who is asked, with each attempt to connect, where the primary is; instead of host and port. */
  readonly sentinel?: SentinelOptions | undefined
  /** It listens to the channels of slots, which end when the slot goes elsewhere. */
  readonly isClusterNode?: boolean
  readonly db: number
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly ssl: boolean | TlsOptions
  readonly keepAlive: boolean
  /** For all of it: TCP, TLS and login. */
  readonly connectTimeoutMs: number
}

export interface SentinelOptions {
  /** The name under which the sentinels know the primary. */
  readonly name: string
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  readonly username?: string | undefined
  readonly password?: string | undefined
}
