import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CacheKeyError } from '../src/exceptions.ts'
import {
  assertKey,
  assertNamespace,
  assertTag,
  entryId,
  EVERYTHING,
  idsOf,
  namespaceStamp,
  parentId,
  tagStamp,
  variantId,
} from '../src/key.ts'

/** Names made of what may confuse: separators, escapes, the empty string's neighbours. */
const name = fc.string({ unit: fc.constantFrom('a', 'b', ':', '%', '\0', '%3A', 'é'), maxLength: 6 })
const key = name.filter((text) => text !== '')
const variant = key.filter((text) => !text.includes('\0'))

describe('ids', () => {
  test('a key reads in redis-cli as it was written', () => {
    expect(entryId('users', 'user:1/ä {x}')).toBe('k:users:user:1/ä {x}')
    expect(entryId('', 'a')).toBe('k::a')
  })

  test('`a:b` + `c` and `a` + `b:c` are two entries', () => {
    expect(entryId('a:b', 'c')).not.toBe(entryId('a', 'b:c'))
  })

  test('a namespace that looks as if it were escaped is not the one that it looks like', () => {
    expect(entryId('a%3Ab', 'c')).not.toBe(entryId('a:b', 'c'))
    expect(entryId('a%2525', 'c')).not.toBe(entryId('a%25', 'c'))
  })

  test('two ids are the same only if their kind, namespace, key and variant are', () => {
    const named = fc.oneof(
      fc.tuple(fc.constant('k'), name, key).map((parts) => ({ parts, id: entryId(parts[1], parts[2]) })),
      fc.tuple(fc.constant('p'), name, key).map((parts) => ({ parts, id: parentId(parts[1], parts[2]) })),
      fc
        .tuple(fc.constant('v'), name, key, variant)
        .map((parts) => ({ parts, id: variantId(parts[1], parts[2], parts[3]) })),
    )
    fc.assert(
      fc.property(named, named, (one, other) => {
        expect(one.id === other.id).toBe(JSON.stringify(one.parts) === JSON.stringify(other.parts))
      }),
      { numRuns: 2000 },
    )
  })

  test('a name stands for its entry and for the parent of its responses', () => {
    expect(idsOf(['a', 'b'], 'n')).toEqual(['k:n:a', 'p:n:a', 'k:n:b', 'p:n:b'])
  })
})

describe('stamps', () => {
  test('a tag, a namespace and everything never meet, whatever they are called', () => {
    fc.assert(
      fc.property(name, key, (namespace, tag) => {
        expect(new Set([namespaceStamp(namespace), tagStamp(tag), EVERYTHING]).size).toBe(3)
      }),
    )
  })
})

describe('the stamp of a long name', () => {
  test('is a hash, the same in every process', () => {
    expect(tagStamp('x'.repeat(128))).toBe(`t:${'x'.repeat(128)}`)
    expect(tagStamp('x'.repeat(129))).toBe('t#DsnrM-dFELzdHy6lUgboLyFknFwr7L8rQz60dbNMAb0')
    expect(namespaceStamp('🌊'.repeat(33))).toBe('n#2I3ZlIu-vsjDNAxlV1GElBVby1_M8Cd0UsY8jvrFTe4')
  })

  test('takes no more than 130 bytes, and is that of no other name', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme', size: 'max' }), (tag) => {
        const stamp = tagStamp(tag)
        expect(Buffer.byteLength(stamp)).toBeLessThanOrEqual(130)
        expect(tagStamp(stamp)).not.toBe(stamp)
        expect(tagStamp(stamp.slice(1))).not.toBe(stamp)
      }),
    )
  })
})

describe('names that are refused', () => {
  const BAD = ['', undefined, null, 5, {}, ['a'], Symbol('a'), '\uD800', 'a\uDC00']

  test.each(BAD.map((bad) => [bad]))('as a key and as a tag: %j', (bad) => {
    expect(() => assertKey(bad, 'n')).toThrow(CacheKeyError)
    expect(() => assertTag(bad)).toThrow(CacheKeyError)
  })

  test.each(BAD.filter((bad) => bad !== '').map((bad) => [bad]))('as a namespace: %j', (bad) => {
    expect(() => assertNamespace(bad)).toThrow(CacheKeyError)
  })

  test('the empty string is the default namespace', () => {
    expect(() => assertNamespace('')).not.toThrow()
  })

  test('the error says what was expected, what was got, and in which namespace', () => {
    expect(() => assertKey(5, 'users')).toThrow(
      expect.objectContaining({ message: 'key: expected a non-empty string, got 5', namespace: 'users' }),
    )
    expect(() => assertTag('')).toThrow("tag: expected a non-empty string, got ''")
    expect(() => assertNamespace('\uD800')).toThrow('namespace: expected well-formed Unicode, got a lone surrogate')
  })
})
