/** Error replies, scripts, and the end of a connection. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { CacheException, RedisConnectionError } from '../../../src/exceptions.ts'
import { defineScript } from '../../../src/stores/redis/connection.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections, KINDS } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const FOREVER_MS = 60_000

const connections = new Connections()
let server: RedisServer
let proxy: FaultProxy

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  await server.flush()
  proxy = await startFaultProxy({ target: server })
})
afterEach(async () => {
  await connections.closeAll()
  await proxy.close()
})

describe.each(KINDS)('%s: an error reply', (kind) => {
  test('rejects with what Redis says, and the connection lives on', async () => {
    const connection = connections.of(kind, server)
    await connection.send(['SET', 'text', 'a'])
    const failure = connection.send(['LPUSH', 'text', 'secret'])
    await expect(failure).rejects.toThrow(/refused LPUSH: WRONGTYPE Operation against a key/)
    await expect(failure).rejects.toBeInstanceOf(CacheException)
    await expect(failure).rejects.not.toBeInstanceOf(RedisConnectionError)
    expect(await connection.ping()).toBe(true)
  })

  test('of a server without memory is one too', async () => {
    const connection = connections.of(kind, server)
    await connection.ping()
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    await expect(connection.send(['SET', 'a', 'secret'])).rejects.toThrow(/refused SET: OOM/)
    await server.call('CONFIG', 'SET', 'maxmemory', '0')
  })

  test('of a replica means that this server does not serve us, until it takes writes again', async () => {
    const connection = connections.of(kind, server)
    await connection.ping()
    await server.call('REPLICAOF', '127.0.0.1', '1')
    const failure = connection.send(['SET', 'a', 'secret'])
    await expect(failure).rejects.toThrow(/did not serve SET: READONLY/)
    await expect(failure).rejects.toBeInstanceOf(RedisConnectionError)
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/cannot be reached: READONLY/)
    await server.call('REPLICAOF', 'NO', 'ONE')
    await expect.poll(() => connection.send(['SET', 'a', '1']).then(String, () => '')).toBe('OK')
  })

  test('shows no argument, printed in full', async () => {
    const connection = connections.of(kind, server)
    const failures = await Promise.allSettled([
      connection.send(['STE', 'key', 'secret']),
      connection.send(['SET', 'key', 'secret', 'secret']),
      connection.run(defineScript('return redis.call("LPUSH", KEYS[1], ARGV[1], nil)'), ['key'], ['secret']),
    ])
    for (const failure of failures) {
      expect(failure.status).toBe('rejected')
      expect(inspect(failure, { depth: null, showHidden: true })).not.toContain('secret')
    }
  })

  test('when the connection is lost shows no argument either', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: 300 })
    await connection.ping()
    proxy.stall()
    const failure = connection.send(['SET', 'key', 'secret']).catch((error: unknown) => error)
    proxy.refuse()
    proxy.cut()
    expect(await failure).toBeInstanceOf(RedisConnectionError)
    expect(inspect(await failure, { depth: null, showHidden: true })).not.toContain('secret')
  })
})

describe.each(KINDS)('%s: a script', (kind) => {
  const script = defineScript('return { KEYS[1], KEYS[2], ARGV[1], ARGV[2] }')

  beforeEach(async () => {
    await server.call('SCRIPT', 'FLUSH')
    await server.resetStats()
  })

  test('is sent whole the first time, and by its hash from then on', async () => {
    const connection = connections.of(kind, server)
    const bytes = Buffer.from([0, 255, 13, 10])
    const reply = [Buffer.from('a'), Buffer.from('b'), bytes, Buffer.from('x')]
    expect(await connection.run(script, ['a', 'b'], [bytes, 'x'])).toEqual(reply)
    expect(await server.commandStats()).toMatchObject({ eval: 1 })
    expect(await connection.run(script, ['a', 'b'], [bytes, 'x'])).toEqual(reply)
    expect(await server.commandStats()).toMatchObject({ evalsha: 1, eval: 1 })
  })

  test('is sent whole again after the server has forgotten it', async () => {
    const connection = connections.of(kind, server)
    await connection.run(script, ['a', 'b'], ['c', 'd'])
    await server.call('SCRIPT', 'FLUSH')
    expect(await connection.run(script, ['a', 'b'], ['c', 'd'])).toHaveLength(4)
  })

  test('needs no key and no argument', async () => {
    expect(await connections.of(kind, server).run(defineScript('return 7'), [], [])).toBe(7)
  })

  test('that fails is not run a second time', async () => {
    const connection = connections.of(kind, server)
    const failing = defineScript("redis.call('INCR', KEYS[1]) return redis.error_reply('MINE failed')")
    await connection.run(failing, ['n'], []).catch(() => undefined)
    await expect(connection.run(failing, ['n'], [])).rejects.toThrow(/refused EVALSHA: MINE failed/)
    expect(String(await connection.send(['GET', 'n']))).toBe('2')
  })

  test('whose reply was lost is not run a second time', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: 300 })
    const counting = defineScript("return redis.call('INCR', KEYS[1])")
    await connection.run(counting, ['n'], [])
    await server.resetStats()
    proxy.stall()
    await expect(connection.run(counting, ['n'], [])).rejects.toBeInstanceOf(RedisConnectionError)
    proxy.cut()
    proxy.resume()
    await vi.waitFor(async () => expect(await connection.ping()).toBe(true))
    expect(await server.commandStats()).not.toHaveProperty('eval')
  })
})

test('a script is named by its hash', () => {
  expect(defineScript('return 1').sha).toBe('e0e1f9fabfc9d4800c877a703b823ac0578ff8db')
})

describe.each(KINDS)('%s: close', (kind) => {
  test('lets commands in flight finish', async () => {
    const connection = connections.of(kind, proxy)
    await connection.ping()
    proxy.delay(50)
    const reply = connection.send(['SET', 'a', '1'])
    await connection.close()
    expect(String(await reply)).toBe('OK')
  })

  test('does not wait for a silent server: what is in flight rejects', async () => {
    const connection = connections.of(kind, proxy, { commandTimeoutMs: 300 })
    await connection.ping()
    proxy.stall()
    const failure = connection.send(['GET', 'a']).catch((error: unknown) => error)
    await connection.close()
    expect(await failure).toBeInstanceOf(RedisConnectionError)
  })

  test('rejects what waits for a connection, and what comes later', async () => {
    proxy.stall()
    const connection = connections.of(kind, proxy, { commandTimeoutMs: FOREVER_MS })
    const failure = connection.send(['GET', 'a']).catch((error: unknown) => error)
    await connection.close()
    expect(await failure).toBeInstanceOf(RedisConnectionError)
    await expect(connection.send(['GET', 'a'])).rejects.toBeInstanceOf(RedisConnectionError)
    await expect(connection.send(['GET', 'a'])).rejects.toThrow(/was closed by close\(\)$/)
  })

  test('may be said twice, before any command, and while Redis is away', async () => {
    const unused = connections.of(kind, proxy)
    await Promise.all([unused.close(), unused.close()])
    proxy.refuse()
    const away = connections.of(kind, proxy)
    await away.ping()
    await away.close()
    await expect(away.send(['GET', 'a'])).rejects.toThrow(/was closed by close\(\)$/)
  })
})

test('close leaves no connection to the server, and none comes back', async () => {
  const connection = connections.own(proxy)
  await connection.ping()
  expect(proxy.connections).toBe(1)
  await connection.close()
  await vi.waitFor(() => expect(proxy.connections).toBe(0))
  expect((connection.native as Redis).status).toBe('end')
})

test('close while connecting leaves no connection behind', async () => {
  const connection = connections.own(proxy)
  const failure = connection.send(['PING']).catch((error: unknown) => error)
  await connection.close()
  expect(await failure).toBeInstanceOf(RedisConnectionError)
  expect((connection.native as Redis).status).toBe('end')
  await vi.waitFor(() => expect(proxy.connections).toBe(0))
})

describe('an outage that lasts', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  test('however long it was, the next attempt to connect follows within a second', async () => {
    proxy.refuse()
    const attempts = createServer((socket) => void socket.resetAndDestroy())
    attempts.listen(proxy.port, proxy.host)
    await once(attempts, 'listening')
    let count = 0
    attempts.on('connection', () => count++)
    const connection = connections.of('own', { host: proxy.host, port: proxy.port })
    await connection.send(['PING']).catch(() => undefined)
    for (let second = 0; second < 20; second++) {
      const before = count
      await vi.advanceTimersByTimeAsync(1000)
      for (let turns = 0; count === before && turns < 10_000; turns++) await new Promise(setImmediate)
      expect(count).toBeGreaterThan(before)
      // The client has to hear of it before it waits for the next one.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    }
    attempts.close()
  })
})
