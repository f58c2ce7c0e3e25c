/** A server with a full disk refuses writes, and PING along with them; it is read all the same. */
import { createCache, type CacheManager } from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections, KINDS } from '../../helpers/connections.ts'
import { failDumps, MAY_FAIL_DUMPS } from '../../helpers/misconf.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const LOGGER = { info: () => {}, warn: () => {}, error: () => {} }
const connections = new Connections()
const caches: CacheManager[] = []
let server: RedisServer

beforeEach(async () => {
  server = await startRedis({ args: MAY_FAIL_DUMPS })
})
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await connections.closeAll()
  await server.stop()
})

/** A cache for which there is one entry, `stored`. */
async function openCache(redis: object): Promise<CacheManager> {
  const cache = createCache({ redis: { socketTimeout: '300ms', ...redis }, logger: LOGGER })
  caches.push(cache)
  await cache.set('stored', 'before')
  return cache
}

test('after the connection was lost hits go on, and it is well; an invalidation rejects', async () => {
  const cache = await openCache({ host: server.host, port: server.port })
  await failDumps(server)
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
  await expect.poll(() => cache.get('stored').catch(() => undefined), { timeout: 5000 }).toBe('before')
  expect(await cache.ping()).toBe(true)
  expect(await cache.health()).toMatchObject({ ok: true, breaker: 'closed' })
  await expect(cache.delete('stored')).rejects.toMatchObject({ replyCode: 'MISCONF' })
  expect(await cache.health()).toMatchObject({ ok: true, undelivered: 1 })
})

test('an application that must not start without Redis starts', async () => {
  await openCache({ host: server.host, port: server.port })
  await failDumps(server)
  const cache = createCache({ redis: { host: server.host, port: server.port, failFast: true }, logger: LOGGER })
  caches.push(cache)
  await cache.ready()
  expect(await cache.get('stored')).toBe('before')
})

describe.each(KINDS)('%s', (kind) => {
  test('one that was silent is used again', async () => {
    const proxy = await startFaultProxy({ target: server })
    const connection = connections.of(kind, proxy, { commandTimeoutMs: 200 })
    await connection.send(['SET', 'stored', 'before'])
    await failDumps(server)
    proxy.stall()
    await expect(connection.send(['GET', 'stored'])).rejects.toThrow('did not answer')
    proxy.resume()
    await expect.poll(() => connection.send(['GET', 'stored']).then(String, () => ''), { timeout: 5000 }).toBe('before')
    await connections.closeAll()
    await proxy.close()
  })
})
