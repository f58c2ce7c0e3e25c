/** Many caches over one client that the user brought, and whatever the user did with it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createCache, type CacheManager, type RedisClient } from 'tidemark'
import { Connections, KINDS, type Kind } from '../../helpers/connections.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const USERS = KINDS.filter((kind): kind is Exclude<Kind, 'own'> => kind !== 'own')
const EVENTS = ['error', 'ready', 'close', 'end', 'terminated']

interface Client extends RedisClient {
  connect(): Promise<unknown>
  select(db: number): Promise<unknown>
  listenerCount(event: string): number
}

const connections = new Connections()
const caches: CacheManager[] = []
let server: RedisServer

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
  await connections.closeAll()
  await server.flush()
})

function over(client: Client, keyPrefix: string): CacheManager {
  const cache = createCache({ redis: { client }, cache: { keyPrefix, l1: true }, logger: SILENT })
  caches.push(cache)
  return cache
}

/** A command as the user says it. */
function say(client: object, command: string): unknown {
  if ('sendCommand' in client && !('call' in client))
    return (client.sendCommand as (args: string[]) => unknown)([command])
  return (client as { call: (command: string) => unknown }).call(command)
}

describe.each(USERS)('%s', (kind) => {
  test('twelve caches on one client listen to it as one does, and leave nothing', async () => {
    const client = connections.client(kind, server) as unknown as Client
    const listeners = (): number[] => EVENTS.map((event) => client.listenerCount(event))
    const before = listeners()
    await over(client, 'one:').set('k', 1)
    const withOne = listeners()
    for (let n = 0; n < 11; n++) await over(client, `${n}:`).set('k', 1)
    expect(listeners()).toEqual(withOne)
    await Promise.all(caches.map((cache) => cache.close()))
    expect(listeners()).toEqual(before)
  })

  test('inside of a transaction of the user nothing is taken for done', async () => {
    const client = connections.client(kind, server) as unknown as Client
    const cache = over(client, 'multi:')
    await cache.set('a', 1)
    await say(client, 'MULTI')
    const calls = [cache.set('b', 1), cache.delete('a'), cache.invalidateTags('t')]
    const outcomes = await Promise.allSettled(calls)
    await say(client, 'DISCARD')
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { replyCode: 'QUEUED' } })
    expect(await cache.get('a')).toBeUndefined()
  })

  test('in a database that was selected on the client the messages of that database are heard', async () => {
    const client = connections.client(kind, server) as unknown as Client
    await client.connect()
    await client.select(3)
    const near = over(client, 'cache:')
    const { host, port } = server
    const other = createCache({ redis: { host, port, db: 3 }, logger: SILENT })
    caches.push(other)
    await near.set('k', 'old')
    const isNear = async (): Promise<unknown> => {
      await near.get('k')
      await server.resetStats()
      expect(await near.get('k')).toBe('old')
      return (await server.commandStats())['mget']
    }
    await expect.poll(isNear, { timeout: 5000 }).toBeUndefined()
    await other.delete('k')
    await expect.poll(() => near.get('k'), { timeout: 1000 }).toBeUndefined()
  })
})
