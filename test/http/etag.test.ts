import { describe, expect, test } from 'vitest'
import { isSameStrongly, isSameWeakly, strongTag, tagged, weakened } from '../../src/http/etag.ts'
import { makeResponse } from './facts.ts'

describe('a tag of a body', () => {
  test('is strong, the same for the same bytes, and another for others', () => {
    expect(strongTag(Buffer.from('hello'))).toMatch(/^"[\w-]{22}"$/)
    expect(strongTag(Buffer.from('hello'))).toBe(strongTag(Buffer.from('hello')))
    expect(strongTag(Buffer.from('hello'))).not.toBe(strongTag(Buffer.from('hallo')))
  })

  test('is given to a 200 without one', () => {
    expect(tagged(makeResponse('hello')).headers.etag).toBe(strongTag(Buffer.from('hello')))
    expect(tagged(makeResponse('hello', { etag: 'W/"own"' })).headers.etag).toBe('W/"own"')
    expect(tagged(makeResponse('hello', {}, 404)).headers).toEqual({})
  })
})

test('a tag is weakened once', () => {
  expect(weakened('"a"')).toBe('W/"a"')
  expect(weakened('W/"a"')).toBe('W/"a"')
})

// The table of RFC 9110 §8.8.3.2.
test.each([
  ['W/"1"', 'W/"1"', false, true],
  ['W/"1"', 'W/"2"', false, false],
  ['W/"1"', '"1"', false, true],
  ['"1"', '"1"', true, true],
])('%s and %s: the same strongly %s, weakly %s', (one, other, strongly, weakly) => {
  expect(isSameStrongly(one, other)).toBe(strongly)
  expect(isSameWeakly(one, other)).toBe(weakly)
  expect(isSameWeakly(other, one)).toBe(weakly)
})

test('what is no tag is never the same strongly (RFC 9110 §8.8.3)', () => {
  expect(isSameStrongly('abc', 'abc')).toBe(false)
})
