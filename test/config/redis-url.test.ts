import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseRedisUrl } from '../../src/config/redis-url.ts'

test.each([
  ['redis://h', { host: 'h' }],
  ['REDIS://h/', { host: 'h' }],
  ['redis://', {}],
  ['redis:///3', { db: 3 }],
  ['redis://:6380', { port: 6380 }],
  ['redis://user@h', { host: 'h', username: 'user' }],
  ['redis://:pass@h', { host: 'h', password: 'pass' }],
  ['redis://user:@h', { host: 'h', username: 'user' }],
  ['redis://u:p%40%2F%3A%25@h:1/0', { host: 'h', port: 1, db: 0, username: 'u', password: 'p@/:%' }],
  ['redis://u:p@ss:w@h', { host: 'h', username: 'u', password: 'p@ss:w' }],
  ['redis://[::1]:6380/1', { host: '::1', port: 6380, db: 1 }],
  ['redis://10.0.0.1', { host: '10.0.0.1' }],
  ['rediss://h:65535', { host: 'h', port: 65_535, ssl: true }],
  ['redis+unix:///run/my%20r.sock', { path: '/run/my r.sock' }],
  ['redis+unix://:pass@/run/r.sock?db=2', { path: '/run/r.sock', password: 'pass', db: 2 }],
])('%s is taken apart', (url, parts) => {
  expect(parseRedisUrl(url)).toEqual(parts)
})

test.each([
  '',
  'h:6379',
  'http://h',
  'redis:h',
  'redis://h:0',
  'redis://h:65536',
  'redis://h:x',
  'redis://h:',
  'redis://h/x',
  'redis://h/-1',
  'redis://h/1/2',
  'redis://h?db=1',
  'redis://h#1',
  'redis://::1',
  'redis://[h]',
  'redis://[::1',
  'redis://h h',
  'redis://u:%zz@h',
  'redis://u:p#q@h',
  ' redis://h',
  'redis+unix://h/run/r.sock',
  'redis+unix://',
  'redis+unix:///',
  'redis+unix:///r.sock?db=x',
  'redis+unix:///r.sock?timeout=1',
  'redis+unix:///%zz',
])('%j is no Redis URL', (url) => {
  expect(parseRedisUrl(url)).toBeUndefined()
})

test('what was percent-encoded comes back as it was', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 })
  fc.assert(
    fc.property(text, text, (username, password) => {
      const url = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@h/5`
      expect(parseRedisUrl(url)).toEqual({ host: 'h', db: 5, username, password })
    }),
  )
})
