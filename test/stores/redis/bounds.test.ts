/** What one call asks of Redis at a time, however much it is about. */
import { Redis } from 'ioredis'
import { createCache, type CacheManager } from 'tidemark'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { Wire } from '../../helpers/wire.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const NAMES = Array.from({ length: 2500 }, (_, i) => `tag-${i}-${'x'.repeat(100)}`)

let server: RedisServer
const open: CacheManager[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.close()))
})

function make(): CacheManager {
  const cache = createCache({ redis: { url: server.url }, logger: SILENT })
  open.push(cache)
  return cache
}

test('names are invalidated a thousand at a time, and all of them are', async () => {
  const [cache, other] = [make(), make()]
  await cache.clear()
  const keys = NAMES.map((_, i) => `key${i}`)
  await Promise.all(keys.map((key, i) => cache.set(key, i, { tags: [NAMES[i]!] })))
  const wire = await Wire.tap(server)
  expect(await wire.during(() => cache.invalidateTags(NAMES))).toEqual(Array(3).fill('EVALSHA INVALIDATE'))
  wire.close()
  expect(await other.exists(keys)).toBe(0)
  expect(await cache.exists(keys)).toBe(0)
})

test('messages are short enough to be told to many', async () => {
  const cache = make()
  const ear = new Redis(server.port, server.host)
  const lengths: number[] = []
  await ear.psubscribe('cache:*')
  ear.on('pmessage', (_pattern, _channel, message: string) => lengths.push(message.length))
  await cache.invalidateTags(NAMES)
  await cache.delete(NAMES)
  await expect.poll(() => lengths.length).toBeGreaterThanOrEqual(3)
  expect(Math.max(...lengths)).toBeLessThan(150_000)
  ear.disconnect()
})

test('keys are removed and looked up 200 entries at a time', async () => {
  const cache = make()
  await cache.delete('warm')
  await cache.exists('warm')
  const wire = await Wire.tap(server)
  const keys = Array.from({ length: 500 }, (_, i) => `nothing${i}`)
  // For each key there are the entry and the parent of its responses.
  expect(await wire.during(() => cache.delete(keys))).toEqual(Array(5).fill('EVALSHA REMOVE'))
  expect(await wire.during(() => cache.exists(keys))).toEqual(Array(5).fill('EVALSHA HEADERS'))
  wire.close()
})
