/** A fault costs one deadline once: what is counted is what was sent to the server that is silent, and who waits. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { createCache, type CacheManager, type RedisConfig } from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { jittered } from '../../../src/jitter.ts'
import { Connections, KINDS, type Kind } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const CALLERS = 50
const TIMEOUT = '300ms'

const connections = new Connections()
let cache: CacheManager | undefined

afterEach(async () => {
  await cache?.close()
  await connections.closeAll()
})

function open(redis: RedisConfig): CacheManager {
  cache = createCache({ redis: { socketTimeout: TIMEOUT, ...redis }, logger: SILENT })
  return cache
}

/** Callers of as many keys, all at once; each is answered by its own loader. */
async function callAll(prefix: string): Promise<void> {
  const keys = Array.from({ length: CALLERS }, (_, i) => `${prefix}${i}`)
  expect(await Promise.all(keys.map((key) => cache!.getOrSet(key, () => key)))).toEqual(keys)
}

/** True if it settles without anything from the network or a timer: nobody waits. */
function isAtOnce(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  )
  return Promise.race([settled, new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))])
}

describe.each(KINDS)('a server that falls silent under %s', (kind: Kind) => {
  let server: RedisServer

  beforeEach(async () => {
    server = await startRedis()
  })
  afterEach(() => server.stop())

  function place(): RedisConfig {
    if (kind === 'own') return { host: server.host, port: server.port }
    return { client: connections.client(kind, server) }
  }

  test('is asked by the callers of one moment, once for all of them, and by nobody after them', async () => {
    open(place())
    await cache!.getOrSet('warm', () => 1)
    await expect.poll(() => cache!.exists('warm')).toBe(1)
    await server.resetStats()
    server.pause()
    // These pay the deadline, together.
    await callAll('first')
    expect(await cache!.health()).toMatchObject({ ok: false, breaker: 'open' })
    for (const wave of ['second', 'third']) expect(await isAtOnce(callAll(wave))).toBe(true)
    server.resume()
    await expect.poll(() => cache!.health(), { timeout: 10_000 }).toMatchObject({ ok: true, breaker: 'closed' })
    // What lay in its socket was executed when it woke up: all that was ever sent.
    expect((await server.commandStats())['mget']).toBe(1)
  })
})

describe('a cluster that is silent from the start', () => {
  let mute: Server
  let connected = 0

  beforeEach(async () => {
    connected = 0
    mute = createServer((socket) => {
      connected++
      socket.on('error', () => undefined)
    }).listen(0, '127.0.0.1')
    await once(mute, 'listening')
  })
  afterEach(() => void mute.close())

  test('is asked once by all callers of one moment, and nobody after them waits', async () => {
    open({ cluster: [`127.0.0.1:${(mute.address() as AddressInfo).port}`] })
    await callAll('first')
    // Sixteen shards and fifty callers; one of them asked, and one asks behind their backs.
    expect(connected).toBeLessThanOrEqual(2)
    expect(await cache!.health()).toMatchObject({ ok: false, breaker: 'open' })
    for (const wave of ['second', 'third']) expect(await isAtOnce(callAll(wave))).toBe(true)
  })
})

test('half of a pause between two attempts is chance', () => {
  const pauses = Array.from({ length: 1000 }, () => jittered(1000))
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1000)
  expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(250)
})
