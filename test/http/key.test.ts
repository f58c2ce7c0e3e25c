import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CacheKeyError } from 'tidemark'
import { responseKey } from '../../src/http/key.ts'
import { makePolicy, makeRequest, type RequestFacts } from './facts.ts'
import type { RoutePolicy } from '../../src/http/route-policy.ts'

function idOf(request: RequestFacts, policy: Partial<RoutePolicy> = {}): string {
  return responseKey(makeRequest(request), makePolicy(policy)).id
}

describe('the name', () => {
  test('is the path, unless the route gives one', () => {
    expect(responseKey(makeRequest({ path: '/items/1' }), makePolicy()).key).toBe('/items/1')
    expect(responseKey(makeRequest({ path: '/items/1', name: 'item_1' }), makePolicy()).key).toBe('item_1')
  })

  test('of a path stands for that path alone: /x is not /x-d', () => {
    const keys = ['/x', '/x-d', '/x/', '//x', '/x;.css', '/%78', '/X', '/x\0'].map((path) => idOf({ path }))
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('made by a function of the request stands for path and query too', () => {
    const policy = { isNameComplete: true }
    expect(idOf({ name: 'n', path: '/a', search: 'b=1' }, policy)).toBe(idOf({ name: 'n', path: '/c' }, policy))
    expect(idOf({ name: 'n', path: '/a' })).not.toBe(idOf({ name: 'n', path: '/c' }))
  })

  test.each([[''], ['\ud800'], [7 as unknown as string]])('%j is none', (name) => {
    expect(() => idOf({ name })).toThrow(CacheKeyError)
  })
})

describe('parts', () => {
  test('all tell responses apart: route, scheme, host, path, query, vary, user', () => {
    const policy = { vary: ['accept-language'], hasUser: true }
    const ids = [
      idOf({}, policy),
      idOf({}, { ...policy, pattern: '/other' }),
      idOf({}, { ...policy, namespace: 'other' }),
      idOf({ scheme: 'https' }, policy),
      idOf({ host: 'other.test' }, policy),
      idOf({ path: '/other' }, policy),
      idOf({ search: 'a=1' }, policy),
      idOf({ headers: { 'accept-language': 'de' } }, policy),
      idOf({ headers: { 'accept-language': '' } }, policy),
      idOf({ user: 'alice' }, policy),
      idOf({ user: '' }, policy),
      idOf({ user: '-' }, policy),
    ]
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('that the route does not name do not: headers, the method', () => {
    expect(idOf({ headers: { cookie: 'a=1' } })).toBe(idOf({}))
    expect(idOf({ method: 'HEAD' })).toBe(idOf({}))
  })

  test('distinct tuples have distinct ids, whatever characters are in them', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'ab:|=-/%*{}0123456789\0\n é\u0301ü'.split(''), '%00'),
      maxLength: 6,
    })
    const part = fc.oneof(text, fc.string({ unit: 'binary', maxLength: 8 }))
    const facts = fc.record({
      scheme: part,
      host: part,
      path: part.map((path) => `/${path.toWellFormed()}`),
      headers: fc.record({ a: fc.option(part, { nil: undefined }), b: fc.option(part, { nil: undefined }) }),
      user: fc.option(part, { nil: undefined }),
    })
    const policy = { vary: ['a', 'b'], hasUser: true }
    const said = ({ scheme, host, path, headers, user }: RequestFacts): string =>
      JSON.stringify([scheme, host, path, member(headers?.a), member(headers?.b), user])
    const changed = fc.subarray(['scheme', 'host', 'path', 'headers', 'user'] as const, { maxLength: 2 })
    fc.assert(
      fc.property(facts, facts, changed, (one, another, names) => {
        const other = { ...one, ...Object.fromEntries(names.map((name) => [name, another[name]])) }
        expect(idOf(one, policy) === idOf(other, policy)).toBe(said(one) === said(other))
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    [
      { scheme: 'a:b', host: 'c' },
      { scheme: 'a', host: 'b:c' },
    ],
    [
      { scheme: '1:a', host: '' },
      { scheme: '', host: '1:a' },
    ],
    [{ host: 'a|b' }, { host: 'a', path: '/|b' }],
    [{ host: '\u00e9' }, { host: 'e\u0301' }],
    [{ host: 'a\0' }, { host: 'a' }],
    [{ host: 'a%00' }, { host: 'a\0' }],
    [{ host: '*' }, { host: '{}' }],
    [{ host: 'x'.repeat(100_000) }, { host: `${'x'.repeat(99_999)}y` }],
    [{ host: '\ud800' }, { host: '\ud801' }],
  ])('%j is not %j', (one, other) => {
    expect(idOf(one)).not.toBe(idOf(other))
  })

  test('that are long make a short id', () => {
    expect(idOf({ host: 'x'.repeat(100_000) }).length).toBeLessThan(100)
  })

  test('a namespace cannot reach into another one', () => {
    expect(idOf({ name: 'b:c' }, { namespace: 'a' })).not.toBe(idOf({ name: 'c' }, { namespace: 'a:b' }))
  })
})

describe('vary', () => {
  const policy = { vary: ['accept'] }
  const of = (accept: string): string => idOf({ headers: { accept } }, policy)

  test('blanks around the members of a list do not count', () => {
    expect(of(' a , b')).toBe(of('a,b'))
    expect(of('a b')).not.toBe(of('ab'))
  })

  test('a header of 64 KB of blanks takes linear time', () => {
    const startedAt = performance.now()
    of(`a${' '.repeat(64_000)}b`)
    of(` , `.repeat(20_000))
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })
})

describe('the query', () => {
  const of = (search: string): string => idOf({ search })

  test('is sorted by name', () => {
    expect(of('b=2&a=1')).toBe(of('a=1&b=2'))
    expect(of('__proto__=2&a=1')).toBe(of('a=1&__proto__=2'))
    expect(of('a[]=1&b=2')).toBe(of('b=2&a[]=1'))
  })

  test.each([
    ['a=1&a=2', 'a=2&a=1'],
    ['a=1&%61=2', '%61=2&a=1'],
    ['a[]=1&a=2', 'a=2&a[]=1'],
    ['a[1]=1&a[0]=2', 'a[0]=2&a[1]=1'],
    ['a.b=1&a=2', 'a=2&a.b=1'],
    ['A=1&a=2', 'a=2&A=1'],
    ['b=3;a=4&a=1', 'a=1&b=3;a=4'],
    ['a=%26b', 'a=&b'],
    ['a=1', 'a=01'],
    ['a', 'a='],
    ['a=1', 'a=1&__proto__=1'],
    ['constructor=1', 'toString=1'],
    ['%zz=1&a=2', 'a=2&%zz=1'],
  ])('%s is not %s', (one, other) => {
    expect(of(one)).not.toBe(of(other))
  })

  test('values of one parameter keep their order, whatever the order of the others', () => {
    const name = fc.constantFrom('a', 'b', '%61', 'a[]', 'c')
    const pairs = fc.array(fc.tuple(name, fc.constantFrom('1', '2')), { maxLength: 5 })
    const values = (list: readonly (readonly [string, string])[]): string =>
      JSON.stringify(
        ['a', 'b', 'c'].map((one) => list.filter(([raw]) => (raw === '%61' || raw === 'a[]' ? 'a' : raw) === one)),
      )
    const search = (list: readonly (readonly [string, string])[]): string =>
      list.map((pair) => pair.join('=')).join('&')
    fc.assert(
      fc.property(pairs, pairs, (one, other) => {
        expect(of(search(one)) === of(search(other))).toBe(values(one) === values(other))
      }),
    )
  })
})

describe('declared parameters', () => {
  const of = (query: Readonly<Record<string, unknown>>, search = 'raw'): string =>
    idOf({ query, search }, { query: ['a', '__proto__'] })

  test('alone count, as the validator left them', () => {
    expect(of({ a: 1, cb: '1' }, 'a=1&cb=1')).toBe(of({ a: 1 }, 'a=01'))
    expect(of({ a: 1 })).not.toBe(of({ a: 2 }))
    expect(of({ a: 1 })).not.toBe(of({ a: '1' }))
    expect(of({})).not.toBe(of({ a: null }))
    expect(of({ a: undefined })).toBe(of({}))
  })

  test('are own properties', () => {
    expect(of({})).toBe(of(Object.create({ a: 1 }) as Record<string, unknown>))
    expect(of(JSON.parse('{"__proto__":1}') as Record<string, unknown>)).not.toBe(of({}))
  })

  test.each([
    ['bigint', { a: 1n }, { a: 2n }],
    ['Map', { a: new Map([[1, 1]]) }, { a: new Map([[2, 2]]) }],
    ['NaN', { a: Number.NaN }, { a: null }],
    ['Infinity', { a: [Infinity] }, { a: [Number.NaN] }],
    ['RegExp', { a: { b: /1/ } }, { a: { b: /2/ } }],
  ])('of a kind that JSON cannot tell apart are told apart by what was received: %s', (_, one, other) => {
    expect(of(one, 'a=one')).not.toBe(of(other, 'a=other'))
  })
})

function member(value: string | undefined): string | undefined {
  return value
    ?.split(',')
    .map((part) => part.trim())
    .join(',')
}
