/**
 * The nodes of a Redis Cluster: one connection to each master, and which of them serves which slot.
 *
 * Each node has a connection like that to a single server, with deadline, greeting and reconnect of its own, so that a
 * node that is silent or dead takes nothing along but its slots. Who serves a slot is asked of any node there is
 * (CLUSTER SLOTS): with the first command, and whenever there is reason to doubt it, which is a redirection or a node
 * that does not answer. Then it is asked again, at growing intervals and each time another node first, for as long as
 * commands fail: a replica takes over seconds after its master has died.
 *
 * One node after the other is asked, the next one when those before it have not answered for a part of the deadline of
 * one command, and nobody waits for all of them: after that deadline it counts as unknown, whoever needs to know rejects
 * at once, and the search goes on in the background.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { strictlyWithin } from '../../deadline.ts'
import { RedisConnectionError } from '../../exceptions.ts'
import type { Breaker } from '../store.ts'
import type { ClusterPlace } from './cluster-client.ts'
import { RedisConnection, type ConnectionBehaviour } from './connection.ts'
import { jittered } from '../../jitter.ts'
import { nameOf, readSlots, SLOTS, type Address, type SlotRange } from './slots.ts'

/** Of the nodes one that answers is enough. */
export interface ClusterOptions extends ConnectionBehaviour, ClusterPlace {}

/** A node that does not say within so long who serves what is passed over. */
const ASK_TIMEOUT_MS = 1000
/** Within the deadline of one command so many are asked, though all but the last be silent, and the last can answer. */
const ASKED_PER_DEADLINE = 3
const ASK_AGAIN_FIRST_MS = 50
const ASK_AGAIN_LAST_MS = 1000
/** Without a doubt for so long the next one is looked into at once. */
const QUIET_MS = 5000

export class Cluster {
  readonly #options: ClusterOptions
  readonly #nodes = new Map<string, Node>()
  /** By slot. */
  #owners: (RedisConnection | undefined)[] = Array.from({ length: SLOTS })
  /** Who can be asked, beside those who are configured. */
  #known: readonly Address[] = []
  readonly #followers = new Set<() => void>()
  /** Nodes that did not answer a command. */
  readonly #silent = new Set<RedisConnection>()
  /** Connections that ask who serves what. */
  readonly #askers = new Set<RedisConnection>()
  /** One node after the other is asked. */
  #search: Promise<void> | undefined
  /** The same, as long as commands wait for it. */
  #asking: Promise<void> | undefined
  #askAgain: NodeJS.Timeout | undefined
  #doubts = 0
  #doubtedAt = -Infinity
  /** Nobody says who serves what: it is asked in the background, and until somebody does so nobody waits for it. */
  #outage: RedisConnectionError | undefined
  #isClosed = false

  /** It connects with the first command. */
  constructor(options: ClusterOptions) {
    this.#options = options
  }

  /** The deadline of one command. */
  get commandTimeoutMs(): number {
    return this.#options.commandTimeoutMs
  }

  /** How it stands with finding the nodes; each node's connection has a breaker of its own. */
  get breaker(): Breaker {
    return this.#outage === undefined && !this.#isClosed ? 'closed' : 'open'
  }

  /** Who serves a slot, as far as is known. */
  ownerOf(slot: number): RedisConnection | undefined {
    return this.#owners[slot]
  }

  /**
   * Who serves a slot; asks if it is not known.
   *
   * @throws {RedisConnectionError} if no node answers within the deadline, or none serves the slot; at once while that is
   *   known
   */
  async locate(slot: number): Promise<RedisConnection> {
    if (this.#owners[slot] === undefined && this.#outage === undefined) await this.#ask()
    const owner = this.#owners[slot]
    if (owner !== undefined) return owner
    this.doubt()
    throw this.#outage ?? new RedisConnectionError(`no node of the Redis Cluster serves slot ${slot}`)
  }

  /** The connection to a node; where a redirection leads. */
  node(address: Address): RedisConnection {
    const name = nameOf(address)
    const there = this.#nodes.get(name)
    if (there !== undefined) return there.connection
    const connection = this.#connect(address, this.#options)
    this.#nodes.set(name, { address, connection })
    // A redirection that arrives while the cluster is being closed.
    if (this.#isClosed) void connection.close()
    return connection
  }

  addressOf(connection: RedisConnection): Address | undefined {
    return [...this.#nodes.values()].find((node) => node.connection === connection)?.address
  }

  /** A slot is served by somebody else than was thought; very likely it is not the only one. */
  moved(slot: number, to: Address): void {
    const owner = this.node(to)
    if (this.#owners[slot] !== owner) {
      this.#owners[slot] = owner
      this.#tell()
    }
    this.doubt()
  }

  /**
   * What is known may be out of date: it is asked anew, in the background; because of a node that does not answer again
   * and again, until it does, or another one serves its slots.
   */
  doubt(node?: RedisConnection): void {
    if (node !== undefined) this.#silent.add(node)
    if (this.#askAgain !== undefined || this.#isClosed) return
    const now = performance.now()
    if (now - this.#doubtedAt > QUIET_MS) this.#doubts = 0
    this.#doubtedAt = now
    const ceilingMs = this.#doubts === 0 ? 0 : Math.min(ASK_AGAIN_FIRST_MS * 2 ** this.#doubts, ASK_AGAIN_LAST_MS)
    this.#doubts++
    const again = (): void => {
      this.#askAgain = undefined
      this.#searchOnce()
        // Nobody answers: that is as good as no news.
        .catch(() => undefined)
        .then(() => this.#askSilent())
        .then(() => this.#outage !== undefined && this.doubt())
        .catch(() => undefined)
    }
    this.#askAgain = setTimeout(again, jittered(ceilingMs)).unref()
  }

  /** Be told when slots have got another owner. */
  follow(follower: () => void): void {
    this.#followers.add(follower)
  }

  unfollow(follower: () => void): void {
    this.#followers.delete(follower)
  }

  /** Every node that serves slots. */
  async masters(): Promise<readonly RedisConnection[]> {
    await this.locate(0)
    return this.#masters()
  }

  /** Ends all connections, as that of one server does. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#askAgain)
    const connections = [...Array.from(this.#nodes.values(), ({ connection }) => connection), ...this.#askers]
    await Promise.all(connections.map((connection) => connection.close()))
  }

  #ask(): Promise<void> {
    const limit = { since: performance.now(), budgetMs: this.commandTimeoutMs }
    this.#asking ??= strictlyWithin(this.#searchOnce(), limit)
      .catch((error: unknown) => {
        if (this.#isClosed) throw error
        this.#outage ??= unknown(error)
        this.doubt()
        throw this.#outage
      })
      .finally(() => (this.#asking = undefined))
    return this.#asking
  }

  #searchOnce(): Promise<void> {
    this.#search ??= this.#askOneAfterAnother().finally(() => (this.#search = undefined))
    return this.#search
  }

  async #askOneAfterAnother(): Promise<void> {
    const patienceMs = Math.min(ASK_TIMEOUT_MS, this.commandTimeoutMs / ASKED_PER_DEADLINE)
    const asked: Promise<readonly SlotRange[]>[] = []
    for (const address of this.#candidates()) {
      if (this.#isClosed) throw new RedisConnectionError('the connection to Redis was closed by close()')
      const last = this.#slotsSaidBy(address)
      asked.push(last)
      const isOver = sleep(patienceMs, undefined, { ref: false })
      const ranges = await Promise.race([Promise.any(asked).catch(nothing), last.catch(nothing), isOver])
      if (ranges !== undefined) return this.#adopt(ranges)
    }
    const ranges = await Promise.any(asked).catch((error: unknown) => {
      this.#outage = unknown((error as AggregateError).errors.at(-1))
      throw this.#outage
    })
    this.#adopt(ranges)
  }

  /** Those who are known, beginning with any of them, then those who are configured. */
  #candidates(): readonly Address[] {
    const start = Math.floor(Math.random() * this.#known.length)
    const known = [...this.#known.slice(start), ...this.#known.slice(0, start)]
    return [...new Map([...known, ...this.#options.nodes].map((address) => [nameOf(address), address])).values()]
  }

  /** Over a connection of its own: that of a node in trouble waits for its next attempt. */
  async #slotsSaidBy(address: Address): Promise<readonly SlotRange[]> {
    const commandTimeoutMs = Math.min(ASK_TIMEOUT_MS, this.commandTimeoutMs)
    const connection = this.#connect(address, { commandTimeoutMs, healthCheckIntervalMs: 0, maxConnections: 1 })
    this.#askers.add(connection)
    try {
      const ranges = readSlots(await connection.send(['CLUSTER', 'SLOTS']), address)
      if (ranges.length === 0) throw new RedisConnectionError(`${connection.name} knows of no slot that is served`)
      return ranges
    } finally {
      void connection.close().finally(() => this.#askers.delete(connection))
    }
  }

  #adopt(ranges: readonly SlotRange[]): void {
    if (this.#isClosed) return
    this.#outage = undefined
    const before = this.#owners
    this.#owners = Array.from({ length: SLOTS })
    for (const { first, last, master } of ranges) this.#owners.fill(this.node(master), first, last + 1)
    this.#known = ranges.flatMap(({ master, others }) => [master, ...others])
    if (this.#owners.some((owner, slot) => owner !== before[slot])) {
      this.#doubts = 0
      this.#tell()
    }
    void this.#closeUnused()
  }

  async #askSilent(): Promise<void> {
    const owners = new Set(this.#masters())
    const still = Array.from(this.#silent, async (node) => {
      if (!owners.has(node) || (await node.ping())) this.#silent.delete(node)
    })
    await Promise.all(still)
    if (this.#silent.size > 0) this.doubt()
  }

  #tell(): void {
    for (const follower of this.#followers) follower()
  }

  #masters(): readonly RedisConnection[] {
    return [...new Set(this.#owners.filter((owner) => owner !== undefined))]
  }

  /** What was sent to them a moment ago is still answered, or sent elsewhere. */
  async #closeUnused(): Promise<void> {
    await sleep(this.commandTimeoutMs, undefined, { ref: false })
    const used = new Set(this.#masters())
    for (const [name, { connection }] of this.#nodes) {
      if (used.has(connection)) continue
      this.#nodes.delete(name)
      void connection.close()
    }
  }

  #connect(address: Address, behaviour: ConnectionBehaviour): RedisConnection {
    const { commandTimeoutMs, healthCheckIntervalMs, maxConnections, idleTimeoutMs } = behaviour
    const place = this.#options.mapAddress?.(address) ?? address
    return new RedisConnection({
      server: { ...this.#options.login, ...place, db: 0, isClusterNode: true },
      commandTimeoutMs,
      healthCheckIntervalMs,
      maxConnections,
      ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
    })
  }
}

interface Node {
  readonly address: Address
  readonly connection: RedisConnection
}

function nothing(): undefined {
  return undefined
}

function unknown(cause: unknown): RedisConnectionError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new RedisConnectionError(`no node of the Redis Cluster says who serves what${why}`, { cause })
}
