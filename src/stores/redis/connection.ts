/**
 * The way to one Redis: commands and scripts, over as many connections as it takes.
 *
 * One multiplexed connection serves until it is saturated. Then another is opened in the background, and used when it is
 * ready; connections beyond the first are closed again when they have been idle for a while, or as soon as they are
 * lost. So commands that are in flight together may be executed in any order; await one to have it before the next.
 *
 * Nothing here keeps the process alive but commands in flight: an application that forgets `close()` can still end.
 */
import { createHash } from 'node:crypto'
import { RedisReplyError } from '../../exceptions.ts'
import type { Breaker } from '../store.ts'
import type { Argument, RedisPort, Reply, ServerOptions } from './client.ts'
import { openIoredis } from './ioredis.ts'
import type { Greeting } from './greeting.ts'
import { Link, type LinkOptions, type LinkWatcher } from './link.ts'
import { adoptClient } from './open-client.ts'
import { isReadable } from './reply-error.ts'
import { SentinelWatch } from './sentinel-watch.ts'
import type { ChannelSource, Subscriber } from './subscriber.ts'
import { subscriberFor } from './subscribers.ts'

/** Where Redis is, or the client that leads there, and how long to wait for it. */
export type ConnectionOptions = ConnectionBehaviour &
  (
    | { readonly server: ServerOptions; readonly client?: undefined }
    | { readonly client: unknown; readonly server?: undefined }
  )

export interface ConnectionBehaviour {
  /** The deadline of one command, waiting for the connection included. */
  readonly commandTimeoutMs: number
  /** PING on a connection that has been quiet for so long; 0 is never. Not on a client of the user's. */
  readonly healthCheckIntervalMs: number
  /** The ceiling; a client of the user's is one connection. */
  readonly maxConnections: number
  /** After so long without a command a connection beyond the first is closed; 30 seconds by default. */
  readonly idleTimeoutMs?: number
}

/** What a store asks of its connection: to one server, or to whichever node of a cluster serves the store's slot. */
export type StoreConnection = Pick<
  RedisConnection,
  'name' | 'send' | 'run' | 'ping' | 'breaker' | 'greet' | 'watch' | 'db' | 'commandTimeoutMs' | 'close'
> & { subscriber(): ChannelSource }

/** A Lua script; made once, with `defineScript`. */
export interface Script {
  readonly lua: string
  /** Its name in Redis. */
  readonly sha: string
  /** It takes something back: while its slot moves between two nodes of a cluster it is tried again for a while. */
  readonly isInvalidation: boolean
}

export function defineScript(lua: string, isInvalidation = false): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex'), isInvalidation }
}

/**
 * Commands in flight that saturate a connection. Node and Redis both work off one connection as fast as fifty, so what
 * another one helps against is waiting behind large replies; below this there is hardly anything to wait behind.
 */
const SATURATION = 256
const IDLE_TIMEOUT_MS = 30_000
/** After a connection beyond the first was lost, or refused (`maxclients`), no other is tried for so long. */
const NEXT_TRY_MS = 1000
/** How long `close()` waits for commands in flight. */
const CLOSE_GRACE_MS = 1000

export class RedisConnection {
  /** How messages call it: `Redis at 127.0.0.1:6379`. */
  readonly name: string
  readonly #options: ConnectionOptions
  readonly #linkOptions: LinkOptions
  readonly #primary: Link
  readonly #extras: Link[] = []
  readonly #greetings = new Set<Greeting>()
  readonly #watchers = new Set<LinkWatcher>()
  readonly #sentinels: SentinelWatch | undefined
  /** Scripts that have been sent whole. */
  readonly #known = new Set<Script>()
  #mayOpenAt = 0
  #idleSweep: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  /** It connects with the first command. */
  constructor(options: ConnectionOptions) {
    this.#options = options
    const { commandTimeoutMs, healthCheckIntervalMs, server } = options
    this.name = server === undefined ? 'Redis (redis.client)' : `Redis at ${addressOf(server)}`
    this.#linkOptions = {
      commandTimeoutMs,
      healthCheckIntervalMs: 0,
      name: this.name,
      greetings: () => {
        this.#sentinels?.open()
        return this.#greetings
      },
      onUnserved: (error) => this.#leave(error),
    }
    if (server?.sentinel !== undefined) this.#sentinels = new SentinelWatch(server, (to) => this.#onSwitch(to))
    const watcher: LinkWatcher = {
      onDown: (error, since, isEnd) => this.#watchers.forEach((one) => one.onDown(error, since, isEnd)),
      onUp: () => this.#watchers.forEach((one) => one.onUp()),
    }
    this.#primary =
      server === undefined
        ? new Link(adoptClient(options.client), { ...this.#linkOptions, watcher })
        : new Link(openIoredis(server), { ...this.#linkOptions, healthCheckIntervalMs, watcher })
  }

  /** The client of the first connection, for libraries that want one. It has none of the deadlines. */
  get native(): unknown {
    return this.#primary.port.native
  }

  get kind(): RedisPort['kind'] {
    return this.#primary.port.kind
  }

  /** The deadline of one command. */
  get commandTimeoutMs(): number {
    return this.#options.commandTimeoutMs
  }

  get breaker(): Breaker {
    return this.#primary.breaker
  }

  /** The number of the database that commands go to. */
  get db(): number {
    return this.#primary.port.db
  }

  /** From now on say this first on every new connection, before anything else. */
  greet(greeting: Greeting): void {
    this.#greetings.add(greeting)
  }

  /** Say it no more. */
  forget(greeting: Greeting): void {
    this.#greetings.delete(greeting)
  }

  /** Tell `watcher` when the first connection is lost, or cannot be made, and when it is back. */
  watch(watcher: LinkWatcher): void {
    this.#watchers.add(watcher)
  }

  /** Tell it no more. */
  unwatch(watcher: LinkWatcher): void {
    this.#watchers.delete(watcher)
  }

  /** The connection that listens: one for all caches of this process on one server. */
  subscriber(): Subscriber {
    return subscriberFor(this.#options)
  }

  /**
   * Send one command, its name in capitals first. It is never sent twice: a command whose reply was lost may have been
   * executed.
   *
   * @throws {RedisConnectionError} without a connection, or after `commandTimeoutMs`
   * @throws {CacheException} with what Redis said, if it answers with an error
   */
  send(args: readonly Argument[]): Promise<Reply> {
    return this.#link().send(args)
  }

  /** Send a command whose slot this node of a cluster is only about to get. Throws like `send`. */
  sendAsking(args: readonly Argument[]): Promise<Reply> {
    const link = this.#link()
    // It holds for the next command on the very connection.
    link.send(['ASKING']).catch(() => undefined)
    return link.send(args)
  }

  /**
   * Run a script: whole the first time, afterwards by its hash. Throws like `send`.
   *
   * Redis that has lost it meanwhile (restart, SCRIPT FLUSH) is sent all of it again, then behind later commands.
   */
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    const rest = [String(keys.length), ...keys, ...args]
    if (!this.#known.has(script)) {
      this.#known.add(script)
      return this.send(['EVAL', script.lua, ...rest])
    }
    return this.send(['EVALSHA', script.sha, ...rest]).catch((error: unknown) => {
      // This error alone says that nothing was executed.
      if (!(error instanceof RedisReplyError) || error.replyCode !== 'NOSCRIPT') throw error
      return this.send(['EVAL', script.lua, ...rest])
    })
  }

  /** The connections to all servers behind it: this one. */
  servers(): Promise<readonly RedisConnection[]> {
    return Promise.resolve([this])
  }

  /** Resolves when Redis answers, and reads. Throws like `send`. */
  async reach(): Promise<void> {
    try {
      await this.send(['PING'])
    } catch (error) {
      if (!isReadable(error)) throw error
    }
  }

  /** True if Redis answers, and reads, within the deadline. Never rejects. */
  ping(): Promise<boolean> {
    return this.reach().then(
      () => true,
      () => false,
    )
  }

  /**
   * Let commands in flight finish, for a second at most, and end our connections; a client of the user's stays as it is.
   * Commands sent from now on reject with `RedisConnectionError`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearInterval(this.#idleSweep)
    const graceMs = Math.min(CLOSE_GRACE_MS, this.#options.commandTimeoutMs)
    const links = [this.#primary, ...this.#extras.splice(0)]
    await Promise.all([this.#sentinels?.close(), ...links.map((link) => link.close(graceMs))])
  }

  /** Whoever connects now is led to another server. */
  #onSwitch(primary: string): void {
    const isElsewhere = [this.#primary, ...this.#extras].some(
      ({ port: { peer } }) => peer !== undefined && peer !== primary,
    )
    if (isElsewhere) this.#leave(new Error(`the sentinels lead to another primary, ${primary}`))
  }

  /** All connections lead to the same place. */
  #leave(reason: Error): void {
    for (const link of [this.#primary, ...this.#extras]) link.leave(reason)
    for (const greeting of this.#greetings) greeting.onUnserved(reason)
  }

  #link(): Link {
    const primary = this.#primary
    return primary.inFlight < SATURATION && primary.isUp() ? primary : this.#other()
  }

  /** Where a command goes that the first connection cannot take: the first with room, else the one with the most. */
  #other(): Link {
    let best: Link | undefined
    for (const link of [this.#primary, ...this.#extras]) {
      if (!link.isUp()) continue
      if (link.inFlight < SATURATION) return link
      if (best === undefined || link.inFlight < best.inFlight) best = link
    }
    if (best === undefined) return this.#primary
    this.#openExtra()
    return best
  }

  #openExtra(): void {
    const { server, maxConnections } = this.#options
    if (server === undefined || this.#closing !== undefined || this.#extras.length + 1 >= maxConnections) return
    // One at a time: the one that is being opened may be all it takes.
    if (performance.now() < this.#mayOpenAt || this.#extras.some((link) => !link.isUp())) return
    const discard = (): void => {
      this.#mayOpenAt = performance.now() + NEXT_TRY_MS
      this.#discard(link)
    }
    const link = new Link(openIoredis(server), { ...this.#linkOptions, onLost: discard })
    this.#extras.push(link)
    link.open()
    const { idleTimeoutMs = IDLE_TIMEOUT_MS } = this.#options
    this.#idleSweep ??= setInterval(() => this.#closeIdle(idleTimeoutMs), idleTimeoutMs / 2).unref()
  }

  #closeIdle(idleTimeoutMs: number): void {
    const idleSince = performance.now() - idleTimeoutMs
    for (const link of this.#extras.filter((extra) => extra.inFlight === 0 && extra.lastUsedAt < idleSince)) {
      this.#discard(link)
    }
    if (this.#extras.length > 0) return
    clearInterval(this.#idleSweep)
    this.#idleSweep = undefined
  }

  #discard(link: Link): void {
    const index = this.#extras.indexOf(link)
    if (index === -1) return
    this.#extras.splice(index, 1)
    void link.close(0)
  }
}

function addressOf(server: ServerOptions): string {
  if (server.sentinel !== undefined) return `the address that Sentinel has for '${server.sentinel.name}'`
  return server.path ?? `${server.host}:${server.port}`
}
