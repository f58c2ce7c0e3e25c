import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import {
  CacheConfigurationError,
  CacheDeserializationError,
  type CacheManager,
  createCache,
  loadConfig,
  MemoryStore,
  systemClock,
  type ApplicationConfig,
} from 'tidemark'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startRedis, type RedisServer } from './helpers/redis.ts'

let server: RedisServer
let open: CacheManager[] = []
let logged: string[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  logged = []
  await server.flush()
})
afterAll(() => server.stop())

const log = (message: string): void => void logged.push(message)

function make(config?: ApplicationConfig): CacheManager {
  const cache = createCache({ logger: { info: log, warn: log, error: log }, ...config })
  open.push(cache)
  return cache
}

async function keysIn(redis: RedisServer): Promise<string[]> {
  return (await redis.call('KEYS', '*')) as string[]
}

describe('without a configuration', () => {
  test('entries are kept in memory, which is said once in the log', async () => {
    const caches = [make(), make()]
    expect(logged).toEqual(['tidemark: no Redis configured, entries are kept in the memory of this process'])
    await caches[0]!.set('a', 1)
    expect(await caches[0]!.get('a')).toBe(1)
    expect(await caches[1]!.get('a')).toBeUndefined()
  })

  test('which is not said of a memory that somebody asked for', async () => {
    vi.resetModules()
    const anew = await import('../src/create-cache.ts')
    const logger = { info: log, warn: log, error: log }
    anew.createCache({ redis: false, logger })
    expect(logged).toEqual([])
    anew.createCache({ logger })
    expect(logged).toHaveLength(1)
  })

  test('a variable with a slip in it is told of once, though not refused', () => {
    vi.stubEnv('REDIS_URLL', 'redis://:hunter22@localhost')
    make({ redis: false })
    expect(logged).toEqual([])
    make()
    make(loadConfig(process.env, { logger: { info: log, warn: log, error: log } }))
    expect(logged).toEqual(['tidemark: the variable REDIS_URLL means nothing: did you mean REDIS_URL?'])
  })

  test('the environment is asked', async () => {
    vi.stubEnv('REDIS_URL', server.url)
    vi.stubEnv('CACHE_KEY_PREFIX', 'env:')
    vi.stubEnv('CACHE_DEFAULT_TTL', '5m')
    const cache = make()
    vi.unstubAllEnvs()
    await cache.set('a', 1)
    expect(await cache.ttl('a')).toBeCloseTo(300, 0)
    for (const key of await keysIn(server)) expect(key).toMatch(/^env:/)
  })
})

describe('a configuration', () => {
  test('is refused at once, with everything that is wrong in it', () => {
    const config = { cache: { defaultTtl: -1, strategy: 'MRU' }, redis: { port: 'x' }, unknown: 1 }
    const refused = (): CacheManager => createCache(config as unknown as ApplicationConfig)
    expect(refused).toThrow(CacheConfigurationError)
    expect(refused).toThrow(/cache\.defaultTtl[^]*cache\.strategy[^]*redis\.port|unknown/)
  })

  test('that was loaded before is taken as it is', async () => {
    const cache = make(loadConfig({}, { redis: false, cache: { defaultTtl: 7 } }))
    await cache.set('a', 1)
    expect(await cache.ttl('a')).toBeGreaterThan(6.9)
    expect(await cache.ttl('a')).toBeLessThanOrEqual(7)
  })

  test('may name a store of your own', async () => {
    const limits = { maxEntries: 10, maxBytes: 1e6, strategy: 'LRU', stampsMs: 1e6 } as const
    const store = new MemoryStore({ ...limits, clock: systemClock })
    const [one, other] = [make({ store }), make({ store })]
    await one.set('a', 1)
    expect(await other.get('a')).toBe(1)
  })
})

describe('in memory', () => {
  test.each([
    ['LRU', 'b'],
    ['FIFO', 'a'],
  ] as const)('%s decides what is given up first, and it is told', async (strategy, victim) => {
    const cache = make({ redis: false, cache: { strategy, memory: { maxEntries: 2 } } })
    const evicted: string[] = []
    cache.on('evict', ({ id }) => evicted.push(id))
    await cache.set('a', 1)
    await cache.set('b', 1)
    await cache.get('a')
    await cache.set('c', 1)
    expect(evicted).toEqual([`k::${victim}`])
    expect(await cache.exists(['a', 'b', 'c'])).toBe(2)
  })

  test('what is larger than all the room is not kept', async () => {
    const cache = make({ redis: false, cache: { memory: { maxBytes: '10kb' } } })
    await cache.set('a', 'x'.repeat(20_000))
    expect(await cache.exists('a')).toBe(0)
    expect(await cache.getOrSet('a', () => 'y'.repeat(20_000))).toHaveLength(20_000)
  })
})

describe('on Redis', () => {
  test('it connects with the first call', async () => {
    const cache = make({ redis: { url: server.url } })
    const connections = async (): Promise<number> =>
      String(await server.call('CLIENT', 'LIST')).split('name=tidemark').length - 1
    expect(await connections()).toBe(0)
    await cache.get('a')
    expect(await connections()).toBe(1)
    await cache.close()
    await expect.poll(connections).toBe(0)
  })

  test('every key bears the prefix, and lives no longer than its entry', async () => {
    const cache = make({ redis: { url: server.url }, cache: { keyPrefix: 'shop:' } })
    await cache.set('a', 1, { ttl: 10, swr: 20, grace: 30, namespace: 'n' })
    const keys = await keysIn(server)
    for (const key of keys) expect(key).toMatch(/^shop:\{#0\}/)
    const pttl = (await server.call('PTTL', 'shop:{#0}k:n:a')) as number
    expect(pttl).toBeGreaterThan(59_000)
    expect(pttl).toBeLessThanOrEqual(60_000)
  })

  test.each([['gzip'], ['brotli']] as const)(
    'values are compressed with %s, if that is asked for',
    async (algorithm) => {
      const compression = { compressionEnabled: true, compressionAlgorithm: algorithm, compressionThreshold: 100 }
      const cache = make({ redis: { url: server.url }, cache: compression })
      const value = { text: 'tide '.repeat(2000) }
      await cache.set('a', value)
      expect(cache.getStatistics().bytesWritten).toBeLessThan(500)
      expect(await cache.get('a')).toEqual(value)
      await cache.set('b', value, { compress: false })
      expect(cache.getStatistics().bytesWritten).toBeGreaterThan(10_000)
    },
  )

  test.each([
    [true, 'plain'],
    [false, Buffer.from('plain')],
  ])('what another program stored as a plain string, with decodeResponses: %s', async (decodeResponses, expected) => {
    const cache = make({ redis: { url: server.url, decodeResponses } })
    await server.call('SET', 'cache:{#0}k::a', 'plain')
    expect(await cache.get('a')).toEqual(expected)
    expect(await cache.ttl('a')).toBe(Infinity)
    expect(await cache.delete('a')).toBe(1)
  })

  test('bytes that cannot be read are a miss, and told of', async () => {
    const cache = make({ redis: { url: server.url } })
    const errors: unknown[] = []
    cache.on('error', ({ error }) => errors.push(error))
    await cache.set('a', { x: 1 })
    await server.call('SETRANGE', 'cache:{#0}k::a', '40', 'garbage')
    expect(await cache.get('a')).toBeUndefined()
    expect(errors).toEqual([expect.any(CacheDeserializationError)])
    expect(cache.getStatistics()).toMatchObject({ misses: 1, errors: 1 })
    expect(logged).toEqual([expect.stringContaining('ERR_CACHE_DESERIALIZATION')])
    expect(await cache.getOrSet('a', () => 2)).toBe(2)
    await expect.poll(() => cache.get('a')).toBe(2)
  })

  test('an ioredis client of your own is used, and not closed', async () => {
    const client = new Redis(server.url)
    const cache = make({ redis: { client } })
    await cache.set('a', 1)
    expect(await cache.getOrSet('a', () => 2)).toBe(1)
    await cache.close()
    expect(await client.ping()).toBe('PONG')
    client.disconnect()
  })

  test('so is a node-redis client', async () => {
    const client = createClient({ url: server.url })
    await client.connect()
    const cache = make({ redis: { client } })
    await cache.set('a', { at: new Date(5) })
    expect(await cache.get('a')).toEqual({ at: new Date(5) })
    await cache.close()
    expect(await client.ping()).toBe('PONG')
    client.destroy()
  })
})

describe('a process that forgets close()', () => {
  const run = promisify(execFile)
  let directory: string
  let bundle: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidemark-exit-'))
    bundle = join(directory, 'tidemark.cjs')
    const entry = new URL('../src/index.ts', import.meta.url).pathname
    await build({ entryPoints: [entry], outfile: bundle, bundle: true, platform: 'node', format: 'cjs' })
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  test.each([
    ['with idle connections', 'await cache.set("a", 1); await cache.getOrSet("b", () => 2)'],
    ['with a loader that never ends', 'void cache.getOrSet("c", () => new Promise(() => {}))'],
    ['with a lease that nobody ends', 'await cache.begin("d")'],
    [
      'with entries to be refreshed',
      'await cache.set("e", 1, { ttl: "1ms", swr: 60 }); await cache.getOrSet("e", () => 2)',
    ],
  ])('ends all the same, %s', async (_, work) => {
    const script = `
      const { createCache } = require(${JSON.stringify(bundle)})
      const logger = { info() {}, warn() {}, error() {} }
      const redis = process.env.SERVER === undefined ? false : { url: process.env.SERVER }
      const cache = createCache({ redis, logger })
      void (async () => { ${work}; await cache.ping() })()`
    for (const SERVER of [undefined, server.url]) {
      await run(process.execPath, ['-e', script], { timeout: 5000, env: { PATH: process.env['PATH'], SERVER } })
    }
  })
})
