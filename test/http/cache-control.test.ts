import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { controlOf, deltaSeconds, forbiddingDirective, parseCacheControl } from '../../src/http/cache-control.ts'

const directives = (field: string | readonly string[]): Record<string, string | true> =>
  Object.fromEntries(parseCacheControl(field))

describe('the directives of a field', () => {
  test.each([
    ['max-age=60', { 'max-age': '60' }],
    ['public, max-age=60', { public: true, 'max-age': '60' }],
    ['  PUBLIC ,\tMax-Age = 60 ', { public: true, 'max-age': '60' }],
    ['max-age="60"', { 'max-age': '60' }],
    ['x="a, b", public', { x: 'a, b', public: true }],
    [String.raw`x="say \"no\"", public`, { x: 'say "no"', public: true }],
    ['', {}],
    [',,,', {}],
  ])('%s', (field, expected) => {
    expect(directives(field)).toEqual(expected)
  })

  test.each([
    ['a semicolon for a comma', 'max-age=60; must-revalidate'],
    ['a blank for a comma', 'max-age=60 must-revalidate'],
    ['a quote that is not closed', 'x="60, must-revalidate'],
    ['an escape that hides the closing quote', String.raw`x="60\", must-revalidate`],
    ['nothing behind the equals sign', 'max-age=, must-revalidate'],
    ['two equals signs', 'max-age==60, must-revalidate'],
    ['characters that no name may have', 'm@x-äge=60, must-revalidate'],
    ['a line that is malformed before it', ['x="60', 'must-revalidate']],
  ])('%s does not hide what follows', (_, field) => {
    expect(directives(field)).toHaveProperty('must-revalidate', true)
  })

  test.each([
    ['a quoted string', '"max-age=60", x'],
    ['the value of another', 'x="max-age=60"'],
    ['a word that ends like it', 'foo@max-age=60'],
    ['a quote that is not closed', 'x="max-age=60'],
    ['single quotes', "'max-age=60'"],
  ])('no time is read out of %s', (_, field) => {
    expect(deltaSeconds(parseCacheControl(field), 'max-age') ?? 0).toBe(0)
  })

  test.each([
    'max-age=60@',
    'max-age=60"',
    'max-age="60',
    'max-age="60"0',
    'max-age=60=',
    "max-age='60'",
    'max-age==60',
  ])('a time that something is glued to is none: %s', (field) => {
    expect(deltaSeconds(parseCacheControl(field), 'max-age')).toBe(0)
  })

  test('given twice with two values a directive has none', () => {
    expect(directives('max-age=60, max-age=0')).toEqual({ 'max-age': '' })
    expect(directives('max-age=60, max-age=60')).toEqual({ 'max-age': '60' })
    expect(directives(['max-age=60', 'max-age=0'])).toEqual({ 'max-age': '' })
  })

  test('anything at all can be read, and in linear time', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (field) => void parseCacheControl(field)))
    const startedAt = performance.now()
    for (const piece of ['a="', 'a=" ', String.raw`\"`, 'a ', 'a=', '"', ',', 'a   =  ']) {
      parseCacheControl(piece.repeat(100_000))
      forbiddingDirective(piece.repeat(100_000))
    }
    expect(performance.now() - startedAt).toBeLessThan(5000)
  })
})

describe('a word that keeps a response out of a shared cache', () => {
  test.each([
    ['no-store', 'no-store'],
    ['NO-STORE', 'no-store'],
    ['Private', 'private'],
    ['private="set-cookie, x-user"', 'private'],
    ['no-cache="x-user"', 'no-cache'],
    ['public, max-age=60, No-Cache', 'no-cache'],
    ['max-age=60;no-store', 'no-store'],
    ['max-age=60 private', 'private'],
    ['private=', 'private'],
    ['"no-store"', 'no-store'],
    ['x="a, no-store', 'no-store'],
    ['x="a, no-store, y="b"', 'no-store'],
    [['public', 'no-store'], 'no-store'],
    [['x="', 'no-store', '"'], 'no-store'],
    ['no-cache, no-store, private', 'private'],
    ['no-cache, x="a, no-store, y="b"', 'no-store'],
  ])('%s', (field, found) => {
    expect(forbiddingDirective(field)).toBe(found)
  })

  test.each(['public', 'max-age=60', 'x-private', 'no-storeroom', 'privateer=1', 'must-revalidate', ''])(
    'there is none in %s',
    (field) => {
      expect(forbiddingDirective(field)).toBeUndefined()
    },
  )

  test('is found whatever stands before and behind it', () => {
    const word = fc.constantFrom('no-store', 'private', 'no-cache', 'No-Store', 'PRIVATE')
    const junk = fc.string({ unit: fc.constantFrom(...'ab",;=\\ \t@ä-'.split('')), maxLength: 20 })
    fc.assert(
      fc.property(junk, word, junk, (before, forbidding, behind) => {
        expect(forbiddingDirective(`${before},${forbidding},${behind}`)).toBeDefined()
      }),
    )
  })
})

describe('seconds', () => {
  test.each([
    ['max-age=60', 60],
    ['max-age="60"', 60],
    ['max-age=0', 0],
    ['max-age=99999999999999999999', 2 ** 31],
    ['public', undefined],
  ])('of %s are %s', (field, seconds) => {
    expect(deltaSeconds(parseCacheControl(field), 'max-age')).toBe(seconds)
  })

  test.each([
    'max-age',
    'max-age=',
    'max-age=-1',
    'max-age=1.5',
    'max-age=1e3',
    'max-age=0x10',
    'max-age=60s',
    'max-age=1, max-age=2',
  ])('that are no number, or contradict each other, are none: %s', (field) => {
    expect(deltaSeconds(parseCacheControl(field), 'max-age')).toBe(0)
  })
})

describe('a field of our own (RFC 9213)', () => {
  const own = (field: string | readonly string[]): { isTargeted: boolean; directives: object } => {
    const { isTargeted, directives } = controlOf({ 'cache-control': 'max-age=1', 'tidemark-cache-control': field })
    return { isTargeted, directives: Object.fromEntries(directives) }
  }

  test.each([
    ['max-age=60', { 'max-age': '60' }],
    ['max-age=60, public', { 'max-age': '60', public: true }],
    ['max-age=60;a;b=1,\tpublic;c="x, y"', { 'max-age': '60', public: true }],
    ['max-age=1, max-age=60', { 'max-age': '60' }],
    [['public', 'max-age=60'], { 'max-age': '60', public: true }],
    ['no-store=?0, max-age=60', { 'max-age': '60' }],
    ['no-cache="a, b"', { 'no-cache': 'a, b' }],
    ['x=(1 "a" b;c), y=:aGk=:, z=@123, w=1.5, v=*a/b, max-age=60', { 'max-age': '60' }],
  ])('replaces Cache-Control if it parses: %s', (field, directives) => {
    expect(own(field)).toMatchObject({ isTargeted: true, directives })
  })

  test.each([
    '',
    '  ',
    'max-age=60,',
    'max-age=,',
    'max-age= 60',
    'max-age =60',
    'Max-Age=60',
    'max-age=60 public',
    'max-age=60, &&&&&',
    'max-age=60; must-revalidate, =',
    'max-age="60"',
    'max-age=60.0',
    'max-age=sixty',
    'max-age',
    'max-age=1000000000000000000',
    'x=(1 2, max-age=60',
    'x=(1"a"), max-age=60',
    'x="a',
    'x="\u{e9}"',
    'x=:a b:',
  ])('is not there if it does not: %j', (field) => {
    expect(own(field)).toEqual({ isTargeted: false, directives: { 'max-age': '1' } })
  })

  test('is read in linear time, whatever it is', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (field) => void own(field)))
    const startedAt = performance.now()
    for (const piece of ['a;', 'a; ', 'a=(', '"', 'a="\\"', 'a=( ', ' ', ',\t', 'a=1;b="', '\t']) {
      own(piece.repeat(100_000))
      own(`a${piece.repeat(100_000)}"`)
    }
    expect(performance.now() - startedAt).toBeLessThan(5000)
  })
})
