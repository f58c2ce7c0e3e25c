import { describe, expect, test } from 'vitest'
import {
  bypassReason,
  isUnkeyedAuthorized,
  refusalReason,
  wantsRefresh,
  type Circumstances,
} from '../../src/http/policy.ts'
import { controlOf } from '../../src/http/cache-control.ts'
import { isPublic, lifetimeOf } from '../../src/http/freshness.ts'
import type { Headers } from '../../src/http/message.ts'
import type { RoutePolicy } from '../../src/http/route-policy.ts'
import { makePolicy, makeRequest } from './facts.ts'

const NOW = Date.UTC(2026, 0, 1)

interface Asked extends Partial<Omit<Circumstances, 'policy'>> {
  readonly policy?: Partial<RoutePolicy>
  readonly status?: number
}

function refusal(headers: Headers, { status = 200, policy = {}, ...rest }: Asked = {}): string | undefined {
  const circumstances = { policy: makePolicy(policy), isAuthorized: false, before: {}, now: NOW, ...rest }
  return refusalReason({ status, headers }, circumstances)
}

describe('a request passes by the cache', () => {
  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'QUERY', 'get'])('with method %s', (method) => {
    expect(bypassReason(makeRequest({ method }), makePolicy())).toBe('method')
  })

  test('with a method that the route leaves out', () => {
    const policy = makePolicy({ methods: new Set(['GET']) })
    expect(bypassReason(makeRequest({ method: 'HEAD' }), policy)).toBe('method')
    expect(bypassReason(makeRequest(), policy)).toBeUndefined()
  })

  test.each([{ 'content-length': '1' }, { 'content-length': 'x' }, { 'transfer-encoding': 'chunked' }])(
    'with a body: %j',
    (headers) => {
      expect(bypassReason(makeRequest({ headers }), makePolicy())).toBe('request-body')
    },
  )

  test.each([
    ['a.example', undefined],
    ['A.Example', undefined],
    ['a.example:8080', undefined],
    ['a.example:', undefined],
    ['b.example:81', undefined],
    ['[::1]:3000', undefined],
    ['[::1]', undefined],
    ['b.example', 'host'],
    ['b.example:8', 'host'],
    ['a.example.evil', 'host'],
    ['a.example:80:81', 'host'],
    ['evil', 'host'],
    ['', 'host'],
  ])('unless its host %s is one of those that the route names: %s', (host, reason) => {
    const policy = makePolicy({ hosts: ['a.example', 'b.example:81', '[::1]'] })
    expect(bypassReason(makeRequest({ host }), policy)).toBe(reason)
  })

  test('not with a Content-Length of 0', () => {
    expect(bypassReason(makeRequest({ headers: { 'content-length': '0' } }), makePolicy())).toBeUndefined()
  })
})

describe('Authorization', () => {
  const headers = { authorization: 'Bearer alice' }

  test('counts unless the key knows whose request it is', () => {
    expect(isUnkeyedAuthorized(makeRequest({ headers }), makePolicy())).toBe(true)
    expect(isUnkeyedAuthorized(makeRequest({ headers, user: 'alice' }), makePolicy())).toBe(false)
    expect(isUnkeyedAuthorized(makeRequest(), makePolicy())).toBe(false)
    expect(isUnkeyedAuthorized(makeRequest({ headers }), makePolicy({ isAuthShared: true }))).toBe(false)
  })

  test.each(['public', 's-maxage=60', 'must-revalidate', 'max-age=60; PUBLIC'])(
    'its response is stored if it says %s',
    (field) => {
      expect(refusal({ 'cache-control': field }, { isAuthorized: true })).toBeUndefined()
      expect(isPublic(controlOf({ 'cache-control': field }))).toBe(true)
    },
  )

  test.each(['', 'max-age=60', 'x-public', 'public@x', 'proxy-revalidate'])('and not if it says %j', (field) => {
    expect(refusal({ 'cache-control': field }, { isAuthorized: true })).toBe('authorization')
    expect(isPublic(controlOf({ 'cache-control': field }))).toBe(false)
  })
})

describe('a client that wants a fresh response', () => {
  test.each([{ 'cache-control': 'no-cache' }, { 'cache-control': 'max-age=0, NO-CACHE' }, { pragma: 'no-cache' }])(
    'says so: %j',
    (headers) => {
      expect(wantsRefresh(makeRequest({ headers }))).toBe(true)
    },
  )

  test.each([{}, { 'cache-control': 'max-age=0' }, { 'cache-control': '', pragma: 'no-cache' }])(
    'or not: %j',
    (headers) => {
      expect(wantsRefresh(makeRequest({ headers }))).toBe(false)
    },
  )
})

describe('a response is stored', () => {
  test.each([200, 203, 204, 301, 308, 404, 410])('with status %i', (status) => {
    expect(refusal({}, { status })).toBeUndefined()
  })

  test.each([201, 202, 206, 302, 303, 304, 307, 400, 401, 403, 405, 429, 500, 501, 503])('not with %i', (status) => {
    expect(refusal({}, { status })).toBe(`status-${status}`)
  })

  test('with the statuses of the route, yet never 206, 304, 5xx, nor what RFC 6585 forbids', () => {
    const policy = { statuses: new Set([302, 206, 304, 428, 429, 431, 500]) }
    expect(refusal({}, { status: 302, policy })).toBeUndefined()
    for (const status of [200, 206, 304, 428, 429, 431, 500])
      expect(refusal({}, { status, policy })).toBe(`status-${status}`)
  })

  test('not with a cookie', () => {
    expect(refusal({ 'set-cookie': 'a=1' })).toBe('set-cookie')
    expect(refusal({ 'set-cookie': ['a=1', 'b=2'] }, { before: { 'set-cookie': ['a=1', 'b=2'] } })).toBe('set-cookie')
  })

  test('not if it says private, no-store or no-cache', () => {
    expect(refusal({ 'cache-control': 'public, Private' })).toBe('private')
    expect(refusal({ 'cache-control': ['max-age=60', 'no-store'] })).toBe('no-store')
    expect(refusal({ 'cache-control': 'no-cache="x"' })).toBe('no-cache')
  })

  test('under rfc9111 as the RFC has it: private never, no-store unless it is understood, no-cache to be confirmed', () => {
    const policy = { kind: 'rfc9111', statuses: undefined } as const
    const word = (field: string, status = 200): string | undefined =>
      refusal({ 'cache-control': `${field}, max-age=60`, etag: '"a"' }, { policy, status })
    expect(word('private="a"')).toBe('private')
    expect(word('no-store')).toBe('no-store')
    expect(word('no-cache')).toBeUndefined()
    expect(word('no-store, must-understand')).toBeUndefined()
    expect(word('no-store, private, must-understand')).toBe('private')
    expect(word('must-understand', 499)).toBe('must-understand')
    expect(word('no-store, must-understand', 499)).toBe('must-understand')
    expect(word('x', 499)).toBeUndefined()
    expect(word('x="a, no-cache, y="b"')).toBe('no-cache')
  })

  test.each(['*', 'Accept, *', 'cookie', 'Accept-Language', ', origin'])('not if it varies by %j', (vary) => {
    expect(refusal({ vary })).toBe('vary')
  })

  test('if what it varies by is in the key', () => {
    const policy = { vary: ['accept-language'] }
    expect(refusal({ vary: 'Accept-Language, Accept-Encoding' }, { policy })).toBeUndefined()
    expect(refusal({ vary: ['Accept-Language', 'Accept-Encoding'] }, { policy })).toBeUndefined()
    expect(refusal({ vary: 'Authorization' }, { policy: { hasUser: true } })).toBeUndefined()
    expect(refusal({ vary: 'Authorization' })).toBe('vary')
    expect(refusal({ vary: 'Cookie' }, { policy: { hasUser: true } })).toBe('vary')
  })

  test('whatever was in Vary before the handler, which is made anew each time', () => {
    const before = { vary: 'Origin' }
    expect(refusal({ vary: 'Origin' }, { before })).toBeUndefined()
    expect(refusal({ vary: 'Origin, Cookie' }, { before })).toBe('vary')
  })

  test('not if it is encoded, unless encodings are in the key', () => {
    expect(refusal({ 'content-encoding': 'gzip' })).toBe('encoding')
    expect(refusal({ 'content-encoding': 'identity' })).toBeUndefined()
    expect(refusal({ 'content-encoding': 'gzip' }, { policy: { vary: ['accept-encoding'] } })).toBeUndefined()
  })

  test.each([
    { 'cache-control': 'max-age=0' },
    { 'cache-control': 'max-age=60, s-maxage=0' },
    { 'cache-control': 'max-age=soon' },
    { 'cache-control': 'max-age=60, max-age=30' },
    { expires: '0' },
    { expires: 'soon' },
    { expires: new Date(NOW).toUTCString() },
    { 'cache-control': 'max-age=60', age: '60' },
    { age: '60' },
    { age: '-1' },
    { age: 'x' },
  ])('not if it is stale when it comes: %j', (headers) => {
    expect(refusal(headers)).toBe('stale')
  })
})

function lifetimeAt(now: number, headers: Headers): ReturnType<typeof lifetimeOf> {
  return lifetimeOf({ status: 200, headers }, controlOf(headers), { policy: makePolicy(), now })
}

describe('how long a response is fresh', () => {
  const seconds = (headers: Headers): number => lifetimeAt(NOW, headers).windows.ttlMs / 1000

  test.each([
    [{}, 60],
    [{ 'cache-control': 'max-age=10' }, 10],
    [{ 'cache-control': 'max-age=3600' }, 60],
    [{ 'cache-control': 'max-age=10, s-maxage=20' }, 20],
    [{ 'cache-control': 'max-age=10', expires: new Date(NOW + 5000).toUTCString() }, 10],
    [{ expires: new Date(NOW + 5000).toUTCString() }, 5],
    [{ expires: new Date(NOW + 5000).toUTCString(), date: new Date(NOW + 2000).toUTCString() }, 3],
    [{ expires: new Date(NOW + 5000).toUTCString(), date: 'x' }, 5],
    [{ 'cache-control': 'max-age=30', age: '10' }, 20],
    [{ age: '10' }, 50],
  ])('%j: %i s', (headers, expected) => {
    expect(seconds(headers)).toBe(expected)
  })
})

test.each(['must-revalidate', 'proxy-revalidate', 's-maxage=60', 'max-age=60; must-revalidate'])(
  'a stale copy may not stand in for a response that said %s',
  (field) => {
    expect(lifetimeAt(NOW, { 'cache-control': field }).mustValidate).toBe(true)
    expect(lifetimeAt(NOW, { 'cache-control': 'max-age=60' }).mustValidate).toBe(false)
  },
)
