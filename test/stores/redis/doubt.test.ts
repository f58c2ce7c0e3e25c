/** A server that was silent is not waited for before it has shown that it can answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import type { RedisConnection } from '../../../src/stores/redis/connection.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections, KINDS } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const connections = new Connections()
let server: RedisServer
let proxy: FaultProxy

beforeAll(async () => {
  server = await startRedis()
  await server.call('SET', 'page', 'x'.repeat(2000))
})
afterAll(() => server.stop())
beforeEach(async () => {
  proxy = await startFaultProxy({ target: server })
})
afterEach(async () => {
  await connections.closeAll()
  await proxy.close()
})

/** How a command ends before anything else can happen; one that was sent waits. */
function atOnce(connection: RedisConnection): Promise<string> {
  const sent = connection.send(['GET', 'page']).then(
    () => 'answered',
    () => 'rejected',
  )
  return Promise.race([sent, new Promise<string>((resolve) => setImmediate(resolve, 'waits'))])
}

describe.each(KINDS)('%s: replies that trickle in, fast enough for short ones alone', (kind) => {
  test('after the first deadline nobody waits, and when they flow again the connection is used', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: 200 })
    const changes: string[] = []
    connection.watch({ onDown: () => changes.push('down'), onUp: () => changes.push('up') })
    await connection.send(['GET', 'page'])
    proxy.drip(1000)
    await expect(connection.send(['GET', 'page'])).rejects.toThrow(RedisConnectionError)
    const ends = new Set<string>()
    for (let n = 0; n < 60; n++) {
      ends.add(await atOnce(connection))
      await sleep(20)
    }
    expect([...ends]).toEqual(['rejected'])
    expect(changes).toEqual(['down'])
    proxy.drip(0)
    await expect.poll(() => connection.send(['GET', 'page']).catch(() => undefined), { timeout: 10_000 }).toBeDefined()
    expect(changes).toEqual(['down', 'up'])
  })
})
