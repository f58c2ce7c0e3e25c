/** What is on hold is not filled before the end of the hold, also if Redis drops the holds for room. */
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from 'vitest'
import { CacheConfigurationError, createCache, type CacheManager } from 'tidemark'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const HOLDS = 'cache:{#0}h'

let server: RedisServer
let cache: CacheManager

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  await server.flush()
  cache = createCache({ redis: { url: server.url }, logger: SILENT })
})
afterEach(() => cache.close())

/** Whether a load that bears `tag` is stored. */
async function isStored(tag: string): Promise<boolean> {
  const token = await cache.begin(`k of ${tag}`)
  return token.set('a row of a replica that lags', { tags: [tag] })
}

test('holds that were evicted are on everything, until the last of them ends', async () => {
  await cache.invalidateTags('t', { holdFor: '1m' })
  await cache.invalidateTags('brief', { holdFor: '50ms' })
  expect(await isStored('other')).toBe(true)
  await server.call('DEL', HOLDS)
  expect([await isStored('t'), await isStored('other')]).toEqual([false, false])
})

test('it ends by the clock of the server', async () => {
  await cache.invalidateTags('t', { holdFor: '300ms' })
  await server.call('DEL', HOLDS)
  expect(await isStored('t')).toBe(false)
  await expect.poll(() => isStored('t'), { timeout: 5000 }).toBe(true)
})

test('a hold that comes after the loss does not end it for the others', async () => {
  await cache.invalidateTags('t', { holdFor: '1m' })
  await server.call('DEL', HOLDS)
  await cache.invalidateTags('other', { holdFor: '1ms' })
  expect(await isStored('t')).toBe(false)
})

test('something else in their place, too', async () => {
  await cache.invalidateTags('t', { holdFor: '1m' })
  await server.call('SET', HOLDS, 'of another program')
  expect(await isStored('t')).toBe(false)
  await cache.invalidateTags('other')
  expect(await isStored('t')).toBe(false)
})

test('lost stamps leave the holds as they are', async () => {
  await cache.invalidateTags('t', { holdFor: '1m' })
  await server.call('DEL', HOLDS, 'cache:{#0}t')
  expect(await isStored('t')).toBe(false)
})

test.each(['25h', 1e18, '1d'])('holdFor: %s', async (holdFor) => {
  const call = cache.invalidateTags('t', { holdFor: holdFor as '1d' })
  if (holdFor === '1d') return expect(call).resolves.toBeUndefined()
  await expect(call).rejects.toBeInstanceOf(CacheConfigurationError)
  return expect(call).rejects.toThrow('of 1d at most')
})
