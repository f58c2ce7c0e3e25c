/** Further connections open when one is saturated, serve when they are ready, and go when they are not needed. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Reply } from '../../../src/stores/redis/client.ts'
import type { RedisConnection } from '../../../src/stores/redis/connection.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

/** As many commands in flight as saturate one connection. */
const SATURATION = 256

const connections = new Connections()
let server: RedisServer
let proxy: FaultProxy

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
})
afterEach(async () => {
  await connections.closeAll()
  await proxy.close()
  await server.stop()
})

/** So many commands in flight at once. */
function burst(connection: RedisConnection, count: number): Promise<Reply[]> {
  return Promise.all(Array.from({ length: count }, () => connection.send(['INCR', 'n'])))
}

/** Bursts that saturate all connections but the last one wanted. */
async function openUpTo(connection: RedisConnection, count: number): Promise<void> {
  await vi.waitFor(async () => {
    await burst(connection, SATURATION * (count - 1) + 1)
    expect(proxy.connections).toBe(count)
  })
}

test('one connection serves all that it has room for', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  for (let round = 0; round < 5; round++) await burst(connection, SATURATION)
  expect(proxy.connections).toBe(1)
})

test('commands that wait for the first connection open no other', async () => {
  proxy.delay(20)
  const connection = connections.own(proxy)
  await burst(connection, 2 * SATURATION)
  expect(proxy.connections).toBe(1)
})

test('one command more than it has room for opens another in the background, and is not held up by it', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  const values = (await burst(connection, SATURATION + 1)).map(Number).toSorted((a, b) => a - b)
  expect(values).toEqual(Array.from({ length: SATURATION + 1 }, (_, n) => n + 1))
  await vi.waitFor(() => expect(proxy.connections).toBe(2))
})

test('a connection that is ready takes what the first has no room for', async () => {
  const connection = connections.own(proxy)
  const first = await connection.send(['CLIENT', 'ID'])
  await openUpTo(connection, 2)
  await vi.waitFor(async () => {
    const blocked = Array.from({ length: SATURATION }, () => connection.send(['BLPOP', 'release', '0']))
    // Behind the BLPOPs it would have to wait for their release.
    const id = await Promise.race([connection.send(['CLIENT', 'ID']), sleep(100, first)])
    await server.call('RPUSH', 'release', ...blocked.map(() => 'x'))
    await Promise.all(blocked)
    expect(id).not.toBe(first)
  })
})

test('there are never more than maxConnections', async () => {
  const connection = connections.own(proxy, { maxConnections: 2 })
  await connection.ping()
  await openUpTo(connection, 2)
  for (let round = 0; round < 5; round++) await burst(connection, 4 * SATURATION)
  expect(proxy.connections).toBe(2)
})

test('with maxConnections of 1 there is one', async () => {
  const connection = connections.own(proxy, { maxConnections: 1 })
  await connection.ping()
  await burst(connection, 3 * SATURATION)
  await burst(connection, 3 * SATURATION)
  expect(proxy.connections).toBe(1)
})

test('a client of the user stays one connection', async () => {
  const connection = connections.over(connections.ioredis(proxy))
  await connection.ping()
  await burst(connection, 3 * SATURATION)
  expect(proxy.connections).toBe(1)
})

test('idle ones are closed after a while, the first is not', async () => {
  const connection = connections.own(proxy, { idleTimeoutMs: 300 })
  await connection.ping()
  await openUpTo(connection, 3)
  await vi.waitFor(() => expect(proxy.connections).toBe(1))
  expect(await connection.ping()).toBe(true)
})

test('when all are lost the first alone comes back', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  await openUpTo(connection, 3)
  proxy.cut()
  await vi.waitFor(async () => expect(await connection.ping()).toBe(true))
  await sleep(100)
  expect(proxy.connections).toBe(1)
  expect(await burst(connection, SATURATION)).toHaveLength(SATURATION)
})

test('a server that takes no more connections is served by those there are, and seldom asked for more', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  // The one of this connection, and the one that sets it.
  await server.call('CONFIG', 'SET', 'maxclients', '2')
  for (let round = 0; round < 20; round++) {
    expect(await burst(connection, 2 * SATURATION)).toHaveLength(2 * SATURATION)
    await sleep(5)
  }
  const stats = String(await server.call('INFO', 'stats'))
  const rejected = Number(/rejected_connections:(\d+)/.exec(stats)?.[1])
  expect(rejected).toBeGreaterThan(0)
  expect(rejected).toBeLessThan(5)
})

test('close ends all of them', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  await openUpTo(connection, 3)
  await connection.close()
  await vi.waitFor(() => expect(proxy.connections).toBe(0))
})

test('native stays the client of the first connection', async () => {
  const connection = connections.own(proxy)
  const { native } = connection
  await connection.ping()
  await openUpTo(connection, 2)
  expect(connection.native).toBe(native)
  expect(native).toBeInstanceOf(Redis)
})
