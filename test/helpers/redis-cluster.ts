/** A private Redis Cluster: masters that share the slots evenly, and replicas if they are wanted. About two seconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis, freePort, type RedisServer } from './redis.ts'

export interface RedisClusterOptions {
  readonly masters?: number
  /** Of each master. */
  readonly replicas?: number
  /** More arguments for each redis-server. */
  readonly args?: readonly string[]
}

export interface RedisCluster {
  readonly masters: readonly RedisServer[]
  /** The replicas of each master. */
  readonly replicas: readonly (readonly RedisServer[])[]
  /** `host:port` of each master. */
  readonly nodes: readonly string[]
  /** Which master serves a slot, as the cluster was made. */
  masterOf(slot: number): RedisServer
  /** How many times the masters have executed each command since `resetStats`, all together. */
  commandStats(): Promise<Record<string, number>>
  resetStats(): Promise<void>
  flush(): Promise<void>
  stop(): Promise<void>
}

const SLOTS = 16_384
/** A node that has been silent for so long is failing; a replica asks for votes soon after. */
const NODE_TIMEOUT_MS = 1500

export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { masters: count = 3, replicas: perMaster = 0, args = [] } = options
  const start = (): Promise<RedisServer> => startNode(args)
  const masters = await Promise.all(Array.from({ length: count }, start))
  const replicas = await Promise.all(masters.map(() => Promise.all(Array.from({ length: perMaster }, start))))
  const all = [...masters, ...replicas.flat()]

  const firstSlot = (i: number): number => Math.round((i * SLOTS) / count)
  await Promise.all(
    masters.map(async (master, i) => {
      await master.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      await master.call('CLUSTER', 'ADDSLOTSRANGE', String(firstSlot(i)), String(firstSlot(i + 1) - 1))
    }),
  )
  for (const node of all.slice(1)) await meet(masters[0]!, node)
  await Promise.all(all.map((node) => untilKnown(node, all.length)))
  await Promise.all(replicas.flatMap((group, i) => group.map((replica) => replicate(masters[i]!, replica))))
  await Promise.all(all.map(untilUp))

  const sum = async (): Promise<Record<string, number>> => {
    const total: Record<string, number> = {}
    for (const stats of await Promise.all(masters.map((master) => master.commandStats()))) {
      for (const [name, calls] of Object.entries(stats)) total[name] = (total[name] ?? 0) + calls
    }
    return total
  }
  return {
    masters,
    replicas,
    nodes: masters.map(({ host, port }) => `${host}:${port}`),
    masterOf: (slot) => masters.findLast((_, i) => firstSlot(i) <= slot)!,
    commandStats: sum,
    resetStats: async () => void (await Promise.all(masters.map((master) => master.resetStats()))),
    flush: async () => void (await Promise.all(masters.map((master) => master.flush()))),
    stop: async () => void (await Promise.all(all.map((node) => node.stop()))),
  }
}

/** The id by which a node is known in its cluster. */
async function nodeId(node: RedisServer): Promise<string> {
  return String(await node.call('CLUSTER', 'MYID'))
}

async function startNode(args: readonly string[]): Promise<RedisServer> {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(NODE_TIMEOUT_MS)]
  // Otherwise it is the port + 10000, which may be more than there are.
  const bus = ['--cluster-port', String(await freePort())]
  return startRedis({ args: [...cluster, ...bus, '--repl-diskless-sync-delay', '0', ...args] })
}

async function meet(first: RedisServer, other: RedisServer): Promise<void> {
  const [, bus] = (await other.call('CONFIG', 'GET', 'cluster-port')) as [string, string]
  await first.call('CLUSTER', 'MEET', other.host, String(other.port), bus)
}

async function replicate(master: RedisServer, replica: RedisServer): Promise<void> {
  await replica.call('CLUSTER', 'REPLICATE', await nodeId(master))
  await until(async () => String(await replica.call('INFO', 'replication')).includes('master_link_status:up'))
}

function untilKnown(node: RedisServer, count: number): Promise<void> {
  return until(async () => String(await node.call('CLUSTER', 'INFO')).includes(`cluster_known_nodes:${count}`))
}

function untilUp(node: RedisServer): Promise<void> {
  return until(async () => String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 20_000
  while (!(await isTrue())) {
    if (performance.now() > giveUpAt) throw new Error('the cluster did not come up within 20 s')
    await sleep(20)
  }
}

/** Give a slot to another master while everything goes on, as `redis-cli --cluster reshard` does. */
export async function moveSlot(
  cluster: Pick<RedisCluster, 'masters'>,
  slot: number,
  [from, to]: readonly [RedisServer, RedisServer],
): Promise<void> {
  const [fromId, toId] = [await nodeId(from), await nodeId(to)]
  await to.call('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId)
  await from.call('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId)
  for (;;) {
    const keys = (await from.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '2')) as string[]
    if (keys.length === 0) break
    await from.call('MIGRATE', to.host, String(to.port), '', '0', '5000', 'KEYS', ...keys)
    await sleep(1)
  }
  await to.call('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId)
  await Promise.all(cluster.masters.map((node) => node.call('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId)))
}
