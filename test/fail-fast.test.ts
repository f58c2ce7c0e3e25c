/** `redis.failFast`: who wants it is told at the start that Redis is not there; who does not comes up without it. */
import Fastify, { type FastifyInstance } from 'fastify'
import { createCache, RedisConnectionError, type RedisConfig } from 'tidemark'
import { setupCache } from 'tidemark/fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { freePort, startRedis, type RedisServer } from './helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const PASSWORD = 'open-sesame'

let server: RedisServer
const closers: (() => unknown)[] = []

beforeAll(async () => {
  server = await startRedis({ requirepass: PASSWORD })
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

function ready(redis: RedisConfig | false): Promise<void> {
  const cache = createCache({ redis, logger: SILENT })
  closers.push(() => cache.close())
  return cache.ready()
}

describe('ready()', () => {
  test('resolves when Redis is there', async () => {
    await ready({ host: server.host, port: server.port, password: PASSWORD, failFast: true })
  })

  test('rejects if it is not, and names host and port, but no password', async () => {
    const port = await freePort()
    const failure = ready({ url: `redis://app:${PASSWORD}@127.0.0.1:${port}`, failFast: true })
    await expect(failure).rejects.toThrow(RedisConnectionError)
    const message = await failure.catch((error: unknown) => String(error))
    expect(message).toContain(`127.0.0.1:${port}`)
    expect(message).not.toContain(PASSWORD)
  })

  test('rejects if Redis refuses the password', async () => {
    const failure = ready({ host: server.host, port: server.port, password: 'wrong', failFast: true })
    await expect(failure).rejects.toThrow(RedisConnectionError)
    await expect(failure).rejects.toThrow(/WRONGPASS/)
  })

  test('rejects if Redis is silent, when the deadline passes', async () => {
    server.pause()
    closers.push(() => server.resume())
    const failure = ready({ host: server.host, port: server.port, socketTimeout: '100ms', failFast: true })
    await expect(failure).rejects.toThrow(/within 100 ms/)
  })

  test('rejects if no node of a cluster is there', async () => {
    const failure = ready({ cluster: [`127.0.0.1:${await freePort()}`], failFast: true })
    await expect(failure).rejects.toThrow(/no node of the Redis Cluster/)
  })

  test('resolves without failFast, and without Redis', async () => {
    await ready({ host: '127.0.0.1', port: await freePort() })
    await ready(false)
  })
})

describe('a Fastify application', () => {
  async function application(port: number, failFast?: boolean): Promise<FastifyInstance> {
    const app = Fastify()
    closers.push(() => app.close())
    setupCache(app, { redis: { host: '127.0.0.1', port, failFast, password: PASSWORD }, logger: SILENT })
    app.get('/', async () => 'here')
    return app
  }

  test('does not listen if Redis is not there', async () => {
    const app = await application(await freePort(), true)
    await expect(app.listen({ port: 0, host: '127.0.0.1' })).rejects.toThrow(RedisConnectionError)
    expect(app.server.listening).toBe(false)
  })

  test('listens if it is', async () => {
    const app = await application(server.port, true)
    await app.listen({ port: 0, host: '127.0.0.1' })
    expect(app.server.listening).toBe(true)
  })

  test('comes up without Redis unless it asks for failFast, and the cache joins in when Redis does', async () => {
    const port = await freePort()
    const app = await application(port)
    expect((await app.inject('/')).body).toBe('here')
    expect(await app.cache.ping()).toBe(false)
    const late = await startRedis({ port, requirepass: PASSWORD })
    closers.push(() => late.stop())
    await expect.poll(() => app.cache.ping(), { timeout: 10_000 }).toBe(true)
  })
})
