import { inspect } from 'node:util'
import * as zlib from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CacheException } from '../../src/exceptions.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { errorOf, faultsOf, refused } from './faults.ts'

describe('the error', () => {
  test('lists everything that is wrong, in code and in the environment', () => {
    const config = { redis: { port: 'x' }, cache: { defaultTtl: -1, strategy: 'MRU', foo: 1 } }
    expect(refused(config).toSorted()).toEqual(['cache.defaultTtl', 'cache.foo', 'cache.strategy', 'redis.port'])
    const env = { REDIS_DB: '-1', CACHE_ON_ERROR: 'maybe' }
    expect(refused(config, env)).toEqual(
      expect.arrayContaining(['cache.foo', 'redis.port', 'REDIS_DB', 'CACHE_ON_ERROR']),
    )
    expect(refused(config, env)).toHaveLength(6)
  })

  test('says in one message where, what was expected and what was got', () => {
    const error = errorOf({ cache: { strategy: 'MRU' } }, { REDIS_PORT: '70000' })
    expect(error).toBeInstanceOf(CacheException)
    expect(error.code).toBe('ERR_CACHE_CONFIGURATION')
    expect(error.message.split('\n')).toEqual([
      'invalid tidemark configuration:',
      '  REDIS_PORT: expected a whole number from 1 to 65535, got 70000',
      "  cache.strategy: expected 'LRU' or 'FIFO', got 'MRU'",
    ])
  })

  test('tells of what is no object where a section belongs, without its text', () => {
    for (const config of [null, 'redis://:secret@h', 7, [], new Map(), Promise.resolve({})]) {
      expect(refused(config)).toEqual(['config'])
    }
    const url = 'redis://:secret@h'
    expect(faultsOf({ redis: url, cache: { memory: [] } })).toEqual([
      {
        path: 'redis',
        expected: 'an object, { url: … } for a URL or { host: … } for a name, or false',
        got: 'a string',
      },
      { path: 'cache.memory', expected: 'an object', got: 'an array' },
    ])
    expect(faultsOf(url)).toEqual([
      { path: 'config', expected: 'an object, { redis: { url: … } } for a URL', got: 'a string' },
    ])
    expect(faultsOf({ redis: new Map() })).toEqual([
      {
        path: 'redis',
        expected: 'an object, { client: … } for a client of your own, or false',
        got: 'an object of another kind',
      },
    ])
    expect(faultsOf({ redis: true })).toEqual([{ path: 'redis', expected: 'an object, or false', got: 'a boolean' }])
    expect(refused({ redis: null, cache: false })).toEqual(['redis', 'cache'])
  })
})

describe('an unknown key', () => {
  test.each([
    [{ redis: { hots: 'x' } }, 'redis.hots', "'redis.host'"],
    [{ cache: { default_ttl: 1 } }, 'cache.default_ttl', "'cache.defaultTtl'"],
    [{ cache: { compression: true } }, 'cache.compression', "'cache.compressionEnabled'"],
    [{ cahce: {} }, 'cahce', "'cache'"],
    [{ defaultTTL: 1 }, 'defaultTTL', "'cache.defaultTtl'"],
    [{ cache: { maxEntries: 1 } }, 'cache.maxEntries', "'cache.memory.maxEntries'"],
  ])('is refused by name, with what was meant: %j', (config, path, meant) => {
    expect(faultsOf(config)).toEqual([
      { path, expected: `a known key (did you mean ${meant}?)`, got: 'an unknown key' },
    ])
  })

  test('that resembles nothing is answered with those there are', () => {
    expect(faultsOf({ cache: { memory: { zzz: 1 } } })).toEqual([
      { path: 'cache.memory.zzz', expected: 'a known key (maxEntries, maxBytes)', got: 'an unknown key' },
    ])
  })

  test('is refused also if its value is undefined, or its name that of something every object has', () => {
    expect(refused({ foo: undefined })).toEqual(['foo'])
    expect(refused({ constructor: 1, cache: JSON.parse('{"__proto__":{}}') })).toEqual([
      'constructor',
      'cache.__proto__',
    ])
  })
})

describe('a value out of range or of the wrong type is refused', () => {
  test.each([
    ['redis.port', [0, 65_536, 1.5, Number.NaN, '6379', null]],
    ['redis.db', [-1, 0.5, '0']],
    ['redis.host', ['', 'h:1', 'redis://h', 'a b', '[::1]', 7]],
    ['redis.url', ['', 'h', 'http://h', 'redis://h/x', new URL('redis://h')]],
    ['redis.path', ['', 1]],
    ['redis.username', ['', 1]],
    ['redis.password', ['', 1]],
    ['redis.ssl', ['true', 1, null, []]],
    ['redis.socketTimeout', [0, -1, '1', '1 w', '25d', Number.POSITIVE_INFINITY, null]],
    ['redis.socketConnectTimeout', [0, '0ms']],
    ['redis.healthCheckInterval', [-1, '25d']],
    ['redis.maxConnections', [0, 1.5]],
    ['redis.decodeResponses', ['true', 0]],
    ['redis.onFailover', ['ignore', true]],
    ['redis.failFast', ['true', 1]],
    ['cache.defaultTtl', [0, -1, '1x', '5', 0.0001, '36501d']],
    ['cache.maxTtl', [0, '0s']],
    ['cache.keyPrefix', ['', 'a{b', '}', '\uD800', 1]],
    ['cache.compressionThreshold', [-1, 0.5, '1', '1tb', 'kb', '9999999999gb']],
    ['cache.compressionAlgorithm', ['lz4', 'GZIP', true]],
    ['cache.l1', ['true', 1, [], { maxStaleness: 0 }, { maxStaleness: '19ms' }, { maxStaleness: '3s' }, { ttl: 1 }]],
    ['cache.onError', ['ignore']],
    ['cache.leaseTime', [0]],
    ['cache.waitTime', [0]],
    ['cache.signingKey', ['', 'fifteen letters', 1, true]],
    ['cache.memory.maxEntries', [0, '10']],
    ['cache.memory.maxBytes', [0, '0kb']],
    ['environment', ['', 1]],
    ['debug', ['true', 1]],
    ['store', [{}, { read: () => undefined }]],
    ['clock', [{}, 1, { now: 0 }]],
    ['logger', [{ info: () => undefined }, false]],
  ])('%s', (path, values) => {
    for (const value of values) {
      const config = path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value)
      expect([value, refused(config)]).toEqual([value, [path]])
    }
  })

  test('a staleness that is none is shown', () => {
    expect(faultsOf({ cache: { l1: { maxStaleness: '1parsec' } } })).toEqual([
      { path: 'cache.l1', expected: expect.stringContaining('20ms to 2s'), got: "{ maxStaleness: '1parsec' }" },
    ])
  })

  test('zstd where Node has none, and the fault says what it takes', () => {
    const config = { cache: { compressionAlgorithm: 'zstd' as const } }
    if ('zstdCompress' in zlib) {
      expect(loadConfig({}, config).cache.compressionAlgorithm).toBe('zstd')
    } else {
      expect(faultsOf(config)).toEqual([
        {
          path: 'cache.compressionAlgorithm',
          expected: "'gzip' or 'brotli' ('zstd' needs Node 22.15 or later)",
          got: "'zstd'",
        },
      ])
    }
  })
})

describe('a secret is never shown', () => {
  /** Everything a log could print of the error. */
  const printed = (config: unknown, env: NodeJS.ProcessEnv = {}): string => {
    const error = errorOf(config, env)
    return [error.message, error.stack, JSON.stringify(error), inspect(error, { depth: 9 })].join('\n')
  }

  test('as the value of a password of the wrong type, or of a misspelt one', () => {
    expect(printed({ redis: { password: 4_815_162_342 } })).not.toContain('4815162342')
    expect(printed({ redis: { passwrod: 'hunter22', url: 7 } })).not.toContain('hunter22')
    expect(printed({ redis: { password: ['hunter22'] } })).not.toContain('hunter22')
  })

  test('as the text of a URL or a key that stands in the wrong place', () => {
    const url = 'redis://:hunter22@h:6379'
    for (const path of ['environment', 'redis.host', 'redis.port', 'redis.db', 'cache.keyPrefix', 'cache.onError']) {
      const name = path.slice(path.lastIndexOf('.') + 1)
      const section = { [name]: path === 'environment' ? [url] : `{${url}` }
      const config = path.includes('.') ? { [path.slice(0, path.indexOf('.'))]: section } : section
      expect(printed(config)).not.toContain('hunter22')
    }
    expect(printed({}, { REDIS_PORT: url, REDIS_HOST: 'u:hunter22@h' })).not.toContain('hunter22')
    expect(printed({ redis: { ssl: '-----BEGIN KEY-----\nhunter22' } })).not.toContain('hunter22')
    expect(printed({ redis: { ssl: true, client: { url } } })).not.toContain('hunter22')
  })

  test('as part of a URL, however malformed, in code and in the environment', () => {
    const malformed = fc.constantFrom<(password: string) => string>(
      (password) => `http://u:${password}@h`,
      (password) => `redis://u:${password}@h:99999`,
      (password) => `redis://u:${password}@h:6379/db`,
      (password) => `redis://u:${password}#@h`,
      (password) => `redis://u/${password}@h`,
      (password) => `redis:u:${password}`,
      (password) => `redis:/${password}`,
      (password) => `u:${password}@h:6379`,
      (password) => ` redis://u:${password}@h`,
      (password) => `redis://u:${password}%@h`,
      (password) => `redis+unix://${password}/run/r.sock`,
      (password) => `://:${password}`,
      (password) => `\nredis://:${password}`,
      (password) => `redis://[${password}]`,
    )
    const password = fc.string({ minLength: 4, maxLength: 30 }).map((text) => `pw${text}wp`)
    fc.assert(
      fc.property(malformed, password, (shape, secret) => {
        const url = shape(secret)
        expect(printed({ redis: { url } })).not.toContain(secret)
        expect(printed({}, { REDIS_URL: url })).not.toContain(secret)
      }),
    )
  })

  test('as a part of a good URL beside other faults', () => {
    const redis = { url: 'rediss://u:hunter22@h', ssl: false, client: {} }
    expect(printed({ redis })).not.toContain('hunter22')
    expect(printed({ cache: { foo: 1 } }, { REDIS_URL: redis.url, REDIS_PASSWORD: 'hunter22' })).not.toContain(
      'hunter22',
    )
  })
})

describe('a password in the wrong place', () => {
  test.each([
    [{ REDIS_HOST: 'app:hunter2' }, {}],
    [{ REDIS_PORT: 'hunter2' }, {}],
    [{ REDIS_SSL: 'hunter2' }, {}],
    [{ REDIS_ON_FAILOVER: 'hunter2' }, {}],
    [{ REDIS_SOCKET_TIMEOUT: 'hunter2' }, {}],
    [{ REDIS_SENTINELS: 'app:hunter2', REDIS_SENTINEL_NAME: 'm' }, {}],
    [{ REDIS_CLUSTER_NODES: 'redis://app:hunter2@h' }, {}],
    [{}, { redis: { ssl: 'hunter2' } }],
    [{}, { redis: { client: 'hunter2' } }],
    [{}, { redis: { url: 'redis+unix:///s', port: 'hunter2' } }],
  ])('is not shown: %j %j', (env, config) => {
    expect(JSON.stringify(faultsOf(config, env))).toContain('***')
    expect(JSON.stringify(faultsOf(config, env))).not.toContain('hunter2')
  })

  test('what is plainly a number is shown', () => {
    expect(faultsOf({}, { REDIS_PORT: '70000', REDIS_SOCKET_TIMEOUT: '-5s' })).toMatchObject([
      { got: '70000' },
      { got: "'-5s'" },
    ])
  })
})
