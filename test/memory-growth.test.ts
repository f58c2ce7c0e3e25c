/** What a cache remembers of keys it no longer holds: nothing. Each case leaves thousands behind and looks at the heap. */
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createCache, type CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { expect, test } from 'vitest'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc') as () => void

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const KEYS = 2000
/** Keys are long, so that what keeps one shows: a kilobyte each, where the heap itself moves by some hundred KB. */
const LONG = 'x'.repeat(1000)
const LIMIT = 1_000_000

async function grownBy(work: (key: string) => Promise<unknown>): Promise<number> {
  const round = async (name: string, keys: number): Promise<void> => {
    for (let i = 0; i < keys; i += 100) {
      await Promise.allSettled(Array.from({ length: 100 }, (_, j) => work(`${name}-${i + j}-${LONG}`)))
    }
    await new Promise(setImmediate)
    collectGarbage()
  }
  await round('warm-up', 1000)
  const before = process.memoryUsage().heapUsed
  await round('counted', KEYS)
  return process.memoryUsage().heapUsed - before
}

const clock = new ManualClock()
const small = { memory: { maxEntries: 100 } }
const inMemory = (): CacheManager => createCache({ redis: false, clock, logger: SILENT, cache: small })
const withoutRedis = (): CacheManager => createCache({ redis: { url: 'redis://127.0.0.1:1' }, logger: SILENT })

test.each<[string, () => CacheManager, (cache: CacheManager, key: string) => Promise<unknown>]>([
  ['loads', inMemory, (cache, key) => cache.getOrSet(key, () => 1, { tags: ['red'] })],
  ['loads that are skipped', inMemory, (cache, key) => cache.getOrSet(key, ({ skip }) => skip())],
  ['loads that fail', inMemory, (cache, key) => cache.getOrSet(key, () => Promise.reject(new Error('down')))],
  ['loads that are late', inMemory, late],
  ['loads that were overtaken', inMemory, (cache, key) => cache.getOrSet(key, () => cache.delete(key))],
  ['refreshes', inMemory, refresh],
  ['what cannot be stored', inMemory, (cache, key) => cache.getOrSet<unknown>(key, () => () => 1)],
  ['sets and deletes', inMemory, (cache, key) => cache.set(key, 1).then(() => cache.delete(key))],
  ['tokens', inMemory, (cache, key) => cache.begin(key).then((token) => token.release())],
  ['misses', inMemory, (cache, key) => cache.get(key)],
  ['an outage', withoutRedis, (cache, key) => cache.getOrSet(key, () => 1)],
  ['an outage of many namespaces', withoutRedis, (cache, key) => cache.getOrSet(key, () => 1, { namespace: key })],
])('nothing is left behind by %s', async (_, make, work) => {
  const cache = make()
  expect(await grownBy((key) => work(cache, key))).toBeLessThan(LIMIT)
  await cache.close()
})

async function late(cache: CacheManager, key: string): Promise<void> {
  const value = sleep(3, 1)
  await cache.getOrSet(key, () => value, { hardTimeout: '1ms' }).catch(() => {})
  await value
}

async function refresh(cache: CacheManager, key: string): Promise<void> {
  await cache.set(key, 1, { ttl: 1, swr: '1d' })
  clock.advance('2s')
  await cache.getOrSet(key, () => 2)
}
