/** A half-open connection of the user's client is the client's to give up: with the options of the documents it does. */
import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SOCKET_TIMEOUT_MS = 500
const connections = new Connections()
const closers: (() => unknown)[] = []
let server: RedisServer
let proxy: FaultProxy

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
})
afterEach(async () => {
  await connections.closeAll()
  for (const close of closers.splice(0)) await close()
  await proxy.close()
  await server.stop()
})

interface Client {
  on(event: 'error', listener: () => void): unknown
}

const clients: readonly [string, (place: { host: string; port: number }) => Client & { end(): unknown }][] = [
  ['ioredis', (place) => ending(new Redis({ ...place, socketTimeout: SOCKET_TIMEOUT_MS }))],
  ['iovalkey', (place) => ending(new Valkey({ ...place, socketTimeout: SOCKET_TIMEOUT_MS }))],
  [
    'node-redis',
    (place) => {
      // By its own strategy it would end for good after a socket timeout.
      const socket = { ...place, socketTimeout: SOCKET_TIMEOUT_MS, reconnectStrategy: () => 20 }
      const client = createClient({ socket, pingInterval: SOCKET_TIMEOUT_MS / 5, disableOfflineQueue: true })
      return Object.assign(client, { end: () => client.destroy() })
    },
  ],
]

function ending<T extends Redis | Valkey>(client: T): T & { end(): unknown } {
  return Object.assign(client, { end: () => client.disconnect() })
}

test.each(clients)('%s with a socket timeout', async (_, open) => {
  const client = open({ host: proxy.host, port: proxy.port })
  client.on('error', () => undefined)
  closers.push(() => client.end())
  const connection = connections.over(client, { commandTimeoutMs: 200 })
  const name = async (): Promise<string> => String(await connection.send(['ECHO', 'there']))
  expect(await name()).toBe('there')
  proxy.abandon()
  await expect(name()).rejects.toThrow('did not answer')
  await expect.poll(() => name().catch(() => ''), { timeout: 10_000 }).toBe('there')
})
