/** Behind Sentinel a cache finds the primary by itself, and the next one when that has died. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, RedisConnectionError, type ApplicationConfig, type CacheManager } from 'tidemark'
import { startSentinelGroup, type SentinelGroup } from '../../helpers/sentinel.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
let group: SentinelGroup
const caches: CacheManager[] = []

beforeEach(async () => {
  group = await startSentinelGroup()
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await group.stop()
})

function open(redis: Partial<Exclude<ApplicationConfig['redis'], false | undefined>> = {}, l1 = false): CacheManager {
  const { name, nodes } = group
  const cache = createCache({
    redis: { sentinel: { name, nodes }, socketTimeout: '500ms', ...redis },
    cache: { l1: l1 && { maxStaleness: '200ms' } },
    logger: SILENT,
  })
  caches.push(cache)
  return cache
}

const isDone = (promise: Promise<unknown>): Promise<boolean> =>
  promise.then(
    () => true,
    () => false,
  )

test('the primary dies: loads go on, what was stored is invalid, and the next one is used without a restart', async () => {
  const [cache, near] = [open(), open({}, true)]
  await cache.set('k', 'old', { tags: ['t'] })
  expect(await near.get('k')).toBe('old')
  await group.primary.kill()
  expect(await cache.getOrSet('other', () => 'loaded')).toBe('loaded')
  await expect(cache.invalidateTags('unrelated')).rejects.toThrow(RedisConnectionError)
  await expect.poll(() => isDone(cache.set('new', 1)), { timeout: 20_000 }).toBe(true)
  // The sentinel that is asked may hear of it a moment later than the one that told the cache.
  await expect.poll(() => group.primaryPort(), { timeout: 10_000 }).toBe(group.replica.port)
  expect(await cache.get('k')).toBeUndefined()
  expect(await cache.get('new')).toBe(1)
  await expect.poll(() => near.get('k').catch(() => 'not there yet'), { timeout: 10_000 }).toBeUndefined()
  await cache.set('m', 1, { tags: ['t'] })
  await expect.poll(() => near.get('m')).toBe(1)
  await cache.invalidateTags('t', { strict: true })
  expect(await near.get('m')).toBeUndefined()
}, 60_000)

test("with 'trust' the entries are still there", async () => {
  const cache = open({ onFailover: 'trust' })
  await cache.set('k', 'old')
  await expect.poll(() => group.replica.call('DBSIZE')).toBeGreaterThan(2)
  await group.primary.kill()
  await expect.poll(() => isDone(cache.set('new', 1)), { timeout: 20_000 }).toBe(true)
  expect(await cache.get('k')).toBe('old')
}, 60_000)

test('a primary that is well is replaced: writes follow', async () => {
  const [cache, near] = [open(), open({}, true)]
  await cache.set('k', 'old', { tags: ['t'] })
  expect(await near.get('k')).toBe('old')
  await group.failOver()
  await expect.poll(() => group.primaryPort(), { timeout: 20_000 }).toBe(group.replica.port)
  await expect.poll(() => isDone(cache.set('k', 'new', { tags: ['t'] })), { timeout: 20_000 }).toBe(true)
  await expect.poll(() => near.get('k').catch(() => undefined), { timeout: 5000 }).toBe('new')
  await cache.invalidateTags('t', { strict: true })
  expect(await near.get('k')).toBeUndefined()
}, 60_000)

test('a primary that is well is replaced: what is invalidated at the next one is not read at the old one', async () => {
  const [cache, near] = [open(), open({}, true)]
  await cache.set('k', 'old', { tags: ['t'] })
  expect(await near.get('k')).toBe('old')
  await group.failOver()
  await expect.poll(() => group.primaryPort(), { timeout: 20_000, interval: 5 }).toBe(group.replica.port)
  // Who connects now is led to the next one; the old one takes writes for some ten seconds more.
  const fresh = open()
  await expect.poll(() => isDone(fresh.invalidateTags('t'))).toBe(true)
  for (const one of [cache, near]) {
    await expect.poll(() => one.get('k').catch(() => 'not there yet'), { timeout: 6000 }).toBeUndefined()
  }
}, 60_000)

test('a sentinel that is not there is passed over; if none is, it says so', async () => {
  const { name, nodes } = group
  const cache = open({ sentinel: { name, nodes: ['127.0.0.1:1', ...nodes] } })
  await cache.set('k', 1)
  expect(await cache.get('k')).toBe(1)
  await expect(open({ sentinel: { name, nodes: ['127.0.0.1:1'] } }).get('k')).rejects.toThrow(
    /sentinel 127\.0\.0\.1:1 /,
  )
  await expect(open({ sentinel: { name: 'unknown', nodes } }).get('k')).rejects.toThrow(/No such master/)
}, 60_000)
