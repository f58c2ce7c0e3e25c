/** A server, a cluster, or a server that Sentinel knows: one of them, and all that it takes. */
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load-config.ts'
import { refused } from './faults.ts'

const SENTINEL = { name: 'cache', nodes: ['h:1'] }

test('nodes are taken apart, and have the usual port', () => {
  const cluster = ['a:1', 'redis://b:2', { host: 'c', port: 3 }, 'd', '[::1]:5', { host: '::1' }]
  expect(loadConfig({}, { redis: { cluster } }).redis).toMatchObject({
    cluster: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
      { host: 'c', port: 3 },
      { host: 'd', port: 6379 },
      { host: '::1', port: 5 },
      { host: '::1', port: 6379 },
    ],
  })
  const sentinel = { name: 'cache', nodes: [{ host: 'h', port: 26_379 }] }
  expect(loadConfig({ REDIS_SENTINELS: 'h', REDIS_SENTINEL_NAME: 'cache' }).redis).toMatchObject({ sentinel })
  expect(loadConfig({ REDIS_CLUSTER_NODES: 'a:1, b:2' }).redis).toMatchObject({
    cluster: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ],
  })
})

test.each([
  [[]],
  ['h:1'],
  [['h:0']],
  [['redis://u:p@h']],
  [['rediss://h']],
  [['h/1']],
  [[{ host: 'h', db: 1 }]],
  [[7]],
])('is no list of nodes: %j', (cluster) => {
  expect(refused({ redis: { cluster } })).toEqual(['redis.cluster'])
})

describe('said in two ways', () => {
  test('in code, each contradiction is listed', () => {
    expect(refused({ redis: { url: 'redis://h', cluster: ['h:1'], sentinel: SENTINEL } })).toEqual([
      'redis.cluster',
      'redis.sentinel.name',
      'redis.sentinel.nodes',
    ])
    expect(refused({ redis: { cluster: ['h:1'], client: { sendCommand() {}, duplicate() {}, on() {} } } })).toEqual([
      'redis.cluster',
    ])
  })

  test('in the environment', () => {
    expect(refused({}, { REDIS_HOST: 'h', REDIS_CLUSTER_NODES: 'h:1' })).toEqual(['REDIS_CLUSTER_NODES'])
  })

  test('in code and in the environment, the code counts', () => {
    const { redis } = loadConfig({ REDIS_URL: 'redis://:secret@h/3' }, { redis: { cluster: ['n:1'] } })
    expect(redis).toMatchObject({ cluster: [{ host: 'n', port: 1 }], password: undefined, db: 0 })
    const env = { REDIS_CLUSTER_NODES: 'n:1', REDIS_SENTINELS: 'n:2' }
    expect(refused({}, env)).toContain('REDIS_SENTINELS')
    expect(loadConfig({ REDIS_CLUSTER_NODES: 'n:1' }, { redis: { host: 'h' } }).redis).toMatchObject({
      host: 'h',
      cluster: undefined,
    })
  })
})

test('a cluster has one database', () => {
  expect(refused({ redis: { cluster: ['h:1'], db: 1 } })).toEqual(['redis.db'])
  expect(refused({ redis: { cluster: ['h:1'] } }, { REDIS_DB: '1' })).toEqual(['REDIS_DB'])
  expect(() => loadConfig({}, { redis: { cluster: ['h:1'], db: 0 } })).not.toThrow()
})

test('Sentinel takes a name and nodes', () => {
  expect(refused({ redis: { sentinel: { name: 'cache' } } })).toEqual(['redis.sentinel.nodes'])
  expect(refused({}, { REDIS_SENTINELS: 'h:1' })).toEqual(['redis.sentinel.name'])
})
