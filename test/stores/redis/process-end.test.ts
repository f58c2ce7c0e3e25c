/** A process that forgets `close()` can still end; one that waits for Redis does not end before it has its answer. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

let directory: string
let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
  directory = await mkdtemp(join(tmpdir(), 'tidemark-process-'))
  await build({
    entryPoints: [new URL('../../../src/stores/redis/connection.ts', import.meta.url).pathname],
    outfile: join(directory, 'connection.cjs'),
    bundle: true,
    platform: 'node',
    format: 'cjs',
  })
})
afterAll(async () => {
  await rm(directory, { recursive: true, force: true })
  await server.stop()
})

/** What a process prints that ends by itself; it is killed, and the test fails, if it does not. */
async function run(port: number, code: string, timeoutMs = 60_000): Promise<string> {
  const program = `
    const timeoutMs = ${timeoutMs}
    const { RedisConnection } = require('./connection.cjs')
    const server = { host: '127.0.0.1', port: ${port}, db: 0, ssl: false, keepAlive: true, connectTimeoutMs: 10_000 }
    const options = { server, commandTimeoutMs: timeoutMs, healthCheckIntervalMs: 30_000, maxConnections: 50 }
    const connection = new RedisConnection(options)
    async function main() { ${code} }
    main().then(() => console.log('done'))`
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { cwd: directory, timeout: 10_000 })
  return stdout.trim()
}

test('a process that never used its connection ends', async () => {
  expect(await run(server.port, '')).toBe('done')
})

test('a process ends with its connection open', async () => {
  expect(await run(server.port, "console.log(String(await connection.send(['PING'])))")).toBe('PONG\ndone')
})

test('a process ends with further connections open', async () => {
  const code =
    "await connection.ping(); await Promise.all(Array.from({ length: 1000 }, () => connection.send(['PING'])))"
  expect(await run(server.port, code)).toBe('done')
})

test('a process ends although Redis is away and the connection is still trying', async () => {
  expect(await run(1, 'console.log(await connection.ping())')).toBe('false\ndone')
})

test('a process that awaits a silent server lives until the deadline has told it', async () => {
  const code = `
    await connection.ping()
    process.kill(${server.pid()}, 'SIGSTOP')
    const failure = await connection.send(['GET', 'a']).catch((error) => error)
    process.kill(${server.pid()}, 'SIGCONT')
    console.log(failure.code)`
  expect(await run(server.port, code, 1000)).toBe('ERR_CACHE_REDIS_CONNECTION\ndone')
})

test('a process that has closed its connection ends', async () => {
  expect(await run(server.port, 'await connection.ping(); await connection.close()')).toBe('done')
})
