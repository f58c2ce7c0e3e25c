/** The rights that docs/redis.md lists are all it takes, and not one too many. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCache, type ApplicationConfig } from 'tidemark'
import { startRedisCluster, type RedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { useAll } from '../../helpers/use-all.ts'

const PAGE = readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8')

/** What the page says behind `ACL SETUSER`, for a standalone server and for a node of a cluster. */
function lineOf(kind: 'standalone' | 'cluster'): readonly string[] {
  const lines = PAGE.split('\n').filter((line) => line.startsWith('ACL SETUSER app '))
  const line = lines.find((one) => one.includes('ssubscribe') === (kind === 'cluster'))!
  return line.split(' ').slice(3)
}

async function fails(attempt: Promise<void>): Promise<boolean> {
  return attempt.then(
    () => false,
    () => true,
  )
}

describe('on one server', () => {
  const line = lineOf('standalone')
  let server: RedisServer

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())

  async function login(rights: readonly string[], username: string): Promise<ApplicationConfig['redis']> {
    await server.call('ACL', 'SETUSER', username, 'reset', ...rights)
    const { host, port } = server
    return { host, port, username, password: 'secret', socketTimeout: '1s', healthCheckInterval: 0 }
  }

  test('the line is enough', async () => {
    await useAll(await login(line, 'all'))
  })

  test.each(line.filter((right) => /^[+~&]/.test(right)))('without %s it is not', async (right) => {
    const rest = line.filter((one) => one !== right)
    expect(await fails(useAll(await login(rest, `without-${right}`)))).toBe(true)
  })
})

test('who has other keys is told so, and not of INFO', async () => {
  const server = await startRedis()
  const rights = lineOf('standalone').map((right) => (right.startsWith('~') ? '~other:*' : right))
  await server.call('ACL', 'SETUSER', 'app', 'reset', ...rights)
  const { host, port } = server
  const logger = { info: () => {}, warn: () => {}, error: () => {} }
  const cache = createCache({ redis: { host, port, username: 'app', password: 'secret' }, logger })
  const told: string[] = []
  cache.on('error', ({ error }) => told.push(String(error)))
  await cache.getOrSet('a', () => 1)
  expect(told).toContainEqual(expect.stringContaining('its user needs the keys that begin with cache.keyPrefix'))
  expect(told).not.toContainEqual(expect.stringContaining('+info'))
  await cache.close()
  await server.stop()
})

describe('on a cluster', () => {
  const line = lineOf('cluster')
  let cluster: RedisCluster

  beforeAll(async () => {
    cluster = await startRedisCluster()
  })
  afterAll(() => cluster.stop())

  async function login(rights: readonly string[], username: string): Promise<ApplicationConfig['redis']> {
    await Promise.all(cluster.masters.map((node) => node.call('ACL', 'SETUSER', username, 'reset', ...rights)))
    return { cluster: cluster.nodes, username, password: 'secret', socketTimeout: '1s', healthCheckInterval: 0 }
  }

  test('the line is enough', async () => {
    await useAll(await login(line, 'all'))
  })

  // ASKING is for a slot that moves: without it a read finds nothing then.
  const added = line.filter((right) => !lineOf('standalone').includes(right) && right !== '+asking')
  test.each(added)('without %s it is not', async (right) => {
    const rest = line.filter((one) => one !== right)
    expect(await fails(useAll(await login(rest, `without-${right}`)))).toBe(true)
  })
})
