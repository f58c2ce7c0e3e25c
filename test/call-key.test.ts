import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { callKey } from '../src/call-key.ts'
import { CacheKeyError } from '../src/exceptions.ts'

/** The key of a call of a function `f`. */
function keyOf(...args: unknown[]): string {
  return callKey(
    { subject: { fn: () => {}, name: 'f', kind: 'function' }, wrapped: undefined, receiver: undefined, args },
    'n',
  )
}

/** `[ , ]` */
const hole: number[] = []
hole.length = 1

class Money {
  readonly cents: number
  constructor(cents: number) {
    this.cents = cents
  }
  toJSON(): object {
    return { cents: this.cents }
  }
}

describe('the key of a call', () => {
  test.each<[string, unknown[]]>([
    ['f()', []],
    ['f(1,"a")', [1, 'a']],
    ['f(undefined)', [undefined]],
    ['f(null)', [null]],
    ['f(-0)', [-0]],
    ['f(NaN,Infinity)', [NaN, Infinity]],
    ['f(12n)', [12n]],
    ['f([1,[empty]])', [[1, hole]]],
    ['f({"a":1,"b":{"c":true}})', [{ b: { c: true }, a: 1 }]],
    ['f({"a":undefined})', [{ a: undefined }]],
    ['f(Date("1970-01-01T00:00:00.000Z"))', [new Date(0)]],
    [
      'f(Map{"a"=>1,"b"=>2})',
      [
        new Map([
          ['b', 2],
          ['a', 1],
        ]),
      ],
    ],
    ['f(Set{1,2})', [new Set([2, 1])]],
    ['f(Buffer<aGk=>)', [Buffer.from('hi')]],
    ['f(Uint8Array<aGk=>)', [new Uint8Array([104, 105])]],
    ['f(Float32Array<AACAPw==>)', [new Float32Array([1])]],
    ['f(Money({"cents":5}))', [new Money(5)]],
    ['f(URL("https://a.example/"))', [new URL('https://a.example')]],
    ['f("\\ud800\\u0000")', ['\ud800\0']],
  ])('reads %s', (expected, args) => {
    expect(keyOf(...args)).toBe(expected)
  })

  test('tells apart what looks alike', () => {
    const calls = [
      ['1'],
      [1],
      [1n],
      [true],
      ['true'],
      [],
      [undefined],
      ['undefined'],
      [null],
      ['null'],
      [0],
      [-0],
      [1, 2],
      [[1, 2]],
      ['1,2'],
      ['1', '2'],
      ['1","2'],
      [{}],
      [[]],
      [new Map()],
      [new Set()],
      [{ a: undefined }],
      [[undefined]],
      [hole],
      [new Date(0)],
      [new Date(0).toISOString()],
      [{ '"a":1,"b"': 2 }],
      [{ a: 1, b: 2 }],
      [new Map([['a', 1]])],
      [{ a: 1 }],
      [[['a', 1]]],
      [new Set(['a', 1])],
      [new Set([['a', 1]])],
      [new Money(5)],
      [{ cents: 5 }],
      [Buffer.from([1])],
      [new Uint8Array([1])],
      [new Uint16Array([1])],
    ]
    expect(new Set(calls.map((args) => keyOf(...args))).size).toBe(calls.length)
  })

  test('is the same for objects of whatever prototype-less origin, and for those of another realm', async () => {
    const { runInNewContext } = await import('node:vm')
    const foreign: unknown = runInNewContext('({ a: 1 })')
    expect(keyOf(Object.assign(Object.create(null) as object, { a: 1 }))).toBe('f({"a":1})')
    expect(keyOf(foreign)).toBe('f({"a":1})')
  })

  test('does not believe what an object from outside says of its own class', () => {
    expect(keyOf(JSON.parse('{"constructor":{"name":"Money"},"toJSON":1,"__proto__":{}}'))).toBe(
      'f({"__proto__":{},"constructor":{"name":"Money"},"toJSON":1})',
    )
  })

  test('may hold the same object twice', () => {
    const shared = { a: 1 }
    expect(keyOf(shared, [shared, shared])).toBe('f({"a":1},[{"a":1},{"a":1}])')
  })
})

describe('two calls share a key if and only if their arguments are deeply equal', () => {
  // Few letters and depths, so that equal and almost equal values do turn up.
  const leaf = fc.constantFrom<unknown>(
    0,
    -0,
    1,
    NaN,
    '',
    '1',
    'a',
    '"',
    ',',
    '\\',
    null,
    undefined,
    true,
    1n,
    new Date(1),
  )
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.array(tie('value'), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom('a', 'b', '"', '":1,"'), tie('value'), { maxKeys: 2, noNullPrototype: true }),
      fc.array(tie('value'), { maxLength: 2 }).map((items) => new Set(items)),
      fc.array(fc.tuple(leaf, tie('value')), { maxLength: 2 }).map((items) => new Map(items)),
      fc.uint8Array({ maxLength: 2 }),
    ),
  }))
  const args = fc.array(value, { maxLength: 2 })

  test('whatever they are', () => {
    fc.assert(
      fc.property(args, args, (one, other) => {
        expect(keyOf(...one) === keyOf(...other)).toBe(isDeepStrictEqual(one, other))
      }),
      { numRuns: 3000 },
    )
  })

  test('also if one is a copy of the other, put together in another order', () => {
    fc.assert(
      fc.property(args, (one) => {
        const other = reversed(one) as unknown[]
        expect(isDeepStrictEqual(one, other)).toBe(true)
        expect(keyOf(...other)).toBe(keyOf(...one))
      }),
      { numRuns: 1000 },
    )
  })
})

/** A deep copy whose objects, Maps and Sets were filled from the last member to the first. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (value instanceof Set) return new Set(Array.from(value, reversed).toReversed())
  if (value instanceof Map)
    return new Map(Array.from(value, ([key, item]) => [key, reversed(item)] as const).toReversed())
  if (value === null || typeof value !== 'object' || value instanceof Date || value instanceof Uint8Array) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, reversed(item)]),
  )
}

describe('an argument without a stable identity', () => {
  const cycle: { self?: object } = {}
  cycle.self = cycle

  test.each<[string, unknown]>([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a cycle', cycle],
    ['a cycle', new Map([['self', [cycle]]])],
    ['an instance of Headers, which has no toJSON', new Headers()],
    ['an instance of WeakMap, which has no toJSON', new WeakMap()],
    ['an instance of Promise, which has no toJSON', Promise.resolve()],
    ['an instance of Ids, which has no toJSON', new (class Ids extends Array {})()],
    ['an instance of Rights, which has no toJSON', new (class Rights extends Map {})()],
    ['an object with a symbol as a key', { [Symbol('gt')]: 5 }],
  ])('is refused, with its position: %s', (what, argument) => {
    const message = `f, argument 2: expected values that a key can be built from, got ${what}; give a \`key\``
    expect(() => keyOf(1, argument)).toThrow(new CacheKeyError(message, { namespace: 'n' }))
    expect(() => keyOf(1, { deep: [argument] })).toThrow(message)
  })

  test('the error knows the namespace', () => {
    expect(() => keyOf(() => 1)).toThrow(expect.objectContaining({ namespace: 'n' }))
  })
})

describe('a long key', () => {
  test('stands as it is up to 200 characters', () => {
    expect(keyOf('x'.repeat(195))).toBe(`f("${'x'.repeat(195)}")`)
    expect(keyOf('x'.repeat(196))).not.toContain(')')
  })

  test('ends in a SHA-256 of the whole and stays readable in front', () => {
    expect(keyOf('x'.repeat(5000))).toMatch(/^f\("x{132}~[0-9a-f]{64}$/)
    expect(keyOf(`${'x'.repeat(5000)}1`)).not.toBe(keyOf(`${'x'.repeat(5000)}2`))
  })

  test('is well-formed wherever it is cut', () => {
    for (const shift of ['', 'x']) expect(keyOf(shift + '🌊'.repeat(200)).isWellFormed()).toBe(true)
  })
})
