import { describe, expect, test } from 'vitest'
import { slips, VARIABLES } from '../../src/config/env.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { faultsOf, refused } from './faults.ts'

describe('the environment', () => {
  test('is the one of the process if none is given', () => {
    const before = process.env['CACHE_KEY_PREFIX']
    process.env['CACHE_KEY_PREFIX'] = 'process:'
    try {
      expect(loadConfig().cache.keyPrefix).toBe('process:')
    } finally {
      if (before === undefined) delete process.env['CACHE_KEY_PREFIX']
      else process.env['CACHE_KEY_PREFIX'] = before
    }
  })

  test('gives every kind of value from text', () => {
    const env = {
      REDIS_HOST: 'h.example',
      REDIS_PORT: '6380',
      REDIS_SSL: 'yes',
      REDIS_PASSWORD: '12345',
      REDIS_HEALTH_CHECK_INTERVAL: '0',
      CACHE_DEFAULT_TTL: '60',
      CACHE_MAX_TTL: '5m',
      CACHE_LEASE_TIME: '1.5',
      CACHE_COMPRESSION_THRESHOLD: '1kb',
      CACHE_MEMORY_MAX_BYTES: '1000',
      CACHE_STRATEGY: 'FIFO',
    }
    const { redis, cache } = loadConfig(env)
    expect(redis).toMatchObject({ host: 'h.example', port: 6380, ssl: true, password: '12345', healthCheckInterval: 0 })
    expect(cache).toMatchObject({
      defaultTtl: 60,
      maxTtl: 300,
      leaseTime: 1.5,
      compressionThreshold: 1024,
      memory: { maxBytes: 1000 },
      strategy: 'FIFO',
    })
  })

  test('knows true and false, 1 and 0, yes and no, in any case, and no other word', () => {
    const values = ['true', 'TRUE', '1', 'Yes', 'false', 'False', '0', 'NO']
    const parsed = values.map((text) => loadConfig({ CACHE_ENABLE_STATISTICS: text }).cache.enableStatistics)
    expect(parsed).toEqual([true, true, true, true, false, false, false, false])
    for (const text of ['on', 'y', 'truee', ' true', '2']) {
      expect(refused({}, { CACHE_ENABLE_STATISTICS: text })).toEqual(['CACHE_ENABLE_STATISTICS'])
    }
  })

  test('does not read half a number', () => {
    for (const text of ['x', '6379x', '0x10', '1e3', ' 6379', '1.5', '-1', '+1', '1_000']) {
      expect(refused({}, { REDIS_PORT: text })).toEqual(['REDIS_PORT'])
    }
  })

  test('says nothing with an empty variable', () => {
    expect(loadConfig({ CACHE_KEY_PREFIX: '', CACHE_MAX_TTL: '', ENVIRONMENT: '' })).toEqual(loadConfig({}))
  })

  test('names the place by ENVIRONMENT, else by NODE_ENV', () => {
    const place = (env: NodeJS.ProcessEnv): string => loadConfig(env).environment
    expect(place({ ENVIRONMENT: 'staging', NODE_ENV: 'production' })).toBe('staging')
    expect(place({ ENVIRONMENT: '', NODE_ENV: 'production' })).toBe('production')
  })

  test('turns debug on and off by DEBUG, which npm packages use for patterns', () => {
    const debug = (DEBUG: string): boolean => loadConfig({ DEBUG }).debug
    expect(['true', 'True', 'false', '1', 'yes', 'app:*', '*', ''].map(debug)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
      false,
      false,
    ])
  })

  test('says what it takes, where that is more than code takes', () => {
    expect(faultsOf({}, { REDIS_SSL: 'on', CACHE_COMPRESSION_ENABLED: 'on', CACHE_L1: 'maybe' })).toEqual([
      { path: 'REDIS_SSL', expected: 'true, false, 1, 0, yes or no', got: '***' },
      { path: 'CACHE_COMPRESSION_ENABLED', expected: 'true, false, 1, 0, yes or no', got: "'on'" },
      {
        path: 'CACHE_L1',
        expected: expect.stringMatching(/^true, false, 1, 0, yes or no, or a duration from 20ms to 2s: /),
        got: "'maybe'",
      },
    ])
  })

  test('is named in its faults', () => {
    expect(faultsOf({}, { REDIS_PORT: 'x', CACHE_STRATEGY: 'lru' })).toEqual([
      { path: 'REDIS_PORT', expected: 'a whole number from 1 to 65535', got: '***' },
      { path: 'CACHE_STRATEGY', expected: "'LRU' or 'FIFO'", got: "'lru'" },
    ])
  })
})

describe('a variable that is one of ours but for a slip', () => {
  test.each([
    ['REDIS_URLL', 'REDIS_URL'],
    ['REDIS_PASS', 'REDIS_PASSWORD'],
    ['REDIS_USER', 'REDIS_USERNAME'],
    ['CACHE_TTL', 'CACHE_DEFAULT_TTL'],
    ['CACHE_KEYPREFIX', 'CACHE_KEY_PREFIX'],
    ['CACHE_PREFIX', 'CACHE_KEY_PREFIX'],
    ['CACHE_DEFAULT_TLT', 'CACHE_DEFAULT_TTL'],
  ])('%s is told of: %s', (variable, meant) => {
    expect(slips({ [variable]: 'hunter22' }, true)).toEqual([
      `the variable ${variable} means nothing: did you mean ${meant}?`,
    ])
  })

  test('is not taken for one where it belongs to others', () => {
    const others = ['REDIS_SERVICE_HOST', 'REDIS_PORT_6379_TCP', 'REDIS_PORT_6379_TCP_ADDR', 'REDIS_TLS_URL_X9']
    for (const variable of [...others, 'CACHE_DIR', 'CACHE_DRIVER', 'XREDIS_URLL', 'REDIS_', 'redis_urll', 'PATH']) {
      expect(slips({ [variable]: 'x' }, true)).toEqual([])
    }
  })

  test('is none where Redis is not asked, or where it is ours', () => {
    expect(slips({ REDIS_URLL: 'x', CACHE_TTL: '5' }, false)).toHaveLength(1)
    expect(slips(Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, 'x'])), true)).toEqual([])
  })
})
