/** What a replica that takes over lacks, and what it does not: exactly the writes that had not been replicated. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCache, RedisConnectionError, type CacheManager, type RedisConfig } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let primary: RedisServer
let replica: RedisServer
/** Between the two servers. */
let replication: FaultProxy
/** Between the caches and whoever is the primary, as Sentinel or a managed service leads them. */
let way: FaultProxy
let target: { host: string; port: number }
let caches: CacheManager[]

beforeEach(async () => {
  caches = []
  primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
  replication = await startFaultProxy({ target: primary })
  replica = await startRedis({ args: ['--replicaof', replication.host, String(replication.port)] })
  target = { host: primary.host, port: primary.port }
  way = await startFaultProxy({ target })
  await expect.poll(inStep, { timeout: 10_000 }).toBe(true)
})
afterEach(async () => {
  await Promise.all(caches.map((cache) => cache.close()))
  await Promise.all([way.close(), replication.close(), primary.stop(), replica.stop()])
})

function open(onFailover: RedisConfig['onFailover']): CacheManager {
  const redis: RedisConfig = { host: way.host, port: way.port, socketTimeout: '1s' }
  const cache = createCache({ redis: { ...redis, ...(onFailover && { onFailover }) }, logger: SILENT })
  caches.push(cache)
  return cache
}

/** The replica has all that the primary has. */
async function inStep(): Promise<boolean> {
  const facts = String(await primary.call('INFO', 'replication'))
  const offset = /master_repl_offset:(\d+)/.exec(facts)![1]!
  return facts.includes('state=online') && facts.includes(`offset=${offset},`)
}

/** From now on nothing is replicated. */
function cutReplication(): void {
  replication.stall()
}

async function failOver(): Promise<void> {
  await primary.kill()
  await replica.call('REPLICAOF', 'NO', 'ONE')
  target.port = replica.port
  way.cut()
}

/** What is there of these keys, once it can be asked. */
async function found(cache: CacheManager, keys: readonly string[]): Promise<Record<string, unknown>> {
  await expect.poll(() => cache.ping(), { timeout: 10_000 }).toBe(true)
  const values = await cache.getMany(keys)
  return Object.fromEntries(keys.map((key, i) => [key, values[i]]))
}

/** Entries and invalidations that are replicated, and others that are answered and are not. */
async function work(cache: CacheManager): Promise<void> {
  await cache.set('kept', 'old', { tags: ['white'] })
  await cache.set('invalidated', 'old', { tags: ['red'] })
  await cache.set('deleted', 'old')
  await cache.set('invalidated late', 'old', { tags: ['blue'] })
  await cache.set('deleted late', 'old')
  await cache.set('invalidated never', 'old', { tags: ['green'] })
  await cache.invalidateTags('red')
  await cache.delete('deleted')
  await expect.poll(inStep, { timeout: 10_000 }).toBe(true)
  cutReplication()
  await cache.invalidateTags('blue')
  await cache.delete('deleted late')
  await cache.set('set late', 'old')
}

const KEYS = ['kept', 'invalidated', 'deleted', 'invalidated late', 'deleted late', 'invalidated never', 'set late']

describe('a replica that takes over', () => {
  test("with 'trust' lacks the writes that were not replicated, and nothing else", async () => {
    await work(open('trust'))
    await failOver()
    expect(await found(open('trust'), KEYS)).toEqual({
      kept: 'old',
      'invalidated never': 'old',
      // Documented: what only the old primary knew.
      'invalidated late': 'old',
      'deleted late': 'old',
      'set late': undefined,
      invalidated: undefined,
      deleted: undefined,
    })
  })

  test("with 'invalidate' brings nothing back", async () => {
    const cache = open('invalidate')
    await work(cache)
    await failOver()
    expect(await found(open('invalidate'), KEYS)).toEqual(Object.fromEntries(KEYS.map((key) => [key, undefined])))
    expect(await found(cache, KEYS)).toEqual(Object.fromEntries(KEYS.map((key) => [key, undefined])))
    await cache.set('kept', 'new')
    expect(await found(cache, ['kept'])).toEqual({ kept: 'new' })
  })

  test.each(['trust', 'invalidate'] as const)(
    'with %s has every invalidation that was rejected meanwhile, as soon as it is back',
    async (onFailover) => {
      const cache = open(onFailover)
      await work(cache)
      await primary.kill()
      await expect(cache.invalidateTags('green')).rejects.toBeInstanceOf(RedisConnectionError)
      await expect(cache.delete('kept')).rejects.toBeInstanceOf(RedisConnectionError)
      await failOver()
      const lost = ['kept', 'invalidated never']
      const none = { kept: undefined, 'invalidated never': undefined }
      expect(await found(cache, lost)).toEqual(none)
      expect(await found(open(onFailover), lost)).toEqual(none)
    },
  )

  test.each(['trust', 'invalidate'] as const)(
    'with %s refuses a load that began before, if its lease was not replicated',
    async (onFailover) => {
      const [cache, other] = [open(onFailover), open(onFailover)]
      await other.set('kept', 'old')
      await expect.poll(inStep, { timeout: 10_000 }).toBe(true)
      cutReplication()
      const token = await cache.begin('loaded')
      await failOver()
      await expect.poll(() => cache.ping(), { timeout: 10_000 }).toBe(true)
      expect(await token.set('old')).toBe(false)
      expect(await found(other, ['loaded'])).toEqual({ loaded: undefined })
    },
  )
})
