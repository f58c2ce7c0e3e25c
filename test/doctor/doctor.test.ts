/** What the doctor finds on real servers that are set up in one way or another. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { createCache, doctor, type ApplicationConfig, type CacheManager, type Finding } from 'tidemark'
import { startFaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { failDumps, MAY_FAIL_DUMPS, refusalOf } from '../helpers/misconf.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'

const LIMITS = ['--user', 'limited', 'on', '>secret', '~*', '&*', '+@all', '-zadd', '-info', '-client']

let server: RedisServer
const caches: CacheManager[] = []

beforeAll(async () => {
  server = await startRedis({ args: LIMITS })
})
afterAll(() => server.stop())
afterEach(async () => {
  await Promise.all(caches.splice(0).map((cache) => cache.close()))
})

async function examine(config: ApplicationConfig): Promise<Readonly<Record<string, Finding>>> {
  const cache = createCache(config)
  caches.push(cache)
  const findings = await doctor(cache)
  return Object.fromEntries(findings.map((finding) => [finding.check, finding]))
}

const configure = (name: string, value: string): Promise<unknown> => server.call('CONFIG', 'SET', name, value)

test('a server that is there, new enough and a primary, near and on time', async () => {
  await server.flush()
  const { latency, version, role, clock, rights, connections } = await examine({ redis: { url: server.url } })
  for (const finding of [latency, version, role, clock, rights, connections]) {
    expect(finding).toMatchObject({ level: 'ok' })
  }
  expect(version?.found).toMatch(/^(redis|valkey) \d/)
  expect(connections?.found).toMatch(/, [1-9]\d* of them connections of tidemark/)
})

test('it leaves nothing behind', async () => {
  await server.flush()
  const cache = createCache({ redis: { url: server.url } })
  caches.push(cache)
  await cache.ping()
  const before = await server.call('DBSIZE')
  await doctor(cache)
  expect(await server.call('DBSIZE')).toBe(before)
})

test('no limit of memory, a policy that evicts nothing, one that evicts stamps, and one that is right', async () => {
  expect((await examine({ redis: { url: server.url } }))['memory']).toMatchObject({ level: 'warning' })
  await configure('maxmemory', '100mb')
  const policies = {
    noeviction: 'warning',
    'allkeys-lru': 'warning',
    'allkeys-lfu': 'warning',
    'allkeys-random': 'warning',
    'volatile-lru': 'ok',
    'volatile-lfu': 'ok',
    'volatile-random': 'ok',
    'volatile-ttl': 'ok',
  }
  for (const [policy, level] of Object.entries(policies)) {
    await configure('maxmemory-policy', policy)
    const { memory, eviction } = await examine({ redis: { url: server.url } })
    expect(memory).toMatchObject({ level: 'ok' })
    expect(eviction).toMatchObject({ level, found: `maxmemory-policy ${policy}` })
  }
  await configure('maxmemory', '0')
})

test('a clock that goes wrong', async () => {
  const clock = { now: () => Date.now() + 5000 }
  const found = (await examine({ redis: { url: server.url }, clock }))['clock']
  expect(found).toMatchObject({ level: 'warning' })
  expect(found?.found).toMatch(/[45]\d{3} ms ahead of Redis/)
})

test('a user who may not do what it takes is told which commands, and no more than their names', async () => {
  const { rights, version } = await examine({
    redis: { host: server.host, port: server.port, username: 'limited', password: 'secret' },
  })
  expect(rights).toMatchObject({ level: 'problem' })
  expect(rights?.found).toMatch(/ZADD: /)
  expect(rights?.found).not.toMatch(/SET: /)
  expect(version).toMatchObject({ level: 'warning' })
  expect(version?.remedy).toMatch(/\+info/)
})

test('a replica is the wrong place', async () => {
  const replica = await startRedis({ args: ['--replicaof', server.host, String(server.port)] })
  try {
    expect((await examine({ redis: { url: replica.url, onFailover: 'trust' } }))['role']).toMatchObject({
      level: 'problem',
    })
  } finally {
    await replica.stop()
  }
})

test('an append-only file', async () => {
  await configure('appendonly', 'yes')
  expect((await examine({ redis: { url: server.url } }))['persistence']).toMatchObject({ level: 'warning' })
  await configure('appendonly', 'no')
  expect((await examine({ redis: { url: server.url } }))['persistence']).toMatchObject({ level: 'ok' })
})

test('a server that is nearly full, and evicts nothing', async () => {
  const [, used] = /used_memory:(\d+)/.exec(String(await server.call('INFO', 'memory')))!
  await configure('maxmemory-policy', 'noeviction')
  await configure('maxmemory', String(Math.round(Number(used) * 1.02)))
  const { eviction } = await examine({ redis: { url: server.url } })
  expect(eviction).toMatchObject({ level: 'problem', remedy: expect.stringContaining('volatile-lru') })
  await configure('maxmemory', '0')
})

test('a server that is full is no matter of rights', async () => {
  await configure('maxmemory-policy', 'noeviction')
  await configure('maxmemory', '1mb')
  const { memory, rights } = await examine({ redis: { url: server.url } })
  await configure('maxmemory', '0')
  expect(memory).toMatchObject({
    level: 'problem',
    found: expect.stringContaining('full'),
    remedy: expect.stringContaining('maxmemory'),
  })
  expect(rights).toMatchObject({ level: 'warning', found: 'not examined: Redis is full' })
})

test('a dump that failed, after which Redis refuses writes, and PING, though it is read', async () => {
  const dumping = await startRedis({ args: MAY_FAIL_DUMPS })
  try {
    await failDumps(dumping)
    const { latency, persistence, rights } = await examine({ redis: { url: dumping.url, onFailover: 'trust' } })
    expect(latency).toMatchObject({ level: 'ok' })
    expect(persistence).toMatchObject({ level: 'problem', found: expect.stringContaining('MISCONF') })
    expect(rights).toMatchObject({ level: 'warning', found: 'not examined: Redis refuses all writes' })
    // Here it would have to write before it is used.
    const anew = await examine({ redis: { url: dumping.url }, cache: { keyPrefix: 'new:' } })
    expect(anew).toMatchObject({ persistence: { level: 'problem', found: expect.stringContaining('MISCONF') } })
    expect(anew).not.toHaveProperty('reach')
  } finally {
    await dumping.stop()
  }
})

test('a script that does not end is told as that, on a connection that is there and on a new one', async () => {
  const busy = await startRedis({ args: ['--lua-time-limit', '50'] })
  try {
    const cache = createCache({ redis: { url: busy.url } })
    caches.push(cache)
    expect(await cache.ping()).toBe(true)
    const script = new Redis(busy.port, busy.host, { protocol: 2, enableReadyCheck: false, disableClientInfo: true })
    const run = script.eval('while true do end', 0).catch(() => undefined)
    await expect.poll(() => refusalOf(busy)).toContain('BUSY')
    const told = {
      check: 'latency',
      level: 'problem',
      found: expect.stringContaining('BUSY'),
      remedy: expect.stringContaining('SCRIPT KILL'),
    }
    expect(await doctor(cache)).toEqual([told])
    expect(await examine({ redis: { url: busy.url } })).toEqual({ latency: told })
    await busy.call('SCRIPT', 'KILL')
    await run
    script.disconnect()
  } finally {
    await busy.stop()
  }
})

test('a server that is far away', async () => {
  const proxy = await startFaultProxy({ target: server })
  proxy.delay({ down: 8 })
  const { latency } = await examine({ redis: { host: proxy.host, port: proxy.port } })
  expect(latency).toMatchObject({ level: 'warning', remedy: expect.stringContaining('cache.l1') })
  await caches.at(-1)!.close()
  await proxy.close()
})

test('connections of our own are counted among all, and too many are told', async () => {
  await configure('maxclients', '12')
  const cache = createCache({ redis: { url: server.url }, cache: { l1: true } })
  caches.push(cache)
  await cache.ping()
  const others = Array.from({ length: 9 }, () => new Redis(server.port, server.host, { lazyConnect: true }))
  await Promise.all(others.map((other) => other.connect()))
  const find = async (): Promise<Finding> => (await doctor(cache)).find(({ check }) => check === 'connections')!
  await expect.poll(find).toMatchObject({ level: 'warning', remedy: expect.stringContaining('maxclients') })
  // One for commands, one that listens.
  expect((await find()).found).toMatch(/^1\d clients of at most 12, 2 of them connections of tidemark$/)
  for (const other of others) other.disconnect()
  await configure('maxclients', '1000')
})

test('each finding that is not ok says in plain words what to do', async () => {
  const { port, host } = server
  const findings = Object.values(await examine({ redis: { host, port, username: 'limited', password: 'secret' } }))
  expect(findings.filter(({ level }) => level !== 'ok').length).toBeGreaterThan(1)
  for (const { level, found, remedy } of findings) {
    expect(found.length).toBeGreaterThan(5)
    if (level !== 'ok') expect(remedy?.length).toBeGreaterThan(5)
  }
})

test('nobody there is the one finding, and the worst come first', async () => {
  const nobody = createCache({ redis: { host: '127.0.0.1', port: 1, socketTimeout: '200ms' } })
  caches.push(nobody)
  const findings = await doctor(nobody)
  expect(findings.map(({ check, level }) => [check, level])).toEqual([['reach', 'problem']])
  expect(findings[0]).toMatchObject({
    found: expect.stringContaining('cannot be reached'),
    remedy: expect.stringMatching(/^start Redis/),
  })
  const there = createCache({ redis: { url: server.url } })
  caches.push(there)
  const levels = (await doctor(there)).map(({ level }) => level)
  expect(levels).toEqual(
    levels.toSorted((a, b) => ['problem', 'warning', 'ok'].indexOf(a) - ['problem', 'warning', 'ok'].indexOf(b)),
  )
})

test('whom it does not let in is told what to correct', async () => {
  const findings = await examine({ redis: { url: server.url, username: 'limited', password: 'wrong' } })
  expect(findings).toEqual({
    reach: {
      check: 'reach',
      level: 'problem',
      found: expect.stringContaining('refused the connection: WRONGPASS'),
      remedy: expect.stringMatching(/^correct redis\.username/),
    },
  })
})

test('a plain port that was taken for one with TLS is no reason to start Redis', async () => {
  const findings = await examine({ redis: { url: server.url.replace('redis:', 'rediss:'), socketTimeout: '300ms' } })
  expect(findings).toEqual({
    reach: {
      check: 'reach',
      level: 'problem',
      found: expect.stringContaining('if this is a plain port, use redis://'),
      remedy: expect.stringMatching(/^correct redis\.ssl/),
    },
  })
})

test('a certificate that nobody vouches for is no reason to start Redis either', async () => {
  const secured = await startRedis({ tls: true })
  try {
    const { host, port } = secured
    const { reach } = await examine({ redis: { host, port, ssl: true, socketTimeout: '2s' } })
    expect(reach?.found).toContain('self-signed certificate')
    expect(reach?.remedy).toMatch(/^correct redis\.ssl/)
    const plain = await examine({ redis: { host, port, socketTimeout: '2s' } })
    expect(plain['reach']?.found).toContain('without an answer')
    expect(plain['reach']?.remedy).toMatch(/^start Redis.*; or correct redis\.ssl/)
  } finally {
    await secured.stop()
  }
})

test('nor is an answer that is no TLS', async () => {
  const stranger = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.end('hello\r\n')))
  await once(stranger.listen(0, '127.0.0.1'), 'listening')
  try {
    const { port } = stranger.address() as AddressInfo
    const { reach } = await examine({ redis: { host: '127.0.0.1', port, ssl: true, socketTimeout: '2s' } })
    expect(reach?.found).toContain('does not speak TLS')
    expect(reach?.remedy).toMatch(/^correct redis\.ssl/)
  } finally {
    stranger.close()
  }
})

test.each([{ host: 'certificate-store.localhost', port: 1 }, { path: '/nowhere/TLS/certificate/redis.sock' }])(
  'what a server is called says nothing of TLS: %o',
  async (redis) => {
    const { reach } = await examine({ redis: { ...redis, socketTimeout: '500ms' } })
    expect(reach?.found).toMatch(/certificate/)
    expect(reach?.remedy).toMatch(/^start Redis, or correct redis\.url and the network between; routes/)
  },
)

test('a user who may not PING lacks a right, not a server', async () => {
  await server.call('ACL', 'SETUSER', 'mute', 'on', '>secret', '~*', '&*', '+@all', '-ping')
  const findings = await examine({ redis: { url: server.url, username: 'mute', password: 'secret' } })
  expect(Object.keys(findings)).toEqual(['rights'])
  expect(findings['rights']?.found).toMatch(/NOPERM/)
})

test('a cache without Redis is told how to share', async () => {
  expect(await examine({ redis: false })).toMatchObject({ store: { level: 'ok' } })
})

test('what is no cache is refused', async () => {
  const expected = 'cache: expected a CacheManager, as createCache() or setupCache() returns it, got undefined'
  await expect(doctor(undefined as unknown as CacheManager)).rejects.toThrow(expected)
})
