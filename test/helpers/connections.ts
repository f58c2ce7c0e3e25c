/** Connections over each kind of client, to the same server, with deadlines that suit tests. */
import { Redis, type RedisOptions } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import type { ServerOptions } from '../../src/stores/redis/client.ts'
import { RedisConnection } from '../../src/stores/redis/connection.ts'

/** Our own client, and those a user may bring; iovalkey is a fork of ioredis, under the same port. */
export const KINDS = ['own', 'ioredis', 'iovalkey', 'node-redis'] as const
export type Kind = (typeof KINDS)[number]

interface Address {
  readonly host: string
  readonly port: number
}

export interface Behaviour {
  readonly commandTimeoutMs?: number
  readonly healthCheckIntervalMs?: number
  readonly maxConnections?: number
  readonly idleTimeoutMs?: number
}

const BEHAVIOUR = { commandTimeoutMs: 5000, healthCheckIntervalMs: 0, maxConnections: 50 }

/** What a test opened, to be closed when it ends. */
export class Connections {
  readonly #closers: (() => unknown)[] = []

  /** A connection of our own. */
  own(server: Address & Partial<ServerOptions>, behaviour: Behaviour = {}): RedisConnection {
    const options = { db: 0, ssl: false, keepAlive: true, connectTimeoutMs: 5000, ...server }
    return this.#keep(new RedisConnection({ ...BEHAVIOUR, ...behaviour, server: options }))
  }

  over(client: unknown, behaviour: Behaviour = {}): RedisConnection {
    return this.#keep(new RedisConnection({ ...BEHAVIOUR, ...behaviour, client }))
  }

  of(kind: Kind, address: Address, behaviour: Behaviour = {}): RedisConnection {
    if (kind === 'own') return this.own(address, behaviour)
    return this.over(this.client(kind, address), behaviour)
  }

  /** A user's client. */
  client(kind: Exclude<Kind, 'own'>, address: Address): Redis | Valkey | ReturnType<typeof createClient> {
    if (kind === 'node-redis') return this.nodeRedis(address)
    return kind === 'ioredis' ? this.ioredis(address) : this.iovalkey(address)
  }

  /** A user's ioredis client as it comes, but for quicker retries. */
  ioredis({ host, port }: Address, options: Pick<RedisOptions, 'enableReadyCheck'> = {}): Redis {
    const client = new Redis({ host, port, lazyConnect: true, retryStrategy: () => 20, ...options })
    this.#closers.push(() => client.disconnect())
    // After ours has gone.
    client.on('error', () => undefined)
    return client
  }

  iovalkey({ host, port }: Address): Valkey {
    const client = new Valkey({ host, port, lazyConnect: true, retryStrategy: () => 20 })
    this.#closers.push(() => client.disconnect())
    client.on('error', () => undefined)
    return client
  }

  nodeRedis(address: Address): ReturnType<typeof createClient> {
    const client = createClient({ socket: { ...address, reconnectStrategy: () => 20 } }) as ReturnType<
      typeof createClient
    >
    this.#closers.push(() => client.destroy())
    client.on('error', () => undefined)
    return client
  }

  async closeAll(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close()
  }

  #keep(connection: RedisConnection): RedisConnection {
    this.#closers.push(() => connection.close())
    return connection
  }
}
