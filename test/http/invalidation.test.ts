import { expect, test } from 'vitest'
import { isUnsafe, mayMeet, namedPaths } from '../../src/http/invalidation.ts'

test.each(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])('%s changes nothing', (method) => {
  expect(isUnsafe(method)).toBe(false)
})

test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'M-SEARCH', 'get'])('%s may', (method) => {
  expect(isUnsafe(method)).toBe(true)
})

test.each([
  ['/items', '/items', true],
  ['/items', '/Items/', true],
  ['/items/:id', '/items/special', true],
  ['/items/:id', '/:collection/7', true],
  ['/items/:id?', '/items', true],
  ['/items/:from-:to', '/items/1-2', true],
  ['/*', '/items/7/parts', true],
  ['/items/*', '/items', true],
  ['/items', '/users', false],
  ['/items/:id', '/users/:id', false],
  ['/items/:id', '/items', false],
  ['/items/:id', '/items/:id/parts', false],
  ['/static/*', '/items/7', false],
])('%s and %s may have one path: %s', (one, other, expected) => {
  expect([mayMeet(one, other), mayMeet(other, one)]).toEqual([expected, expected])
})

test.each([
  ['/other', ['/other']],
  ['7', ['/items/7']],
  ['http://app.test/other?a=1', ['/other']],
  ['https://app.test/other', []],
  ['http://app.test:8080/other', []],
  ['//elsewhere.test/other', []],
  ['http://', []],
  [undefined, []],
])('a place named %s is %j', (field, expected) => {
  expect(namedPaths({ scheme: 'http', host: 'app.test', path: '/items/' }, [field])).toEqual(expected)
})
