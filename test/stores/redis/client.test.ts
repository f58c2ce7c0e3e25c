/** The same replies from every kind of client, and a user's client stays the user's. */
import type { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { createClient, createCluster, createSentinel } from 'redis'
import { createCache } from 'tidemark'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CacheConfigurationError, RedisConnectionError } from '../../../src/exceptions.ts'
import { RedisConnection, defineScript } from '../../../src/stores/redis/connection.ts'
import { Connections, KINDS } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const connections = new Connections()
const sentinel = createSentinel({ name: 'primary', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] })
/** The clients a user may bring. */
const USERS = ['ioredis', 'iovalkey', 'node-redis'] as const
let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(() => server.flush())
afterEach(() => connections.closeAll())

describe.each(KINDS)('%s', (kind) => {
  test('strings, numbers, nothing and lists are the same from every client', async () => {
    const connection = connections.of(kind, server)
    expect(await connection.send(['SET', 'a', 'b'])).toEqual(Buffer.from('OK'))
    expect(await connection.send(['GET', 'a'])).toEqual(Buffer.from('b'))
    expect(await connection.send(['GET', 'none'])).toBeNull()
    expect(await connection.send(['INCR', 'n'])).toBe(1)
    expect(await connection.send(['MGET', 'a', 'none'])).toEqual([Buffer.from('b'), null])
    const nested = defineScript("return { 1, { 'x', false }, 'y' }")
    expect(await connection.run(nested, [], [])).toEqual([1, [Buffer.from('x'), null], Buffer.from('y')])
  })

  test('the replies that RESP3 has types of its own for are the same from every client', async () => {
    const connection = connections.of(kind, server)
    await connection.send(['HSET', 'h', 'field', 'value'])
    expect(await connection.send(['HGETALL', 'h'])).toEqual([Buffer.from('field'), Buffer.from('value')])
    await connection.send(['SADD', 's', 'member'])
    expect(await connection.send(['SMEMBERS', 's'])).toEqual([Buffer.from('member')])
    expect(String(await connection.send(['INFO', 'server']))).toMatch(/^# Server\r\n/)
  })

  test('bytes come back as they were sent, whatever they are', async () => {
    const connection = connections.of(kind, server)
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    await connection.send(['SET', 'bytes', bytes])
    expect(await connection.send(['GET', 'bytes'])).toEqual(bytes)
    const large = Buffer.alloc(3_000_000, 'large')
    await connection.send(['SET', 'large', large])
    expect(large.equals((await connection.send(['GET', 'large'])) as Buffer)).toBe(true)
    await connection.send(['SET', 'schlüssel', 'größe'])
    expect(String(await connection.send(['GET', 'schlüssel']))).toBe('größe')
    expect(await connection.send(['SET', '', Buffer.alloc(0)])).toEqual(Buffer.from('OK'))
    expect(await connection.send(['GET', ''])).toEqual(Buffer.alloc(0))
  })

  test('a list of arguments is not changed, and may be long', async () => {
    const connection = connections.of(kind, server)
    const args = Object.freeze(['MGET', ...Array.from({ length: 20_000 }, (_, n) => `key ${n}`)])
    expect(await connection.send(args)).toHaveLength(20_000)
  })

  test('commands sent together are answered each with its own reply', async () => {
    const connection = connections.of(kind, server)
    const names = Array.from({ length: 500 }, (_, n) => String(n))
    await Promise.all(names.map((name) => connection.send(['SET', name, `value ${name}`])))
    const replies = await Promise.all(names.map((name) => connection.send(['GET', name])))
    expect(replies.map(String)).toEqual(names.map((name) => `value ${name}`))
  })

  test('native is the client, for libraries that want one', async () => {
    const connection = connections.of(kind, server)
    await connection.ping()
    expect(connection.kind).toBe(kind === 'node-redis' ? 'node-redis' : 'ioredis')
    const native = connection.native as { set(key: string, value: string): Promise<unknown> }
    await native.set('by native', 'yes')
    expect(String(await connection.send(['GET', 'by native']))).toBe('yes')
  })
})

describe('a client of the user', () => {
  test.each(USERS)('%s that nobody has connected is connected by the first command', async (kind) => {
    const connection = connections.of(kind, server)
    expect(await connection.ping()).toBe(true)
  })

  test('of node-redis that has given up rejects at once', async () => {
    const client = createClient({ socket: { host: server.host, port: 1, reconnectStrategy: false } })
    const connection = connections.over(client)
    await expect(connection.send(['PING'])).rejects.toThrow(/ECONNREFUSED/)
  })

  test('that is connecting is waited for', async () => {
    const ioredis = connections.ioredis(server)
    void ioredis.connect()
    const nodeRedis = connections.nodeRedis(server)
    const connected = nodeRedis.connect()
    for (const client of [ioredis, nodeRedis]) expect(await connections.over(client).ping()).toBe(true)
    await connected
  })

  test('that is connected is used as it is', async () => {
    const ioredis = connections.ioredis(server)
    await ioredis.connect()
    const nodeRedis = connections.nodeRedis(server)
    await nodeRedis.connect()
    for (const client of [ioredis, nodeRedis]) expect(await connections.over(client).ping()).toBe(true)
  })

  test.each(USERS)('%s is not closed, and keeps no listener of ours', async (kind) => {
    const client = connections.client(kind, server)
    const names = ['error', 'ready', 'close', 'end', 'terminated']
    const emitter: EventEmitter = client
    const listeners = (): number[] => names.map((name) => emitter.listenerCount(name))
    const before = listeners()
    const connection = connections.over(client)
    expect(emitter.listenerCount('error')).toBe(before[0]! + 1)
    await connection.ping()
    await connection.close()
    expect(await (client as { ping(): Promise<unknown> }).ping()).toBe('PONG')
    expect(listeners()).toEqual(before)
  })

  test.each(USERS)('%s that the user has closed rejects at once', async (kind) => {
    const client = connections.client(kind, server)
    const connection = connections.over(client)
    await connection.ping()
    if ('destroy' in client) client.destroy()
    else client.disconnect()
    await expect(connection.send(['PING'])).rejects.toThrow(/the client was closed/)
    await expect(connection.send(['PING'])).rejects.toBeInstanceOf(RedisConnectionError)
  })

  test('that was closed before the first command rejects at once', async () => {
    const client = connections.ioredis(server)
    client.disconnect()
    await expect(connections.over(client).send(['PING'])).rejects.toThrow(/the client was closed/)
  })

  test('with a prefix for keys is refused: scripts and channels would not bear it', () => {
    const client = new Redis({ host: server.host, port: server.port, keyPrefix: 'app:', lazyConnect: true })
    expect(() => connections.over(client)).toThrow(/expected an ioredis client without keyPrefix/)
  })

  test('with auto-pipelining works', async () => {
    const client = new Redis({ host: server.host, port: server.port, enableAutoPipelining: true })
    const connection = connections.over(client)
    const script = defineScript("return redis.call('GET', KEYS[1])")
    await connection.send(['SET', 'a', '1'])
    expect(String(await connection.run(script, ['a'], []))).toBe('1')
    expect(await connection.send(['MGET', 'a'])).toEqual([Buffer.from('1')])
    await client.quit()
  })

  test.each([
    ['nothing', null, 'null'],
    ['a URL, which may hold a password', 'redis://:pw@localhost', 'a string'],
    ['an object of another kind', new Map(), 'an object of class Map'],
    ['a function', createClient, 'a function'],
  ])('that is %s is refused by name', (_, client, got) => {
    expect(() => connections.over(client)).toThrow(CacheConfigurationError)
    const expected = `redis.client: expected an ioredis client or a node-redis client, got ${got}`
    expect(() => connections.over(client)).toThrow(expected)
  })

  test('that is a sentinel client of node-redis is refused, and redis.sentinel named', () => {
    expect(() => createCache({ redis: { client: sentinel } })).toThrow(
      /redis\.client: expected .*; Sentinel is redis\.sentinel: \{ name, nodes \}, got a sentinel client .*\(createSentinel\)$/,
    )
  })

  test('that is one of a cluster is refused where one server is wanted', () => {
    const cluster = createCluster({ rootNodes: [{ url: server.url }] })
    expect(() => connections.over(cluster)).toThrow(CacheConfigurationError)
    expect(() => connections.over(cluster)).toThrow(/a client of one server/)
  })

  test('that gives numbers as strings is refused, for a script would be misread', () => {
    const client = new Redis({ lazyConnect: true, stringNumbers: true })
    expect(() => connections.over(client)).toThrow(/stringNumbers/)
  })
})

test('all commands of one tick go out in one write', async () => {
  const connection = connections.own({ host: server.host, port: server.port })
  await connection.ping()
  const { stream } = connection.native as Redis
  const replies = [connection.send(['INCR', 'n']), connection.send(['INCR', 'n'])]
  expect(stream.writableCorked).toBe(1)
  await new Promise((resolve) => process.nextTick(resolve))
  expect(stream.writableCorked).toBe(0)
  expect(await Promise.all(replies)).toEqual([1, 2])
})

test('a connection that is printed shows no password', () => {
  const connection = connections.own({ host: server.host, port: server.port, password: 'open sesame' })
  expect(inspect(connection, { depth: null, showHidden: true })).not.toContain('open sesame')
  expect(connection).toBeInstanceOf(RedisConnection)
})

test('a node-redis client whose user may not subscribe is duplicated less and less often', async () => {
  await server.call('ACL', 'SETUSER', 'deaf', 'on', '>secret', '~*', '&*', '+@all', '-subscribe')
  const { host, port } = server
  const client = createClient({ socket: { host, port }, username: 'deaf', password: 'secret' })
  await client.connect()
  const connection = connections.over(client)
  const subscriber = connection.subscriber()
  const listener = { onMessage: () => {}, onSubscribed: () => {}, onLost: () => {} }
  const connected = async (): Promise<number> =>
    Number(/total_connections_received:(\d+)/.exec(String(await server.call('INFO', 'stats')))![1])
  const before = await connected()
  subscriber.join('channel', listener, 1000)
  await sleep(1500)
  expect((await connected()) - before).toBeLessThan(8)
  await subscriber.leave('channel', listener)
  client.destroy()
})
