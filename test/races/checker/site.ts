/** The Redis of a run: one server, a cluster whose slots and masters change, or a primary with sentinels. */
import { setTimeout as sleep } from 'node:timers/promises'
import { hashTag, SHARDS } from '../../../src/key.ts'
import { slotOf } from '../../../src/stores/redis/slots.ts'
import { moveSlot, startRedisCluster, type RedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { startSentinelGroup, type SentinelGroup } from '../../helpers/sentinel.ts'
import type { Random } from './random.ts'
import { now } from './time.ts'

export const TOPOLOGIES = ['single', 'cluster', 'sentinel'] as const
export type Topology = (typeof TOPOLOGIES)[number]

/** A slot moves while it is in use; a master is killed and replaced; a master that is well is replaced. */
export type SiteChange = 'move slot' | 'kill master' | 'hand over'

/** How a cache is told where a Redis is that is more than one server. */
export type Place =
  | { readonly cluster: readonly string[] }
  | { readonly sentinel: { readonly name: string; readonly nodes: readonly string[] } }

export interface Site {
  /** Where the proxies of a single server lead. */
  readonly target: { readonly host: string; readonly port: number }
  readonly redis: Place | undefined
  /** Resolves when it is over, and everything is as redundant as before. */
  change(kind: SiteChange, random: Random): Promise<void>
  /** The same server, without data. */
  restart(): Promise<void>
  /** A command to every master. */
  call(name: string, ...args: readonly string[]): Promise<unknown>
  flush(): Promise<void>
  stop(): Promise<void>
}

export async function openSite(topology: Topology): Promise<Site> {
  if (topology === 'cluster') return new ClusterSite(await startRedisCluster({ masters: 3, replicas: 1 }))
  if (topology === 'sentinel') return new SentinelSite(await startSentinelGroup())
  return new SingleSite(await startRedis())
}

/** Redis gives up a `CLUSTER FAILOVER` after so long. */
const HAND_OVER_MS = 5000

class SingleSite implements Site {
  readonly redis = undefined
  readonly target: RedisServer

  constructor(server: RedisServer) {
    this.target = server
  }

  change(kind: SiteChange): Promise<void> {
    return Promise.reject(new Error(`one server knows no '${kind}'`))
  }

  restart(): Promise<void> {
    return this.target.restart()
  }

  call(name: string, ...args: readonly string[]): Promise<unknown> {
    return this.target.call(name, ...args)
  }

  flush(): Promise<void> {
    return this.target.flush()
  }

  stop(): Promise<void> {
    return this.target.stop()
  }
}

class ClusterSite implements Site {
  readonly target: RedisServer
  readonly redis: Place
  readonly #cluster: RedisCluster
  readonly #nodes: readonly RedisServer[]

  constructor(cluster: RedisCluster) {
    this.#cluster = cluster
    this.#nodes = [...cluster.masters, ...cluster.replicas.flat()]
    this.target = cluster.masters[0]!
    this.redis = { cluster: this.#nodes.map(({ host, port }) => `${host}:${port}`) }
  }

  async change(kind: SiteChange, random: Random): Promise<void> {
    const masters = await this.#masters()
    if (kind === 'move slot') return this.#move(random, masters)
    const master = random.pick(masters)
    const replica = await this.#replicaOf(master)
    // A replica that has not heard of the last move takes over without that slot, and its master stays one, for that slot.
    await until('one view of the slots', () => this.#isAgreed())
    if (kind === 'hand over') {
      await this.#handOverTo(replica)
    } else {
      await master.kill()
      await until('a new master', async () => (await this.#masters([replica])).includes(replica))
      await master.restart()
    }
    await until('a replica', async () => isFollowing(master))
    await until('agreement', async () => (await Promise.all(this.#nodes.map(isWell))).every(Boolean))
  }

  restart(): Promise<void> {
    return Promise.reject(new Error("a cluster has 'kill master'"))
  }

  async call(name: string, ...args: readonly string[]): Promise<unknown> {
    return Promise.all((await this.#masters()).map((master) => master.call(name, ...args)))
  }

  async flush(): Promise<void> {
    await this.call('FLUSHALL')
  }

  stop(): Promise<void> {
    return this.#cluster.stop()
  }

  async #handOverTo(replica: RedisServer): Promise<void> {
    let askedAt = -Infinity
    await until('hand over', async () => {
      if ((await this.#masters([replica])).includes(replica)) return true
      // It is given up in silence if it takes too long.
      if (now() - askedAt < HAND_OVER_MS) return false
      askedAt = now()
      await replica.call('CLUSTER', 'FAILOVER')
      return false
    })
  }

  async #move(random: Random, masters: readonly RedisServer[]): Promise<void> {
    const slot = slotOf(hashTag(random.below(SHARDS)))
    const from = await this.#ownerOf(slot)
    const to = random.pick(masters.filter((master) => master !== from))
    await moveSlot({ masters }, slot, [from, to])
  }

  async #ownerOf(slot: number): Promise<RedisServer> {
    const range = (await this.#ranges(this.#nodes)).find(({ first, last }) => first <= slot && slot <= last)
    return range!.master
  }

  /** @param asked whom to ask who they are, one after the other until one answers */
  async #masters(asked: readonly RedisServer[] = this.#nodes): Promise<readonly RedisServer[]> {
    return [...new Set((await this.#ranges(asked)).map(({ master }) => master))]
  }

  async #ranges(asked: readonly RedisServer[]): Promise<readonly Range[]> {
    const [first] = asked
    const reply = (await first!.call('CLUSTER', 'SLOTS')) as readonly [number, number, [string, number]][]
    return reply.map(([from, to, [, port]]) => {
      return { first: from, last: to, master: this.#nodes.find((node) => node.port === port)! }
    })
  }

  async #isAgreed(): Promise<boolean> {
    const views = await Promise.all(this.#nodes.map((node) => this.#ranges([node])))
    const [first, ...others] = views.map((ranges) =>
      JSON.stringify(
        ranges.map(({ first: from, last, master }) => [from, last, master.port]).toSorted((a, b) => a[0]! - b[0]!),
      ),
    )
    return others.every((view) => view === first)
  }

  async #replicaOf(master: RedisServer): Promise<RedisServer> {
    const following = await Promise.all(
      this.#nodes.map(async (node) => node !== master && (await isFollowing(node, master))),
    )
    return this.#nodes[following.indexOf(true)]!
  }
}

interface Range {
  readonly first: number
  readonly last: number
  readonly master: RedisServer
}

class SentinelSite implements Site {
  readonly target: RedisServer
  readonly redis: Place
  readonly #group: SentinelGroup

  constructor(group: SentinelGroup) {
    this.#group = group
    this.target = group.primary
    this.redis = { sentinel: { name: group.name, nodes: group.nodes } }
  }

  async change(kind: SiteChange): Promise<void> {
    const primary = await this.#primary()
    const other = primary === this.#group.primary ? this.#group.replica : this.#group.primary
    if (kind === 'hand over') await this.#group.failOver()
    else await primary.kill()
    await until('a new primary', async () => (await this.#group.primaryPort()) === other.port)
    if (kind === 'kill master') {
      await primary.restart()
      // Sooner than the sentinels say so.
      await primary.call('REPLICAOF', other.host, String(other.port))
    }
    await until('a replica', () => isFollowing(primary, other))
    await until('sentinels that know it', () => this.#isKnownWell(primary))
  }

  restart(): Promise<void> {
    return Promise.reject(new Error("behind Sentinel there is 'kill master'"))
  }

  async call(name: string, ...args: readonly string[]): Promise<unknown> {
    return (await this.#primary()).call(name, ...args)
  }

  async flush(): Promise<void> {
    await this.call('FLUSHALL')
  }

  stop(): Promise<void> {
    return this.#group.stop()
  }

  async #primary(): Promise<RedisServer> {
    const port = await this.#group.primaryPort()
    return port === this.#group.primary.port ? this.#group.primary : this.#group.replica
  }

  async #isKnownWell(replica: RedisServer): Promise<boolean> {
    const [facts = []] = (await this.#group.ask('SENTINEL', 'REPLICAS', this.#group.name)) as string[][]
    const field = (name: string): string | undefined => facts[facts.indexOf(name) + 1]
    return field('port') === String(replica.port) && field('flags') === 'slave'
  }
}

/** In step with `master`, or with any. */
async function isFollowing(node: RedisServer, master?: RedisServer): Promise<boolean> {
  const facts = String(await node.call('INFO', 'replication'))
  const isOf = master === undefined || facts.includes(`master_port:${master.port}\r`)
  return isOf && facts.includes('role:slave') && facts.includes('master_link_status:up')
}

async function isWell(node: RedisServer): Promise<boolean> {
  const nodes = String(await node.call('CLUSTER', 'NODES'))
  return !nodes.includes('fail') && String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok')
}

async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const giveUpAt = now() + 40_000
  while (!(await isTrue().catch(() => false))) {
    if (now() > giveUpAt) throw new Error(`there was no ${what} within 40 s`)
    await sleep(20)
  }
}
