/** A primary with a replica, and sentinels that put the replica in its place when it dies. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { findRedisServer } from '../../scripts/find-redis.mjs'
import { freePort, startRedis, type RedisServer } from './redis.ts'

export interface SentinelGroup {
  readonly name: string
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** `host:port` of each sentinel. */
  readonly nodes: readonly string[]
  /** The port of the primary, as the sentinels see it. */
  primaryPort(): Promise<number>
  /** A command to the sentinels. */
  ask(...command: [string, ...string[]]): Promise<unknown>
  /** `SENTINEL FAILOVER`: a replica takes over from a primary that is well. */
  failOver(): Promise<void>
  stop(): Promise<void>
}

const NAME = 'cache'
const HOST = '127.0.0.1'
const DOWN_AFTER_MS = 500

export async function startSentinelGroup({
  sentinels = 3,
  args = [] as readonly string[],
} = {}): Promise<SentinelGroup> {
  const primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...args] })
  const replica = await startRedis({
    args: ['--replicaof', primary.host, String(primary.port), '--repl-diskless-sync-delay', '0', ...args],
  })
  await until(async () => String(await replica.call('INFO', 'replication')).includes('master_link_status:up'))
  const running = await Promise.all(
    Array.from({ length: sentinels }, () => startSentinel(primary, Math.floor(sentinels / 2) + 1)),
  )
  const ask = (...command: [string, ...string[]]): Promise<unknown> => running[0]!.admin.call(...command)
  // Before that nobody can be elected.
  await Promise.all(
    running.map(({ admin }) => until(async () => knowsAll(await admin.call('SENTINEL', 'MASTER', NAME), sentinels))),
  )
  return {
    name: NAME,
    primary,
    replica,
    nodes: running.map(({ port }) => `${HOST}:${port}`),
    ask,
    primaryPort: async () => Number(((await ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as [string, string])[1]),
    failOver: async () => void (await ask('SENTINEL', 'FAILOVER', NAME)),
    stop: async () => {
      await Promise.all(running.map((one) => one.end()))
      await Promise.all([primary.stop(), replica.stop()])
    },
  }
}

function knowsAll(reply: unknown, sentinels: number): boolean {
  const facts = reply as readonly string[]
  const field = (name: string): string | undefined => facts[facts.indexOf(name) + 1]
  return field('num-slaves') === '1' && field('num-other-sentinels') === String(sentinels - 1)
}

interface Sentinel {
  readonly port: number
  readonly admin: Redis
  end(): Promise<void>
}

async function startSentinel(primary: RedisServer, quorum: number): Promise<Sentinel> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-sentinel-'))
  const port = await freePort()
  const file = join(directory, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    `bind ${HOST}`,
    `dir ${directory}`,
    `sentinel monitor ${NAME} ${primary.host} ${primary.port} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${NAME} 3000`,
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const child = spawn(await findRedisServer(), [file, '--sentinel'], { stdio: 'ignore' })
  // When this process dies, in whatever way, the pipe closes and the guard clears up.
  const clearUp = ['-c', 'cat; kill -9 "$0"; rm -rf "$1"', String(child.pid), directory]
  const guard = spawn('/bin/sh', clearUp, { stdio: ['pipe', 'ignore', 'ignore'] })
  for (const handle of [child, guard]) handle.unref()
  ;(guard.stdin as unknown as { unref(): void }).unref()
  const admin = new Redis({
    host: HOST,
    port,
    protocol: 2,
    disableClientInfo: true,
    enableReadyCheck: false,
    retryStrategy: () => 20,
  })
  admin.on('error', () => undefined)
  return {
    port,
    admin,
    async end() {
      admin.disconnect()
      guard.kill('SIGKILL')
      const exited = once(child, 'exit')
      child.ref()
      child.kill('SIGKILL')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 20_000
  while (!(await isTrue().catch(() => false))) {
    if (performance.now() > giveUpAt) throw new Error('the sentinels did not come up within 20 s')
    await sleep(20)
  }
}
