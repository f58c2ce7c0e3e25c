/** Redis stores on one server, each with a connection of its own, as different processes have them. */
import { systemClock } from '../../src/clock.ts'
import { Codec } from '../../src/codec/codec.ts'
import { RedisStore, type RedisStoreOptions } from '../../src/stores/redis/redis-store.ts'
import { Connections, type Kind } from './connections.ts'
import type { RedisServer } from './redis.ts'

export class RedisStores {
  readonly #server: RedisServer
  readonly #kind: Kind
  readonly #connections = new Connections()

  constructor(server: RedisServer, kind: Kind = 'own') {
    this.#server = server
    this.#kind = kind
  }

  open(options: Partial<RedisStoreOptions> = {}): RedisStore {
    return new RedisStore({
      connection: this.#connections.of(this.#kind, this.#server),
      codec: new Codec({}),
      keyPrefix: 'test:',
      stampsMs: 86_400_000,
      clock: systemClock,
      decodeResponses: true,
      onFailover: 'invalidate',
      ...options,
    })
  }

  closeAll(): Promise<void> {
    return this.#connections.closeAll()
  }
}
