/** Redis away, silent, slow, back again: a command always settles, and everything works again without a restart. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import type { RedisConnection } from '../../../src/stores/redis/connection.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections, KINDS } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

/** Longer than any test takes: who waits for it has not been rejected "at once". */
const FOREVER_MS = 60_000
/** Time enough for an answer on a busy machine. */
const DEADLINE_MS = 300

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

function isBack(connection: RedisConnection): Promise<void> {
  return vi.waitFor(async () => expect(await connection.ping()).toBe(true), { timeout: 10_000 })
}

/** Which connection of the server's it is. */
function clientId(connection: RedisConnection): Promise<unknown> {
  return connection.send(['CLIENT', 'ID'])
}

describe.each(KINDS)('%s', (kind) => {
  test('commands wait for the first connection', async () => {
    proxy.delay(30)
    const connection = connections.of(kind, proxy)
    const replies = await Promise.all([connection.send(['SET', 'a', '1']), connection.send(['GET', 'a'])])
    expect(replies.map(String)).toEqual(['OK', '1'])
  })

  test('if the first connection fails they reject with its error as the cause', async () => {
    proxy.refuse()
    const connection = connections.of(kind, proxy, { commandTimeoutMs: FOREVER_MS })
    const failures = await Promise.allSettled([connection.send(['GET', 'a']), connection.send(['GET', 'b'])])
    for (const failure of failures) {
      expect(failure).toMatchObject({ reason: { cause: { code: 'ECONNREFUSED' } } })
      expect((failure as PromiseRejectedResult).reason).toBeInstanceOf(RedisConnectionError)
    }
  })

  test('while Redis is known to be down commands reject at once, and work again when it is back', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: FOREVER_MS })
    await connection.ping()
    proxy.refuse()
    proxy.cut()
    await vi.waitFor(() => expect(connection.send(['GET', 'a'])).rejects.toThrow(/cannot be reached.*ECONNREFUSED/))
    await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
    await proxy.accept()
    await isBack(connection)
  })

  test('a command in flight when the connection is lost rejects at once', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: FOREVER_MS })
    await connection.ping()
    proxy.delay({ down: FOREVER_MS })
    const failure = connection.send(['INCR', 'n'])
    await vi.waitFor(async () => expect(await server.commandStats()).toMatchObject({ incr: 1 }))
    proxy.delay(0)
    proxy.cut()
    await expect(failure).rejects.toThrow(/was lost before it answered INCR: read ECONNRESET/)
    await expect(failure).rejects.toBeInstanceOf(RedisConnectionError)
    await isBack(connection)
    // What a user's ioredis client does with it is the user's to say; by default it sends it again.
    expect(String(await connection.send(['GET', 'n']))).toBe(kind === 'ioredis' || kind === 'iovalkey' ? '2' : '1')
  })

  test('a server that was killed and started again is used again', async () => {
    const connection = connections.of(kind, server, { commandTimeoutMs: FOREVER_MS })
    await connection.send(['SET', 'a', '1'])
    await server.kill()
    await vi.waitFor(() => expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError))
    await server.restart()
    await isBack(connection)
    expect(await connection.send(['GET', 'a'])).toBeNull()
  })

  test('a silent server makes a command reject when its deadline passes; the message names the command alone', async () => {
    const connection = connections.of(kind, server, { commandTimeoutMs: DEADLINE_MS })
    await connection.ping()
    server.pause()
    const failure = connection.send(['SET', 'key', 'secret'])
    await expect(failure).rejects.toBeInstanceOf(RedisConnectionError)
    await expect(failure).rejects.toThrow(/ did not answer SET within 300 ms$/)
    server.resume()
  })

  test('after a silent deadline commands reject at once until Redis answers again', async () => {
    const connection = connections.of(kind, server, { commandTimeoutMs: DEADLINE_MS })
    await connection.ping()
    server.pause()
    const others = [connection.send(['GET', 'b']), connection.send(['GET', 'c'])]
    for (const failure of others) await expect(failure).rejects.toBeInstanceOf(RedisConnectionError)
    await expect(connection.send(['GET', 'd'])).rejects.toThrow(
      /^Redis (?:at \S+|\(redis\.client\)) cannot be reached: it did not answer GET within 300 ms$/,
    )
    server.resume()
    await isBack(connection)
  })

  test('a network that swallows everything is noticed within the deadline', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: DEADLINE_MS })
    await connection.ping()
    proxy.stall()
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/did not answer GET within 300 ms/)
    proxy.resume()
    await isBack(connection)
  })

  test('a server that accepts and says nothing is not waited for longer than the deadline', async () => {
    proxy.stall()
    const connection = connections.of(kind, proxy, { commandTimeoutMs: DEADLINE_MS })
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/did not answer GET within 300 ms/)
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/cannot be reached/)
    proxy.resume()
    await isBack(connection)
  })

  test('a slow command expires alone: the connection, which answers others, stays', async () => {
    const connection = connections.of(kind, server, { commandTimeoutMs: 700 })
    const id = await clientId(connection)
    const quick = connection.send(['BLPOP', 'none', '0.1'])
    const slow = connection.send(['BLPOP', 'none', '0.8'])
    expect(await quick).toBeNull()
    await expect(slow).rejects.toThrow(/did not answer BLPOP/)
    await isBack(connection)
    expect(await clientId(connection)).toBe(id)
  })

  test('the late answer to an expired command is not taken for the answer to another', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: DEADLINE_MS })
    await connection.send(['MSET', 'a', 'A', 'b', 'B'])
    proxy.stall()
    await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
    proxy.resume()
    await isBack(connection)
    expect(String(await connection.send(['GET', 'b']))).toBe('B')
  })

  test('a process that was busy for longer than the deadline still gets the answers that lie ready', async () => {
    const connection = connections.of(kind, server, { commandTimeoutMs: DEADLINE_MS })
    await connection.ping()
    const reply = connection.send(['INCR', 'n'])
    // The command has to leave before the process is busy.
    await sleep(10)
    const others = Promise.all(Array.from({ length: 20 }, () => connection.send(['INCR', 'n'])))
    await new Promise(setImmediate)
    busy(DEADLINE_MS + 100)
    expect(await reply).toBe(1)
    expect(await others).toContain(21)
  })
})

test('a command sent when the connection has just been lost waits for the next one', async () => {
  const connection = connections.own(proxy)
  const id = await clientId(connection)
  const native = connection.native as Redis
  const lost = new Promise((resolve) => native.once('end', resolve))
  proxy.cut()
  await lost
  expect(await clientId(connection)).not.toBe(id)
})

test('a connection that the server has closed for idleness costs no command', async () => {
  const connection = connections.own(server)
  const id = await clientId(connection)
  const lost = new Promise((resolve) => (connection.native as Redis).once('end', resolve))
  await server.call('CLIENT', 'KILL', 'ID', String(id))
  await lost
  expect(await connection.ping()).toBe(true)
})

test('a silent connection of our own is dropped and made anew', async () => {
  const connection = connections.own(server, { commandTimeoutMs: DEADLINE_MS })
  const id = await clientId(connection)
  server.pause()
  await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
  server.resume()
  await isBack(connection)
  expect(await clientId(connection)).not.toBe(id)
})

test.each(['ioredis', 'node-redis'] as const)('a silent connection of a %s client is left as it is', async (kind) => {
  const connection = connections.of(kind, server, { commandTimeoutMs: DEADLINE_MS })
  const id = await clientId(connection)
  server.pause()
  await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
  // Longer than a probe takes to be given up.
  await sleep(DEADLINE_MS + 100)
  server.resume()
  await isBack(connection)
  expect(await clientId(connection)).toBe(id)
})

test("a user's client that gives commands up by itself, before us, is back when Redis is", async () => {
  const client = connections.ioredis(server).duplicate({ commandTimeout: DEADLINE_MS + 100 })
  const connection = connections.over(client, { commandTimeoutMs: DEADLINE_MS })
  await connection.ping()
  server.pause()
  await expect(connection.send(['GET', 'a'])).rejects.toThrow(/did not answer/)
  await sleep(200)
  server.resume()
  await isBack(connection)
  client.disconnect()
})

test('a node-redis client that gives up reconnecting makes commands reject at once', async () => {
  const client = createClient({ socket: { ...address(proxy), reconnectStrategy: false } })
  const connection = connections.over(client, { commandTimeoutMs: FOREVER_MS })
  await connection.ping()
  const lost = once(client, 'terminated')
  proxy.cut()
  await lost
  await expect(connection.send(['GET', 'a'])).rejects.toThrow(/cannot be reached/)
})

test('a login that is not answered is given up after the time for connecting, and tried again', async () => {
  proxy.stall()
  const connection = connections.own({ ...address(proxy), connectTimeoutMs: 100 }, { commandTimeoutMs: FOREVER_MS })
  await expect(connection.send(['GET', 'a'])).rejects.toThrow(/cannot be reached: no connection within 100 ms/)
  proxy.resume()
  await isBack(connection)
})

test('a server that closes each connection at once is not stormed', async () => {
  await server.call('CONFIG', 'SET', 'maxclients', '1')
  const connection = connections.own(server, { commandTimeoutMs: FOREVER_MS })
  await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
  await sleep(300)
  const rejected = /rejected_connections:(\d+)/.exec(String(await server.call('INFO', 'stats')))?.[1]
  expect(Number(rejected)).toBeLessThan(10)
  await server.call('CONFIG', 'SET', 'maxclients', '100')
  await isBack(connection)
})

test('a server that closes each connection after the login is not stormed', async () => {
  let connected = 0
  const rude = createServer((socket) => {
    connected++
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      if (String(bytes).includes('PING')) socket.end('+PONG\r\n')
      else socket.write('+OK\r\n')
    })
  }).listen(0, '127.0.0.1')
  await once(rude, 'listening')
  const connection = connections.own({ host: '127.0.0.1', port: (rude.address() as AddressInfo).port })
  await connection.ping()
  await sleep(300)
  expect(connected).toBeGreaterThan(1)
  expect(connected).toBeLessThan(10)
  await connection.close()
  rude.close()
})

describe('the health check', () => {
  test('finds a dead connection before a command does', async () => {
    const connection = connections.own(proxy, { healthCheckIntervalMs: 100, commandTimeoutMs: DEADLINE_MS })
    const id = await clientId(connection)
    proxy.stall()
    await vi.waitFor(() => expect((connection.native as Redis).status).not.toBe('ready'), { timeout: 5000 })
    proxy.resume()
    await isBack(connection)
    expect(await clientId(connection)).not.toBe(id)
  })

  test('asks a quiet connection only', async () => {
    const connection = connections.own(server, { healthCheckIntervalMs: 500 })
    await connection.ping()
    await server.resetStats()
    const until = performance.now() + 700
    while (performance.now() < until) {
      await connection.send(['GET', 'a'])
      await sleep(10)
    }
    expect(await server.commandStats()).not.toHaveProperty('ping')
    await vi.waitFor(async () => expect(await server.commandStats()).toHaveProperty('ping'), { timeout: 5000 })
  })

  test('is off at 0', async () => {
    const connection = connections.own(server, { healthCheckIntervalMs: 0 })
    await connection.ping()
    await server.resetStats()
    await sleep(100)
    expect(await server.commandStats()).not.toHaveProperty('ping')
  })
})

test('ping tells whether Redis answers, and never rejects', async () => {
  const connection = connections.own(server, { commandTimeoutMs: DEADLINE_MS })
  expect(await connection.ping()).toBe(true)
  server.pause()
  expect(await connection.ping()).toBe(false)
  server.resume()
  await isBack(connection)
  await server.kill()
  await vi.waitFor(async () => expect(await connection.ping()).toBe(false))
  await connection.close()
  expect(await connection.ping()).toBe(false)
})

function address({ host, port }: { host: string; port: number }): { host: string; port: number } {
  return { host, port }
}

function busy(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}
