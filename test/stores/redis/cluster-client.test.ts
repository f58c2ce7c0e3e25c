/** Cluster clients that a user brings: what is read off them, that they are left alone, and what cannot be followed. */
import { Cluster as IoredisCluster } from 'ioredis'
import { Cluster as IovalkeyCluster } from 'iovalkey'
import { createCluster } from 'redis'
import { createCache, CacheConfigurationError, doctor, type CacheManager, type RedisClient } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { placeOf } from '../../../src/stores/redis/cluster-client.ts'
import { startRedisCluster, type RedisCluster } from '../../helpers/redis-cluster.ts'
import { freePort, startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const USER = { username: 'app', password: 'p%40ss:word' }
const SOCKET = { keepAlive: true, connectTimeoutMs: 5000 }

interface Login {
  readonly username?: string
  readonly password?: string
  /** Of the server's certificate. */
  readonly ca?: string
}

type AddressMap = Record<string, { host: string; port: number }>

interface UsersCluster {
  readonly client: RedisClient
  ping(): Promise<unknown>
  end(): unknown
}

const closers: (() => unknown)[] = []
let cluster: RedisCluster
/** A cluster of one node that speaks TLS. */
let secured: RedisServer

beforeAll(async () => {
  const { username, password } = USER
  cluster = await startRedisCluster({ args: ['--user', username, 'on', `>${password}`, '~*', '&*', '+@all'] })
  const bus = ['--cluster-port', String(await freePort())]
  secured = await startRedis({ tls: true, args: ['--cluster-enabled', 'yes', '--tls-cluster', 'yes', ...bus] })
  await secured.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  const info = async (): Promise<string> => String(await secured.call('CLUSTER', 'INFO'))
  await vi.waitFor(async () => expect(await info()).toContain('cluster_state:ok'), { timeout: 10_000 })
})
afterAll(async () => {
  await cluster.stop()
  await secured.stop()
})
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

function ioredisOptions({ ca, ...login }: Login, natMap?: AddressMap) {
  const redisOptions = { ...login, ...(ca !== undefined && { tls: { ca } }) }
  return { lazyConnect: true, redisOptions, ...(natMap !== undefined && { natMap }) } as const
}

const CLIENTS: [string, (nodes: readonly string[], login: Login, map?: AddressMap) => UsersCluster][] = [
  [
    'ioredis',
    (nodes, login, map) => {
      const client = new IoredisCluster([...nodes], ioredisOptions(login, map))
      client.on('error', () => undefined)
      return { client, ping: () => client.get('a'), end: () => client.disconnect() }
    },
  ],
  [
    'iovalkey',
    (nodes, login, map) => {
      const client = new IovalkeyCluster([...nodes], ioredisOptions(login, map))
      client.on('error', () => undefined)
      return { client, ping: () => client.get('a'), end: () => client.disconnect() }
    },
  ],
  [
    'node-redis',
    (nodes, { ca, ...login }, map) => {
      const tls = ca === undefined ? {} : { socket: { tls: true as const, ca } }
      const rootNodes = nodes.map((node) => ({ url: `redis://${node}`, ...login, ...tls }))
      const mapped = map === undefined ? {} : { nodeAddressMap: map }
      const client = createCluster({ rootNodes, defaults: { ...login, ...tls }, ...mapped })
      client.on('error', () => undefined)
      const connected = async (): Promise<unknown> => {
        if (!client.isOpen) await client.connect()
        return client.get('a')
      }
      return { client, ping: connected, end: () => client.isOpen && client.destroy() }
    },
  ],
]

function open(client: RedisClient): CacheManager {
  const cache = createCache({ redis: { client }, logger: SILENT })
  closers.push(() => cache.close())
  return cache
}

async function clientList(): Promise<string> {
  return (await Promise.all(cluster.masters.map((master) => master.call('CLIENT', 'LIST')))).join('')
}

describe.each(CLIENTS)('a cluster client of %s', (_name, make) => {
  function bring(login: Login = {}, map?: AddressMap): UsersCluster {
    const brought = make(cluster.nodes, login, map)
    closers.push(() => brought.end())
    return brought
  }

  test('tells where the nodes are, connected or not, and the cache is shared with others', async () => {
    const { client, ping } = bring()
    const cache = open(client)
    const keys = Array.from({ length: 30 }, (_, i) => `key${i}`)
    await Promise.all(keys.map((key) => cache.set(key, key, { tags: ['t'] })))
    await ping()
    const other = createCache({ redis: { cluster: cluster.nodes }, logger: SILENT })
    closers.push(() => other.close())
    expect(await Promise.all(keys.map((key) => other.get(key)))).toEqual(keys)
    await other.invalidateTags('t')
    expect(await Promise.all(keys.map((key) => cache.get(key)))).toEqual(keys.map(() => undefined))
  })

  test('is not closed, and is of use when the cache has been closed', async () => {
    const { client, ping } = bring()
    await ping()
    const before = (client as unknown as { listenerCount(name: string): number }).listenerCount('error')
    const cache = open(client)
    await cache.set('a', 1)
    await cache.close()
    expect(await ping()).toBeNull()
    expect((client as unknown as { listenerCount(name: string): number }).listenerCount('error')).toBe(before)
    expect(await clientList()).not.toContain('name=tidemark')
  })

  test('tells who we are, and the doctor finds nothing wrong', async () => {
    const cache = open(bring(USER).client)
    await cache.set('a', 1)
    const ours = (await clientList()).split('\n').filter((line) => line.includes('name=tidemark'))
    expect(ours.length).toBeGreaterThan(0)
    expect(ours.filter((line) => !line.includes(`user=${USER.username}`))).toEqual([])
    expect((await doctor(cache)).filter(({ level }) => level === 'problem')).toEqual([])
  })

  test('tells what to put in the place of addresses that are announced', async () => {
    const proxies: FaultProxy[] = []
    const map: AddressMap = {}
    for (const master of cluster.masters) {
      const proxy = await startFaultProxy({ target: master })
      closers.push(() => proxy.close())
      proxies.push(proxy)
      map[`${master.host}:${master.port}`] = { host: proxy.host, port: proxy.port }
    }
    const cache = open(bring({}, map).client)
    await cache.setMany(Array.from({ length: 50 }, (_, i) => [`mapped${i}`, i] as const))
    expect(proxies.map((proxy) => proxy.connections > 0)).toEqual([true, true, true])
    await cache.close()
    expect(await clientList()).not.toContain('name=tidemark')
  })

  test('tells how to trust the certificates', async () => {
    const server = secured
    const { client, end } = make([`${server.host}:${server.port}`], { ca: server.ca! })
    closers.push(() => end())
    const cache = open(client)
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
    const untrusting = make([`${server.host}:${server.port}`], {})
    closers.push(() => untrusting.end())
    await expect(open(untrusting.client).set('a', 1)).rejects.toThrow(/no node of the Redis Cluster/)
  })
})

describe('what connections of our own could not follow is refused', () => {
  const url = 'redis://127.0.0.1:7000'
  const lazy = { lazyConnect: true } as const
  test.each<[string, RedisClient, RegExp]>([
    ['keyPrefix of ioredis', new IoredisCluster([url], { ...lazy, keyPrefix: 'a:' }), /without keyPrefix/],
    [
      'keyPrefix among redisOptions',
      new IoredisCluster([url], { ...lazy, redisOptions: { keyPrefix: 'a:' } }),
      /without keyPrefix/,
    ],
    ['keyPrefix of node-redis', createCluster({ rootNodes: [{ url }], keyPrefix: 'a:' }), /without keyPrefix/],
    ['names for SRV', new IoredisCluster([url], { ...lazy, useSRVRecords: true }), /redis\.cluster, got useSRVRecords/],
    [
      'credentials that change',
      createCluster({
        rootNodes: [{ url }],
        defaults: {
          credentialsProvider: { type: 'async-credentials-provider', credentials: async () => ({ password: 'x' }) },
        },
      }),
      /with username and password, got a credentialsProvider/,
    ],
  ])('%s', (_, client, message) => {
    const make = (): CacheManager => createCache({ redis: { client }, logger: SILENT })
    expect(make).toThrow(CacheConfigurationError)
    expect(make).toThrow(message)
  })
})

describe('what is read off', () => {
  const lazy = { lazyConnect: true } as const
  test.each([
    [
      ['redis://app:p%40ss@h1:7000', 'rediss://h2', 7001],
      ['h1:7000', 'h2:6379', '127.0.0.1:7001'],
    ],
    [
      ['h1:7000', { host: 'h2', port: 7001 }],
      ['h1:7000', 'h2:7001'],
    ],
    [['redis://[::1]:7000'], ['::1:7000']],
  ])('nodes of ioredis, however they are written: %j', (nodes, expected) => {
    const place = placeOf(new IoredisCluster(nodes, lazy) as never, SOCKET)
    expect(place.nodes.map(({ host, port }) => `${host}:${port}`)).toEqual(expected)
  })

  test('user, password and TLS that ioredis is told with a node', () => {
    const place = placeOf(new IoredisCluster(['rediss://app:p%40ss@h1:7000'], lazy) as never, SOCKET)
    expect(place.login).toEqual({ ...SOCKET, username: 'app', password: 'p@ss', ssl: {} })
  })

  test('of node-redis those of all nodes', () => {
    const defaults = { username: 'app', password: 'pw', socket: { tls: true as const, servername: 's', noDelay: true } }
    const place = placeOf(createCluster({ rootNodes: [{ url: 'redis://h1' }], defaults }) as never, SOCKET)
    expect(place.login).toEqual({ ...SOCKET, username: 'app', password: 'pw', ssl: { servername: 's' } })
    expect(place.nodes).toEqual([{ host: 'h1', port: 6379 }])
  })
})
