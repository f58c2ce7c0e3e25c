/** A remembered key is the one that would be made: whatever came before, and to whichever route. */
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createCache, type CacheManager } from '../../src/index.ts'
import { nameOf, responseKey } from '../../src/http/key.ts'
import { ResponseKeys } from '../../src/http/response-keys.ts'
import type { RoutePolicy } from '../../src/http/route-policy.ts'
import { makePolicy, makeRequest } from './facts.ts'

let cache: CacheManager
beforeEach(() => void (cache = createCache({ redis: false })))
afterEach(() => cache.close())

const POLICIES: readonly RoutePolicy[] = [
  makePolicy(),
  makePolicy({ pattern: '/other' }),
  makePolicy({ namespace: 'other' }),
  makePolicy({ isNameComplete: true }),
  makePolicy({ hasUser: true }),
  makePolicy({ vary: ['accept-language'] }),
  makePolicy({ query: ['a'] }),
]

/** Few and alike, so that they meet. */
const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values)
const requests = fc.record({
  method: oneOf('GET', 'HEAD', 'QUERY'),
  content: oneOf('a', 'b'),
  scheme: oneOf('http', 'https'),
  host: oneOf('a', 'b', 'a b', 'http a'),
  path: oneOf('/', '/a', '/a b', '/a?', `/${'x'.repeat(300)}`),
  search: oneOf('', 'a=1', 'a=2', 'b=1&a=1', 'a=1&b=1', '?'),
  query: oneOf({}, { a: '1' }, { a: '2' }),
  name: oneOf(undefined, 'n', '/a', '/a?a=1'),
  user: oneOf(undefined, 'alice', 'bob'),
  headers: oneOf({}, { 'accept-language': 'de' }),
})

test('it is what responseKey says', () => {
  const asked = fc.array(fc.tuple(fc.nat(POLICIES.length - 1), requests), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(asked, (list) => {
      const routes = POLICIES.map((policy) => new ResponseKeys(cache.parts, policy))
      for (const [i, facts] of [...list, ...list]) {
        // Only a name that is made of the request differs from one to the other.
        const { name: given } = facts
        const request = makeRequest({ ...facts, name: POLICIES[i]!.isNameComplete ? given : undefined })
        const name = nameOf(request)
        expect(routes[i]!.of(request, name)).toEqual(responseKey(request, POLICIES[i]!, { name }))
      }
    }),
    { numRuns: 200 },
  )
})

test('what is asked for again is the same object, of which nothing is made anew', () => {
  const keys = new ResponseKeys(cache.parts, makePolicy())
  const first = keys.of(makeRequest({ path: '/a', search: 'b=1' }), '/a')
  keys.of(makeRequest({ path: '/a', host: 'other' }), '/a')
  expect(keys.of(makeRequest({ path: '/a', search: 'b=1' }), '/a')).toBe(first)
})

test('an empty scheme and host, before all others, are those of one route alone', () => {
  const request = makeRequest({ scheme: '', host: '', name: '1' })
  const [books, users] = ['/books/:id', '/users/:id'].map((pattern) => {
    return new ResponseKeys(cache.parts, makePolicy({ pattern, isNameComplete: true }))
  })
  expect(books!.of(request, '1').id).not.toBe(users!.of(request, '1').id)
})
