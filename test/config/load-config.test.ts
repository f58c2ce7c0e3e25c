import { Redis } from 'ioredis'
import { createClient, createClientPool } from 'redis'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import type { RedisClient, RedisConfig } from '../../src/config/redis-config.ts'
import { faultsOf, refused } from './faults.ts'
import { store } from './store.ts'

const client = new Redis({ lazyConnect: true })

describe('what is in force', () => {
  test('is, without a word from anybody, the defaults and no Redis', () => {
    expect(loadConfig({})).toEqual({
      environment: 'development',
      debug: false,
      redis: undefined,
      cache: {
        defaultTtl: 3600,
        maxTtl: 86_400,
        keyPrefix: 'cache:',
        compressionEnabled: false,
        compressionThreshold: 1024,
        compressionAlgorithm: 'gzip',
        strategy: 'LRU',
        enableStatistics: true,
        memory: { maxEntries: 10_000, maxBytes: 67_108_864 },
        l1: false,
        onError: 'serve',
        leaseTime: 5,
        waitTime: 10,
        signingKey: undefined,
      },
      store: undefined,
      clock: systemClock,
      logger: console,
    })
  })

  test('is, for redis: {}, the Redis on this machine', () => {
    expect(loadConfig({}, { redis: {} }).redis).toEqual({
      host: 'localhost',
      port: 6379,
      path: undefined,
      db: 0,
      username: undefined,
      password: undefined,
      ssl: false,
      socketTimeout: 5,
      socketConnectTimeout: 5,
      socketKeepalive: true,
      healthCheckInterval: 30,
      maxConnections: 50,
      decodeResponses: true,
      onFailover: 'invalidate',
      failFast: false,
    })
  })

  test('is, field by field, what the code says, else the environment, else the default', () => {
    const env = { CACHE_DEFAULT_TTL: '1m', CACHE_KEY_PREFIX: 'env:', REDIS_HOST: 'env.example', REDIS_DB: '3' }
    const { cache, redis } = loadConfig(env, { cache: { keyPrefix: 'code:' }, redis: { host: 'code.example' } })
    expect(cache).toMatchObject({ defaultTtl: 60, keyPrefix: 'code:', maxTtl: 86_400 })
    expect(redis).toMatchObject({ host: 'code.example', db: 3, port: 6379 })
  })

  test('is not changed by undefined in code', () => {
    const config = { debug: undefined, redis: undefined, cache: { keyPrefix: undefined, memory: undefined } }
    expect(loadConfig({ CACHE_KEY_PREFIX: 'env:', REDIS_DB: '1' }, config)).toMatchObject({
      cache: { keyPrefix: 'env:' },
      redis: { db: 1 },
    })
  })

  test('does not depend on a variable that code overrides, be it nonsense', () => {
    const env = { REDIS_PORT: 'tcp://10.0.0.1:6379', REDIS_URL: 'nonsense' }
    const redis = { port: 6380, url: 'redis://code.example' }
    expect(loadConfig(env, { redis }).redis).toMatchObject({ host: 'code.example', port: 6380 })
  })

  test('holds durations in seconds', () => {
    const { cache, redis } = loadConfig(
      {},
      {
        redis: { healthCheckInterval: 0, socketTimeout: '1h' },
        cache: { defaultTtl: 0.07, leaseTime: '250ms', maxTtl: '7d' },
      },
    )
    expect(redis).toMatchObject({ healthCheckInterval: 0, socketTimeout: 3600 })
    expect(cache).toMatchObject({ defaultTtl: 0.07, leaseTime: 0.25, maxTtl: 604_800 })
  })

  test('holds sizes in bytes', () => {
    const sizes = [0, 7, '512b', '1.5kb', '64MB' as '64mb', '2gb'] as const
    const threshold = (compressionThreshold: (typeof sizes)[number]): number =>
      loadConfig({}, { cache: { compressionThreshold } }).cache.compressionThreshold
    expect(sizes.map(threshold)).toEqual([0, 7, 512, 1536, 67_108_864, 2_147_483_648])
  })

  test('is frozen, but not what belongs to others', () => {
    const ssl = { ca: 'PEM' }
    const clock = { now: () => 0 }
    const logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
    const config = loadConfig({}, { clock, logger, redis: { ssl } })
    const parts = [config, config.cache, config.cache.memory, config.redis]
    expect(parts.map((part) => Object.isFrozen(part))).toEqual([true, true, true, true])
    expect([ssl, clock, logger, loadConfig({}, { store }).store].map((part) => Object.isFrozen(part))).toEqual([
      false,
      false,
      false,
      false,
    ])
    expect(config).toMatchObject({ clock, logger, redis: { ssl } })
  })

  test('does not change with the object it was made of', () => {
    const memory = { maxEntries: 5 }
    const config = loadConfig({}, { cache: { memory } })
    memory.maxEntries = 6
    expect(config.cache.memory.maxEntries).toBe(5)
    expect(Object.isFrozen(memory)).toBe(false)
  })
})

describe('a loaded configuration', () => {
  test('is taken as it is, whatever the environment says', () => {
    const env = { REDIS_URL: 'redis://:other@other.example/7', CACHE_KEY_PREFIX: 'other:' }
    const config = loadConfig({ REDIS_URL: 'rediss://a:b@h.example:1/2' })
    expect(loadConfig(env, config)).toBe(config)
    const memory = loadConfig({})
    expect(loadConfig(env, memory)).toBe(memory)
  })

  test.each([
    ['a server', { REDIS_URL: 'redis://h.example' }, {}],
    ['a socket', { REDIS_URL: 'redis+unix:///run/r.sock' }, {}],
    ['a client', {}, { redis: { client } }],
    ['a store', {}, { store }],
  ])('with %s may be spread into another', (_what, from, explicit) => {
    const config = loadConfig(from, explicit)
    expect(loadConfig(from, { ...config, debug: true })).toEqual({ ...config, debug: true })
  })

  test('lends its sections to changes', () => {
    const { redis, cache } = loadConfig({ REDIS_URL: 'redis+unix://:secret@/run/r.sock?db=2' })
    const changed = loadConfig({}, { redis: { ...redis, db: 3 }, cache: { ...cache, maxTtl: '2d' } })
    expect(changed.redis).toMatchObject({ path: '/run/r.sock', password: 'secret', db: 3 })
    expect(changed.cache).toEqual({ ...cache, maxTtl: 172_800 })
  })
})

describe('the memory in front of Redis', () => {
  test.each([
    [true, { maxStaleness: 0.5 }],
    [{}, { maxStaleness: 0.5 }],
    [{ maxStaleness: '250ms' }, { maxStaleness: 0.25 }],
    [false, false],
  ] as const)('is, for %j, %j', (l1, resolved) => {
    expect(loadConfig({}, { cache: { l1 } }).cache.l1).toEqual(resolved)
  })

  test.each([
    ['true', { maxStaleness: 0.5 }],
    ['no', false],
    ['2', { maxStaleness: 2 }],
    ['100ms', { maxStaleness: 0.1 }],
  ])('is, for CACHE_L1=%s, %j', (CACHE_L1, resolved) => {
    expect(loadConfig({ CACHE_L1 }).cache.l1).toEqual(resolved)
  })
})

describe('whether there is a Redis', () => {
  test('any of its variables asks for it', () => {
    expect(loadConfig({ REDIS_DECODE_RESPONSES: 'no' }).redis).toMatchObject({
      host: 'localhost',
      decodeResponses: false,
    })
  })

  test('a variable of somebody else, or an empty one, does not', () => {
    expect(loadConfig({ REDIS_SERVICE_HOST: '10.0.0.1', REDIS_URL: '', REDIS_PORT: '' }).redis).toBeUndefined()
  })

  test('redis: false is memory, and its variables are not looked at', () => {
    expect(loadConfig({ REDIS_HOST: 'h.example', REDIS_PORT: 'x' }, { redis: false }).redis).toBeUndefined()
  })

  test('a store of your own is used instead, and the variables are not looked at', () => {
    const config = loadConfig({ REDIS_HOST: 'h.example', REDIS_PORT: 'x' }, { store })
    expect(config.store).toBe(store)
    expect(config.redis).toBeUndefined()
  })

  test('a store and redis contradict each other', () => {
    expect(faultsOf({ store, redis: {} })).toEqual([
      { path: 'redis', expected: 'not to be set beside store', got: 'both' },
    ])
    expect(loadConfig({}, { store, redis: false }).store).toBe(store)
  })
})

describe('a client of your own', () => {
  const clients = [
    ['ioredis', client],
    ['node-redis', createClient()],
  ] as const

  test.each(clients)('may be %s, and says where Redis is', (_name, own) => {
    const { redis } = loadConfig({}, { redis: { client: own, socketTimeout: 1 } })
    expect(redis?.client).toBe(own)
    expect(Object.keys(redis ?? {}).toSorted()).toEqual([
      'client',
      'decodeResponses',
      'failFast',
      'healthCheckInterval',
      'maxConnections',
      'onFailover',
      'socketConnectTimeout',
      'socketKeepalive',
      'socketTimeout',
    ])
    expect(redis?.socketTimeout).toBe(1)
  })

  test('must be a client, and no pool of them', () => {
    for (const own of [{}, null, 'redis://h', createClientPool(), { sendCommand: 1, duplicate: 2, on: 3 }]) {
      expect(refused({ redis: { client: own } })).toEqual(['redis.client'])
    }
  })

  test('a pool of node-redis is named, and what to give instead', () => {
    const load = (): unknown => loadConfig({}, { redis: { client: createClientPool() as unknown as RedisClient } })
    expect(load).toThrow(
      /redis\.client: expected one client of .*, not a pool .*, got a pool of node-redis .*, where createClient is enough$/,
    )
  })

  test('that is undefined is refused at once, whatever else says where Redis is', () => {
    const redis = { client: undefined } as unknown as RedisConfig
    const expected =
      /redis\.client: expected one client of ioredis, iovalkey or node-redis, .*, or no such key, got undefined$/
    expect(() => loadConfig({}, { redis })).toThrow(expected)
    expect(() => loadConfig({ REDIS_URL: 'redis://h' }, { redis })).toThrow(expected)
    expect(() => loadConfig({}, { redis: { ...redis, url: 'redis://h' } })).toThrow(expected)
  })

  test('is not in a configuration without one, which may be taken apart and put together again', () => {
    const config = loadConfig({}, { redis: { host: 'h' } })
    expect(loadConfig({}, { ...config, redis: { ...config.redis!, db: 3 } }).redis).toMatchObject({ host: 'h', db: 3 })
  })

  test('contradicts what says where Redis is', () => {
    const redis = {
      client,
      url: 'redis://h',
      host: 'h',
      port: 1,
      path: '/run/r.sock',
      db: 1,
      username: 'u',
      password: 'p',
      ssl: true,
    }
    const { client: _client, ...place } = redis
    expect(refused({ redis })).toEqual(Object.keys(place).map((name) => `redis.${name}`))
  })

  test('makes the environment count for nothing', () => {
    const env = { REDIS_URL: 'redis://h.example', REDIS_SOCKET_TIMEOUT: '9', REDIS_PORT: 'x' }
    expect(loadConfig(env, { redis: { client } }).redis).toMatchObject({ client, socketTimeout: 5 })
  })
})

describe('a Redis URL', () => {
  test('is taken apart, and not kept', () => {
    const { redis } = loadConfig({}, { redis: { url: 'rediss://us%40er:p%3Ass@h.example:6380/2' } })
    expect(redis).toMatchObject({
      host: 'h.example',
      port: 6380,
      db: 2,
      username: 'us@er',
      password: 'p:ss',
      ssl: true,
    })
    expect(redis).not.toHaveProperty('url')
  })

  test('yields to the fields beside it, in code and in the environment', () => {
    const url = 'redis://u:p@h.example:6380/2'
    const expected = { host: 'h.example', port: 7000, db: 3, username: 'u', password: 'q' }
    expect(loadConfig({}, { redis: { url, port: 7000, db: 3, password: 'q' } }).redis).toMatchObject(expected)
    const env = { REDIS_URL: url, REDIS_PORT: '7000', REDIS_DB: '3', REDIS_PASSWORD: 'q' }
    expect(loadConfig(env).redis).toMatchObject(expected)
  })

  test('in code replaces the one in the environment as a whole, and goes before its fields', () => {
    const env = { REDIS_URL: 'redis://u:p@env.example:6380/2', REDIS_HOST: 'env2.example', REDIS_USERNAME: 'v' }
    expect(loadConfig(env, { redis: { url: 'redis://code.example' } }).redis).toMatchObject({
      host: 'code.example',
      port: 6379,
      db: 0,
      username: 'v',
      password: undefined,
    })
  })

  test('of a socket in the environment yields to a server in code', () => {
    const env = { REDIS_URL: 'redis+unix:///run/r.sock?db=4' }
    expect(loadConfig(env).redis).toMatchObject({ path: '/run/r.sock', db: 4 })
    expect(loadConfig(env, { redis: { host: 'h.example' } }).redis).toMatchObject({
      host: 'h.example',
      path: undefined,
      db: 4,
    })
    expect(loadConfig(env, { redis: { port: 1 } }).redis).toMatchObject({ port: 1, path: undefined })
  })

  test('of a socket contradicts a host or port beside it', () => {
    const url = 'redis+unix:///run/r.sock'
    expect(refused({ redis: { url, host: 'h', port: 1 } })).toEqual(['redis.host', 'redis.port'])
    expect(refused({}, { REDIS_URL: url, REDIS_PORT: '1' })).toEqual(['REDIS_PORT'])
    expect(loadConfig({ REDIS_PORT: '1' }, { redis: { url } }).redis).toMatchObject({ path: '/run/r.sock' })
  })

  test('that asks for TLS contradicts ssl: false beside it, and goes with TLS options', () => {
    const url = 'rediss://h.example'
    expect(refused({ redis: { url, ssl: false } })).toEqual(['redis.ssl'])
    expect(refused({}, { REDIS_URL: url, REDIS_SSL: 'no' })).toEqual(['REDIS_SSL'])
    const ssl = { servername: 'x' }
    expect(loadConfig({}, { redis: { url, ssl } }).redis).toMatchObject({ ssl })
    expect(loadConfig({ REDIS_SSL: 'true' }, { redis: { url: 'redis://h' } }).redis).toMatchObject({ ssl: true })
  })
})

describe('the default ttl', () => {
  test('gives way to a shorter maxTtl if nobody asked for it', () => {
    expect(loadConfig({}, { cache: { maxTtl: 60 } }).cache).toMatchObject({ defaultTtl: 60, maxTtl: 60 })
  })

  test('contradicts a shorter maxTtl if somebody did', () => {
    expect(refused({ cache: { maxTtl: 60, defaultTtl: 61 } })).toEqual(['cache.defaultTtl'])
    expect(refused({ cache: { defaultTtl: '2d' } })).toEqual(['cache.defaultTtl'])
    expect(refused({ cache: { maxTtl: 60 } }, { CACHE_DEFAULT_TTL: '5m' })).toEqual(['CACHE_DEFAULT_TTL'])
    expect(loadConfig({}, { cache: { maxTtl: 60, defaultTtl: 60 } }).cache.defaultTtl).toBe(60)
  })

  test('does not contradict a maxTtl that is refused anyway', () => {
    expect(refused({ cache: { defaultTtl: '2d', maxTtl: -1 } })).toEqual(['cache.maxTtl'])
  })
})
