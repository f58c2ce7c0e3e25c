/** Where Redis is and who may come in: passwords, users, databases, TLS, unix sockets. */
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import type { Redis } from 'ioredis'
import { startFaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import { Connections } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const connections = new Connections()
let server: RedisServer
let tlsServer: RedisServer

beforeAll(async () => {
  const alice = ['--user', 'alice', 'on', '>wonderland', '~*', '+@all', '-info', '-client']
  const bob = ['--user', 'bob', 'on', '>builder', '~*', '+@all', '-select', '-ping']
  server = await startRedis({ requirepass: 'open sesame', unixSocket: true, args: [...alice, ...bob] })
  tlsServer = await startRedis({ tls: true })
})
afterAll(async () => {
  await server.stop()
  await tlsServer.stop()
})
afterEach(() => connections.closeAll())

const at = ({ host, port }: Pick<RedisServer, 'host' | 'port'>): { host: string; port: number } => ({ host, port })

async function failureOf(reply: Promise<unknown>): Promise<Error> {
  const failure: unknown = await reply.catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(RedisConnectionError)
  return failure as Error
}

test('the password of the server', async () => {
  expect(await connections.own({ ...at(server), password: 'open sesame' }).ping()).toBe(true)
})

test('the name and password of an ACL user, who need not be allowed INFO and CLIENT', async () => {
  const connection = connections.own({ ...at(server), username: 'alice', password: 'wonderland' })
  expect(String(await connection.send(['ACL', 'WHOAMI']))).toBe('alice')
})

test('a wrong password is a RedisConnectionError that does not show it', async () => {
  const connection = connections.own({ ...at(server), username: 'alice', password: 'Cheshire' })
  for (const attempt of ['first', 'later']) {
    const failure = await failureOf(connection.send(['GET', attempt]))
    expect(failure.message).toMatch(/refused the connection: WRONGPASS/)
    expect(inspect(failure, { depth: null, showHidden: true })).not.toContain('Cheshire')
  }
})

test('no password where one is wanted is a RedisConnectionError', async () => {
  const failure = await failureOf(connections.own(at(server)).send(['GET', 'a']))
  expect(failure.message).toMatch(/refused the connection: NOAUTH/)
})

test("a user who may not do what it takes to come in is told so by Redis's own words", async () => {
  const bob = { ...at(server), username: 'bob', password: 'builder' }
  expect((await failureOf(connections.own(bob).send(['GET', 'a']))).message).toMatch(
    /refused the connection: NOPERM.*ping/,
  )
  const failure = await failureOf(connections.own({ ...bob, db: 1 }).send(['GET', 'a']))
  expect(failure.message).toMatch(/refused the connection: NOPERM.*select/)
})

test.each(['ioredis', 'node-redis'] as const)(
  'a %s client that cannot log in is a RedisConnectionError',
  async (kind) => {
    const failure = await failureOf(connections.of(kind, at(server)).send(['GET', 'a']))
    expect(failure.message).toMatch(/NOAUTH/)
  },
)

test('a unix socket', async () => {
  const connection = connections.own({ host: 'nowhere', port: 1, path: server.socketPath, password: 'open sesame' })
  expect(await connection.ping()).toBe(true)
})

test('a unix socket that is not there is named', async () => {
  const failure = await failureOf(connections.own({ host: '', port: 0, path: '/nowhere/redis.sock' }).send(['PING']))
  expect(failure.message).toBe('Redis at /nowhere/redis.sock cannot be reached: connect ENOENT /nowhere/redis.sock')
})

describe('the database', () => {
  test('is the one that was asked for, also after a reconnect', async () => {
    const connection = connections.own({ ...at(server), password: 'open sesame', db: 3 })
    await connection.send(['SET', 'in 3', 'yes'])
    const id = await connection.send(['CLIENT', 'ID'])
    const lost = new Promise((resolve) => (connection.native as Redis).once('end', resolve))
    await server.call('CLIENT', 'KILL', 'ID', String(id))
    await lost
    expect(String(await connection.send(['GET', 'in 3']))).toBe('yes')
    expect(await server.call('GET', 'in 3')).toBeNull()
  })

  test('that does not exist is a RedisConnectionError, and nothing is written to another one', async () => {
    const connection = connections.own({ ...at(server), password: 'open sesame', db: 99 })
    for (const key of ['first', 'second', 'third']) {
      expect((await failureOf(connection.send(['SET', key, '1']))).message).toMatch(/DB index is out of range/)
    }
    expect(await server.call('EXISTS', 'first', 'second', 'third')).toBe(0)
  })
})

describe('TLS', () => {
  test('with the options of Node', async () => {
    const connection = connections.own({ ...at(tlsServer), ssl: { ca: tlsServer.ca } })
    await connection.send(['SET', 'a', 'encrypted'])
    expect(String(await connection.send(['GET', 'a']))).toBe('encrypted')
  })

  test('a certificate that nobody vouches for is refused', async () => {
    const failure = await failureOf(connections.own({ ...at(tlsServer), ssl: true }).send(['GET', 'a']))
    expect(failure.message).toMatch(
      /cannot be reached: self-signed certificate \(TLS: name the .* in ca of redis\.ssl, or of your client\)$/,
    )
  })

  test('that the server wants and nobody asked for is what the error is about', async () => {
    const connection = connections.own({ ...at(tlsServer), password: 'hunter2' })
    const { message } = await failureOf(connection.send(['GET', 'a']))
    expect(message).toMatch(
      /cannot be reached: .* without an answer; if this port wants TLS, use rediss:\/\/ or redis\.ssl/,
    )
    expect(message).not.toContain('hunter2')
  })

  const HINT = /does not answer the TLS handshake; if this is a plain port, use redis:\/\/ without redis\.ssl$/

  test.each([
    ['a command', { commandTimeoutMs: 300 }, {}],
    ['the attempt', {}, { connectTimeoutMs: 300 }],
  ])('that was asked for of a plain port is told when %s is given up', async (_, behaviour, options) => {
    const connection = connections.own({ ...at(server), ssl: true, ...options }, behaviour)
    expect((await failureOf(connection.send(['GET', 'a']))).message).toMatch(HINT)
  })

  test.each([true, false])('is not what an outage later is about: %s', async (isTls) => {
    const target = isTls ? tlsServer : server
    const proxy = await startFaultProxy({ target })
    onTestFinished(() => proxy.close())
    const login = isTls ? { ssl: { ca: tlsServer.ca } } : { password: 'open sesame' }
    const connection = connections.own({ ...at(proxy), ...login, connectTimeoutMs: 300 }, { commandTimeoutMs: 500 })
    await connection.send(['PING'])
    proxy.stall()
    proxy.cut()
    await expect.poll(() => connection.breaker, { timeout: 5000 }).toBe('open')
    expect((await failureOf(connection.send(['GET', 'a']))).message).not.toContain('TLS')
    proxy.cut()
    await expect
      .poll(() => failureOf(connection.send(['GET', 'a'])).then(({ message }) => message))
      .not.toContain('TLS')
  })
})

describe.runIf(process.platform === 'linux')('TCP keep-alive', () => {
  test.each([true, false])('%s', async (keepAlive) => {
    const connection = connections.own({ ...at(server), password: 'open sesame', keepAlive })
    await connection.ping()
    expect(hasKeepAliveTimer((connection.native as Redis).stream.localPort!)).toBe(keepAlive)
  })
})

/** The kernel's own word: field `tr` of the socket's line is 02 while a keep-alive timer runs. */
function hasKeepAliveTimer(localPort: number): boolean {
  const local = `0100007F:${localPort.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  const fields = lines.map((line) => line.trim().split(/\s+/)).find((line) => line[1] === local)
  return fields![5]!.startsWith('02')
}
