/** A private redis-server on the feeding core: on a free port of 127.0.0.1, without persistence, gone with this process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import { findRedisServer } from '../../scripts/find-redis.mjs'
import { FEEDING_CORE, pinned } from './machine.mjs'

const HOST = '127.0.0.1'

export async function startRedisServer() {
  const port = await freePort()
  const options = ['--port', String(port), '--bind', HOST, '--save', '', '--appendonly', 'no']
  const [program, args] = pinned(FEEDING_CORE, await findRedisServer(), options)
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await ready(child)
  // When this process dies, in whatever way, the pipe closes and the guard kills the server.
  const guard = spawn('/bin/sh', ['-c', 'cat; kill -9 "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const admin = new Redis({ host: HOST, port })
  const version = /redis_version:(\S+)/.exec(await admin.info('server'))?.[1]
  return {
    host: HOST,
    port,
    pid: child.pid,
    version,
    admin,
    /** What a client is told, in the words of `createCache` and of ioredis alike. */
    address: { host: HOST, port },
    async stop() {
      admin.disconnect()
      guard.kill('SIGKILL')
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** The commands that `operation` sends over the wire; what scripts call inside the server is none of them. */
export async function commandsOf(server, operation) {
  const monitor = await server.admin.monitor()
  const seen = []
  monitor.on('monitor', (_time, args, source) => source !== 'lua' && seen.push(args[0].toLowerCase()))
  await operation()
  await server.admin.echo('end')
  while (!seen.includes('echo')) await once(monitor, 'monitor')
  monitor.disconnect()
  return seen.slice(0, seen.indexOf('echo'))
}

async function ready(child) {
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('Ready to accept connections')) return void child.stdout.resume()
  }
  throw new Error('redis-server did not start')
}

async function freePort() {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
