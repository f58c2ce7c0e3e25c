/** A private redis-server for a test file: on a free port of 127.0.0.1, without persistence, gone when the tests are. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { findRedisServer } from '../../scripts/find-redis.mjs'
import { makeCertificate, type Certificate } from './certificate.ts'

export interface RedisServerOptions {
  /** More arguments for redis-server: `['--user', 'alice', 'on', '>secret', '~*', '+@all']`. */
  readonly args?: readonly string[]
  readonly port?: number
  readonly requirepass?: string
  /** Listen for TLS, and for nothing else, on the port, with a certificate that is made for it. */
  readonly tls?: boolean
  /** Listen on a unix socket as well. */
  readonly unixSocket?: boolean
}

export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly url: string
  readonly socketPath: string | undefined
  /** What a TLS client has to trust. */
  readonly ca: string | undefined
  pid(): number
  /** It is killed, and its directory is removed. */
  stop(): Promise<void>
  /** SIGKILL; `restart` brings it back. */
  kill(): Promise<void>
  /** SIGSTOP: the kernel still accepts connections, nobody answers. */
  pause(): void
  resume(): void
  /** The same port, and no data. */
  restart(): Promise<void>
  /** How many times the server has executed each command since `resetStats`: `{ mget: 2 }`. */
  commandStats(): Promise<Record<string, number>>
  resetStats(): Promise<void>
  flush(): Promise<void>
  /** A command over a connection of its own. */
  call(name: string, ...args: string[]): Promise<unknown>
}

const HOST = '127.0.0.1'

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-redis-'))
  const certificate = options.tls ? makeCertificate(HOST) : undefined
  if (certificate !== undefined) await writeCertificate(directory, certificate)
  const socketPath = options.unixSocket ? join(directory, 'redis.sock') : undefined
  const start = (port: number): Promise<RunningServer> =>
    startProcess(directory, [...listenArgs(options, { port, directory, socketPath }), ...(options.args ?? [])])

  const { port, server } = await startOn(options.port, start)
  let running = server
  const admin = new Redis({
    ...(certificate === undefined ? {} : { tls: { ca: certificate.cert } }),
    ...(options.requirepass === undefined ? {} : { password: options.requirepass }),
    host: HOST,
    port,
    lazyConnect: true,
    protocol: 2,
    disableClientInfo: true,
    enableReadyCheck: false,
    retryStrategy: () => 20,
  })
  admin.on('error', () => undefined)

  return {
    host: HOST,
    port,
    url: `${options.tls ? 'rediss' : 'redis'}://${HOST}:${port}`,
    socketPath,
    ca: certificate?.cert,
    pid: () => running.pid,
    async stop() {
      admin.disconnect()
      await running.end()
      await rm(directory, { recursive: true, force: true })
    },
    kill: () => running.end(),
    pause: () => void process.kill(running.pid, 'SIGSTOP'),
    resume: () => void process.kill(running.pid, 'SIGCONT'),
    async restart() {
      await running.end()
      running = await start(port)
    },
    commandStats: async () => parseCommandStats(await admin.info('commandstats')),
    resetStats: async () => void (await admin.config('RESETSTAT')),
    flush: async () => void (await admin.flushall()),
    call: (name, ...args) => admin.call(name, args),
  }
}

/** A port that was free a moment ago may have been taken; the second choice hardly ever. */
async function startOn(
  port: number | undefined,
  start: (port: number) => Promise<RunningServer>,
): Promise<{ port: number; server: RunningServer }> {
  if (port !== undefined) return { port, server: await start(port) }
  const first = await freePort()
  try {
    return { port: first, server: await start(first) }
  } catch {
    const second = await freePort()
    return { port: second, server: await start(second) }
  }
}

interface Place {
  readonly port: number
  readonly directory: string
  readonly socketPath: string | undefined
}

function listenArgs({ tls, requirepass }: RedisServerOptions, { port, directory, socketPath }: Place): string[] {
  const file = (name: string): string => join(directory, name)
  const listen = tls
    ? ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-cert-file', file('cert.pem')]
    : ['--port', String(port)]
  return [
    ...listen,
    ...(tls ? ['--tls-key-file', file('key.pem'), '--tls-ca-cert-file', file('cert.pem')] : []),
    ...(socketPath === undefined ? [] : ['--unixsocket', socketPath]),
    ...(requirepass === undefined ? [] : ['--requirepass', requirepass]),
    '--bind',
    HOST,
    '--dir',
    directory,
    '--save',
    '',
  ]
}

async function writeCertificate(directory: string, { cert, key }: Certificate): Promise<void> {
  await writeFile(join(directory, 'cert.pem'), cert)
  await writeFile(join(directory, 'key.pem'), key)
  await chmod(join(directory, 'key.pem'), 0o600)
}

interface RunningServer {
  readonly pid: number
  end(): Promise<void>
}

async function startProcess(directory: string, args: readonly string[]): Promise<RunningServer> {
  const child = spawn(await findRedisServer(), args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await ready(child)
  const pid = child.pid!
  // When this process dies, in whatever way, the pipe closes and the guard clears up.
  const clearUp = ['-c', 'cat; kill -9 "$0"; rm -rf "$1"', String(pid), directory]
  const guard = spawn('/bin/sh', clearUp, { stdio: ['pipe', 'ignore', 'ignore'] })
  for (const handle of [child, guard]) handle.unref()
  for (const stream of [child.stdout, guard.stdin] as unknown as { unref(): void }[]) stream.unref()
  return {
    pid,
    async end() {
      guard.kill('SIGKILL')
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.ref()
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function ready(child: ChildProcess): Promise<void> {
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout! })) {
    said.push(line)
    if (line.includes('Ready to accept connections')) return void child.stdout!.resume()
  }
  throw new Error(`redis-server did not start:\n${said.join('\n')}`)
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** `cmdstat_get:calls=2,usec=...`, of subcommands `cmdstat_config|get`. */
function parseCommandStats(info: string): Record<string, number> {
  return Object.fromEntries(
    Array.from(info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm), ([, name, calls]) => [name!, Number(calls)]),
  )
}
