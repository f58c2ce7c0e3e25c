/** Memory in front of Redis (L1) is served on the word of the very server that commands go to, and of no other. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const CHANNEL = 'cache:{#0}x:0'

let old: RedisServer
let next: RedisServer
let target: { host: string; port: number }
let proxy: FaultProxy
/** It writes where the address leads after it has passed to the other server. */
let writer: CacheManager
const caches: CacheManager[] = []

beforeEach(async () => {
  ;[old, next] = await Promise.all([startRedis(), startRedis()])
  target = { host: old.host, port: old.port }
  proxy = await startFaultProxy({ target })
  writer = open(next, false)
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await proxy.close()
  await Promise.all([old.stop(), next.stop()])
})

function open(
  { host, port }: { host: string; port: number },
  l1: boolean,
  onFailover: 'invalidate' | 'trust' = 'invalidate',
): CacheManager {
  const redis = { host, port, onFailover, healthCheckInterval: 0 }
  const cache = createCache({ redis, cache: { l1: l1 && { maxStaleness: '200ms' } }, logger: SILENT })
  caches.push(cache)
  return cache
}

/** How many listen there. */
async function ears(server: RedisServer): Promise<number> {
  const [, count] = (await server.call('PUBSUB', 'NUMSUB', CHANNEL)) as [string, number]
  return count
}

/** Waits until hits of `k` ask that server for nothing. */
async function servedFromMemory(cache: CacheManager, server: RedisServer): Promise<void> {
  const asked = async (): Promise<unknown> => {
    await cache.get('k')
    await server.resetStats()
    expect(await cache.get('k')).toBeDefined()
    return (await server.commandStats())['mget']
  }
  await expect.poll(asked, { timeout: 15_000, interval: 20 }).toBeUndefined()
}

/** Commands are led to the other server; who listens to the old one stays there, and is answered. */
async function passAddress(cache: CacheManager): Promise<void> {
  target.port = next.port
  await old.call('CLIENT', 'KILL', 'TYPE', 'normal')
  const set = (): Promise<unknown> => cache.set('k', 'new', { tags: ['t'] }).then(() => 'set')
  await expect.poll(() => set().catch(() => 'unreachable'), { timeout: 5000 }).toBe('set')
  expect(await ears(old)).toBe(1)
}

test.each(['invalidate', 'trust'] as const)(
  '%s: an address that passes to another server takes those who listen along, though the old server lives on',
  async (onFailover) => {
    const cache = open(proxy, true, onFailover)
    await cache.set('k', 'old')
    await servedFromMemory(cache, old)
    await passAddress(cache)
    await servedFromMemory(cache, next)
    expect(await ears(old)).toBe(0)
    await writer.delete('k')
    await expect.poll(() => cache.get('k')).toBeUndefined()
  },
)

test('also where the old server has become a replica of the other one, and hands on what is said there', async () => {
  const cache = open(proxy, true)
  await cache.set('k', 'old')
  await servedFromMemory(cache, old)
  await old.call('REPLICAOF', next.host, String(next.port))
  await expect
    .poll(async () => String(await old.call('INFO', 'replication')), { timeout: 15_000 })
    .toContain('master_link_status:up')
  await passAddress(cache)
  await servedFromMemory(cache, next)
  expect(await ears(old)).toBe(0)
})
