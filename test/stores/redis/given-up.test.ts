/** A connection that is given up is reset: what the kernel still holds of it must not arrive behind what comes next. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import { makeCertificate } from '../../helpers/certificate.ts'
import { Connections } from '../../helpers/connections.ts'
import { startRedis } from '../../helpers/redis.ts'

const HOST = '127.0.0.1'
const connections = new Connections()
const closers: (() => unknown)[] = []
afterEach(async () => {
  await connections.closeAll()
  for (const close of closers.splice(0).toReversed()) await close()
})

/** How the first connection to a server ended: the error of its socket, or 'end'. */
type Ending = Promise<string>

/** Answers what a connection begins with, and nothing else: PING and CLIENT SETNAME. */
function greetAndBeSilent(socket: Socket): Ending {
  const ending = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('end', () => resolve('end'))
  })
  socket.on('data', (bytes) => {
    for (const [said] of String(bytes).matchAll(/\r\n(PING|CLIENT)\r\n/gi)) {
      socket.write(/ping/i.test(said) ? '+PONG\r\n' : '+OK\r\n')
    }
  })
  return ending
}

async function listen(server: Server, event: string): Promise<{ port: number; ending: Ending }> {
  const sockets: Socket[] = []
  const ending = new Promise<string>((resolve) =>
    server.on(event, (socket: Socket) => {
      sockets.push(socket)
      void greetAndBeSilent(socket).then(resolve)
    }),
  )
  server.listen(0, HOST)
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, ending }
}

test('one that was silent', async () => {
  const { port, ending } = await listen(createServer(), 'connection')
  const connection = connections.own({ host: HOST, port }, { commandTimeoutMs: 100 })
  await expect(connection.send(['SET', 'a', '1'])).rejects.toBeInstanceOf(RedisConnectionError)
  expect(await ending).toBe('ECONNRESET')
})

test('with TLS', async () => {
  const { cert, key } = makeCertificate(HOST)
  const { port, ending } = await listen(createTlsServer({ cert, key }), 'secureConnection')
  const connection = connections.own({ host: HOST, port, ssl: { ca: cert } }, { commandTimeoutMs: 300 })
  await expect(connection.send(['SET', 'a', '1'])).rejects.toBeInstanceOf(RedisConnectionError)
  expect(await ending).toBe('ECONNRESET')
})

test('one that is closed while something is unanswered', async () => {
  const { port, ending } = await listen(createServer(), 'connection')
  const connection = connections.own({ host: HOST, port }, { commandTimeoutMs: 100 })
  await connection.ping()
  const given = expect(connection.send(['SET', 'a', '1'])).rejects.toBeInstanceOf(RedisConnectionError)
  // Its grace ends before the deadline does.
  await Promise.all([connection.close(), given])
  expect(await ending).toBe('ECONNRESET')
})

test('one that is closed in peace is ended', async () => {
  const { port, ending } = await listen(createServer(), 'connection')
  const connection = connections.own({ host: HOST, port })
  await connection.ping()
  await connection.close()
  expect(await ending).toBe('end')
})

test.runIf(process.platform === 'linux').each([false, true])(
  'nothing is left with the kernel of what is more than it takes, with TLS: %s',
  async (tls) => {
    const server = await startRedis({ tls })
    closers.push(() => server.stop())
    const ssl = tls ? { ca: server.ca! } : false
    const connection = connections.own({ host: server.host, port: server.port, ssl }, { commandTimeoutMs: 300 })
    await connection.ping()
    const { stream } = connection.native as Redis
    const { localPort } = stream
    const closed = once(stream, 'close')
    server.pause()
    await expect(connection.send(['SET', 'a', Buffer.alloc(30_000_000)])).rejects.toBeInstanceOf(RedisConnectionError)
    await closed
    expect(socketsOf(localPort!, server.port)).toEqual([])
  },
)

/** The states of the kernel's sockets to a server from that port: 04 is one that is closed and goes on to deliver. */
function socketsOf(localPort: number, port: number): string[] {
  const [local, remote] = [localPort, port].map((one) => `0100007F:${one.toString(16).toUpperCase().padStart(4, '0')}`)
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((line) => line[1] === local && line[2] === remote)
    .map((line) => line[3]!)
}
