/** A cluster as one connection, for what is no store: each script goes to the node that its first key is on. */
import { strictlyWithin } from '../../deadline.ts'
import { hashTag, SHARDS } from '../../key.ts'
import type { Argument, Reply } from './client.ts'
import type { Cluster } from './cluster.ts'
import type { RedisConnection, Script } from './connection.ts'
import { ShardConnection } from './shard-connection.ts'
import { slotOf } from './slots.ts'

export class ClusterConnection {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Throws like that of a connection. */
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<Reply> {
    return new ShardConnection(this.#cluster, slotOf(keys[0] ?? '')).run(script, keys, args)
  }

  /** The connections to all nodes that serve slots. */
  servers(): Promise<readonly RedisConnection[]> {
    return this.#cluster.masters()
  }

  /** The hash tags of the shards that a server serves: where keys may be put there. */
  hashTagsOf(server: RedisConnection): readonly string[] {
    return Array.from({ length: SHARDS }, (_, shard) => hashTag(shard)).filter(
      (tag) => this.#cluster.ownerOf(slotOf(tag)) === server,
    )
  }

  /**
   * Resolves when every node that serves slots has answered.
   *
   * @throws {RedisConnectionError} if one of them does not, within the deadline
   */
  async reach(): Promise<void> {
    const asking = this.servers().then((servers) => Promise.all(servers.map((server) => server.reach())))
    await strictlyWithin(asking, { since: performance.now(), budgetMs: this.#cluster.commandTimeoutMs })
  }

  /** True if every node that serves slots answers within the deadline. Never rejects. */
  ping(): Promise<boolean> {
    return this.reach().then(
      () => true,
      () => false,
    )
  }
}
