/**
 * The way to whichever node of a cluster serves one slot, with the interface of a connection to one server.
 *
 * A node is *greeted* for the slot before anything is asked of it: it may be another server than the one that the slot's
 * stamps are from. Its connection says the greeting again whenever it is made anew.
 *
 * - MOVED: nothing was executed; the command goes to the node that is named.
 * - ASK: the slot is on its way, and the key is there already; the command goes there, this once.
 * - TRYAGAIN: some of the keys are there and some are not, so nobody can tell what is valid. A read finds nothing;
 *   an invalidation is tried again within its deadline; the rest rejects, so that loads go on without the cache.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { RedisConnectionError, RedisReplyError } from '../../exceptions.ts'
import { strictlyWithin, type Limit } from '../../deadline.ts'
import type { Breaker } from '../store.ts'
import type { Argument, Reply } from './client.ts'
import type { Cluster } from './cluster.ts'
import type { RedisConnection, Script, StoreConnection } from './connection.ts'
import type { Greeting } from './greeting.ts'
import type { LinkWatcher } from './link.ts'
import { isRedirection } from './reply-error.ts'
import { ShardSubscriber } from './shard-subscriber.ts'
import { readRedirection, type Address } from './slots.ts'

/** So many times a command is sent elsewhere; a cluster that has settled needs one. */
const MAX_HOPS = 5
const TRY_AGAIN_MS = 25

/** A command that may have to be sent to more than one node, one after the other. */
interface Command {
  sendTo(node: RedisConnection): Promise<Reply>
  /** Without a hash of a script in it, which another node may not know. */
  whole(): readonly Argument[]
  /** What it is answered while the slot is between two nodes; without it, it fails then. */
  readonly nothing?: Reply
  readonly isInvalidation: boolean
}

export class ShardConnection implements StoreConnection {
  readonly name = 'the Redis Cluster'
  readonly db = 0
  readonly #cluster: Cluster
  readonly #slot: number
  #greeting: Greeting | undefined
  #node: RedisConnection | undefined
  /** The node has taken the greeting. */
  #isServed = false
  #serving: Promise<RedisConnection> | undefined
  #subscriber: ShardSubscriber | undefined
  #watcher: LinkWatcher | undefined
  /** The watcher has been told that the slot is not served. */
  #isLost = false

  constructor(cluster: Cluster, slot: number) {
    this.#cluster = cluster
    this.#slot = slot
  }

  get commandTimeoutMs(): number {
    return this.#cluster.commandTimeoutMs
  }

  get breaker(): Breaker {
    return this.#node?.breaker ?? this.#cluster.breaker
  }

  greet(greeting: Greeting): void {
    this.#greeting = {
      ...greeting,
      onElsewhere: (error) => {
        this.#isServed = false
        this.#onMoved(error)
      },
    }
    this.#cluster.follow(this.#onOwners)
  }

  /** The node that serves the slot is lost, or nobody says which one does; and the slot is served again, by any. */
  watch(watcher: LinkWatcher): void {
    this.#watcher = {
      onDown: (error, since, isEnd) => {
        this.#isLost = true
        watcher.onDown(error, since, isEnd)
      },
      onUp: () => {
        this.#isLost = false
        watcher.onUp()
      },
    }
    this.#node?.watch(this.#watcher)
  }

  subscriber(): ShardSubscriber {
    this.#subscriber ??= new ShardSubscriber({
      onMoved: (error) => this.#onMoved(error),
      // Whoever listens has to know where.
      onWanted: () => void this.#served().catch(() => undefined),
    })
    this.#subscriber.moveTo(this.#node)
    return this.#subscriber
  }

  send(args: readonly Argument[]): Promise<Reply> {
    const isRead = args[0] === 'MGET'
    return this.#execute({
      sendTo: (node) => node.send(args),
      whole: () => args,
      isInvalidation: false,
      ...(isRead && { nothing: args.slice(1).map(() => null) }),
    })
  }

  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    return this.#execute({
      sendTo: (node) => node.run(script, keys, args),
      whole: () => ['EVAL', script.lua, String(keys.length), ...keys, ...args],
      isInvalidation: script.isInvalidation,
    })
  }

  ping(): Promise<boolean> {
    const asking = this.#served().then((node) => node.ping())
    return strictlyWithin(asking, { since: performance.now(), budgetMs: this.commandTimeoutMs }).catch(() => false)
  }

  /** The connections of the nodes are the cluster's. */
  close(): Promise<void> {
    this.#cluster.unfollow(this.#onOwners)
    if (this.#watcher !== undefined) this.#node?.unwatch(this.#watcher)
    this.#watcher = undefined
    return Promise.resolve()
  }

  #execute(command: Command): Promise<Reply> {
    const limit = { since: performance.now(), budgetMs: this.commandTimeoutMs }
    if (this.#isServed) {
      const sending = command.sendTo(this.#node!)
      return sending.catch((error: unknown) => strictlyWithin(this.#sendAgain(command, error, limit), limit))
    }
    return strictlyWithin(
      this.#sendServed(command, limit).catch((error: unknown) => this.#sendAgain(command, error, limit)),
      limit,
    )
  }

  /** What a failed command comes to: sent elsewhere, once more, or not at all. */
  async #sendAgain(command: Command, error: unknown, limit: Limit): Promise<Reply> {
    let fault = error
    for (let hops = 0; hops < MAX_HOPS || command.isInvalidation; hops++) {
      if (!isRedirection(fault)) break
      if (isOver(limit)) break
      if (fault.replyCode === 'TRYAGAIN' && !command.isInvalidation) return nothingFor(command, fault)
      try {
        return await this.#follow(fault, command, limit)
      } catch (next) {
        fault = next
      }
    }
    if (fault instanceof RedisConnectionError) this.#cluster.doubt(this.#node)
    throw isRedirection(fault) ? inTransit(fault) : fault
  }

  async #follow(redirection: RedisReplyError, command: Command, limit: Limit): Promise<Reply> {
    const to = this.#target(redirection)
    if (redirection.replyCode === 'ASK' && to !== undefined) return this.#cluster.node(to).sendAsking(command.whole())
    if (redirection.replyCode === 'MOVED') this.#onMoved(redirection)
    else await sleep(TRY_AGAIN_MS)
    return this.#sendServed(command, limit)
  }

  async #sendServed(command: Command, limit: Limit): Promise<Reply> {
    const node = await this.#served()
    // Its caller has been told that it was not done, and that is how it stays.
    if (isOver(limit)) throw new RedisConnectionError(`${this.name} answers too late`)
    return command.sendTo(node)
  }

  #target(redirection: Error): Address | undefined {
    return readRedirection(redirection.message, this.#node && this.#cluster.addressOf(this.#node))
  }

  #onMoved(error: Error): void {
    const to = isRedirection(error) && error.replyCode === 'MOVED' ? this.#target(error) : undefined
    if (to === undefined) this.#cluster.doubt()
    else this.#cluster.moved(this.#slot, to)
  }

  /** The node that serves the slot, and has taken the greeting. */
  #served(): Promise<RedisConnection> {
    if (this.#isServed) return Promise.resolve(this.#node!)
    this.#serving ??= this.#serve().finally(() => (this.#serving = undefined))
    return this.#serving
  }

  async #serve(): Promise<RedisConnection> {
    for (let hops = 0; hops < MAX_HOPS; hops++) {
      const node = await this.#locate()
      this.#onOwners()
      try {
        if (this.#greeting !== undefined) this.#greeting.onTaken?.(await node.send(this.#greeting.say()))
      } catch (error) {
        if (isRedirection(error)) {
          if (error.replyCode !== 'MOVED') throw inTransit(error)
          this.#onMoved(error)
          continue
        }
        if (!(error instanceof RedisReplyError && error.replyCode === 'NOPERM')) throw error
        this.#greeting!.onRefused(error)
      }
      // It may have got another owner meanwhile.
      if (node !== this.#node) continue
      this.#isServed = true
      this.#watcher?.onUp()
      return node
    }
    throw new RedisConnectionError(`the nodes of the Redis Cluster do not agree on who serves slot ${this.#slot}`)
  }

  async #locate(): Promise<RedisConnection> {
    const since = performance.now()
    try {
      return await this.#cluster.locate(this.#slot)
    } catch (error) {
      // A node that is known tells it by itself.
      if (error instanceof RedisConnectionError) this.#watcher?.onDown(error, since)
      throw error
    }
  }

  /** Another node may serve the slot now. */
  readonly #onOwners = (): void => {
    const owner = this.#cluster.ownerOf(this.#slot)
    if (owner === this.#node) return
    if (this.#greeting !== undefined) {
      this.#node?.forget(this.#greeting)
      owner?.greet(this.#greeting)
    }
    if (this.#watcher !== undefined) {
      this.#node?.unwatch(this.#watcher)
      owner?.watch(this.#watcher)
    }
    this.#node = owner
    this.#isServed = false
    this.#subscriber?.moveTo(owner)
    // The end of an outage is told, and what waits is delivered, also if nobody asks for anything.
    if (this.#isLost && owner !== undefined) this.#served().catch(() => undefined)
  }
}

function isOver({ since, budgetMs }: Limit): boolean {
  return performance.now() - since > budgetMs
}

/** What a command is answered whose keys are partly here and partly there. */
function nothingFor(command: Command, redirection: RedisReplyError): Reply {
  if (command.nothing === undefined) throw inTransit(redirection)
  return command.nothing
}

/** Not what Redis refuses, but what is out of reach for a while. */
function inTransit(redirection: RedisReplyError): RedisConnectionError {
  return new RedisConnectionError(`the slot is on its way to another node: ${redirection.message}`)
}
