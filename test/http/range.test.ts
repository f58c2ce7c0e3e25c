import { describe, expect, test } from 'vitest'
import type { Headers } from '../../src/http/message.ts'
import { contentRange, requestedRange } from '../../src/http/range.ts'
import { makeRequest, type RequestFacts } from './facts.ts'

const MODIFIED = 'Thu, 01 Jan 2026 00:00:00 GMT'
const A_SECOND_LATER = 'Thu, 01 Jan 2026 00:00:01 GMT'

interface Asked extends RequestFacts {
  readonly range?: string
  readonly ifRange?: string
  readonly of?: Headers
  readonly length?: number
}

function ask({ range, ifRange, of = {}, length = 10, ...facts }: Asked): unknown {
  return requestedRange(makeRequest({ ...facts, headers: { range, 'if-range': ifRange } }), of, length)
}

describe('one range of bytes (RFC 9110 §14.1.2)', () => {
  test.each([
    ['bytes=0-0', { first: 0, last: 0 }],
    ['bytes=0-9', { first: 0, last: 9 }],
    ['bytes=9-9', { first: 9, last: 9 }],
    ['bytes=2-5', { first: 2, last: 5 }],
    ['bytes=2-', { first: 2, last: 9 }],
    ['bytes=-3', { first: 7, last: 9 }],
    ['BYTES=2-5', { first: 2, last: 5 }],
    ['bytes=2-1000', { first: 2, last: 9 }],
    ['bytes=-1000', { first: 0, last: 9 }],
    [`bytes=2-${'9'.repeat(1000)}`, { first: 2, last: 9 }],
    [`bytes=-${'9'.repeat(1000)}`, { first: 0, last: 9 }],
  ])('%.30s', (range, expected) => {
    expect(ask({ range })).toEqual(expected)
  })

  test.each(['bytes=10-', 'bytes=10-10', 'bytes=1000-2000', 'bytes=-0', `bytes=${'9'.repeat(1000)}-`])(
    '%.30s cannot be satisfied (RFC 9110 §15.5.17)',
    (range) => {
      expect(ask({ range })).toBe('unsatisfiable')
    },
  )

  test.each(['bytes=0-', 'bytes=0-0', 'bytes=-1'])('%s of an empty body cannot be satisfied', (range) => {
    expect(ask({ range, length: 0 })).toBe('unsatisfiable')
  })
})

// Attack 27. A server may ignore Range (RFC 9110 §14.2).
describe('everything else gets the whole body', () => {
  test.each([
    'bytes=5-2',
    'bytes=0-1,3-4',
    'bytes=0-,0-,0-,0-',
    `bytes=${'0-,'.repeat(20_000)}0-`,
    'bytes=-',
    'bytes=',
    'bytes',
    '',
    'items=0-1',
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=1.0-2',
    'bytes=+1-2',
    'bytes=--1',
    'bytes=1-2-3',
    'bytes = 0-1',
    ' bytes=0-1',
    'bytes=0-1\n',
    `bytes=${'1'.repeat(65_536)}`,
  ])('%.30j', (range) => {
    expect(ask({ range })).toBeUndefined()
  })

  test('and so do no Range, a HEAD (RFC 9110 §14.2), and a handler that has none', () => {
    expect(ask({})).toBeUndefined()
    expect(ask({ method: 'HEAD', range: 'bytes=0-1' })).toBeUndefined()
    expect(ask({ range: 'bytes=0-1', of: { 'accept-ranges': 'none' } })).toBeUndefined()
  })
})

describe('If-Range (RFC 9110 §13.1.5)', () => {
  const dated = { 'last-modified': MODIFIED, date: A_SECOND_LATER }

  test.each([
    ['the tag', '"a"', { etag: '"a"' }, true],
    ['another one', '"b"', { etag: '"a"' }, false],
    ['two weak ones', 'W/"a"', { etag: 'W/"a"' }, false],
    ['a weak one of a strong one', 'W/"a"', { etag: '"a"' }, false],
    ['a strong one of a weak one', '"a"', { etag: 'W/"a"' }, false],
    ['a list', '"a", "b"', { etag: '"a"' }, false],
    ['what is no tag', 'a', { etag: 'a' }, false],
    ['no tag', '"a"', {}, false],
    ['the very date', MODIFIED, dated, true],
    ['a later date', A_SECOND_LATER, dated, false],
    ['the same date in other words', 'Thursday, 01-Jan-26 00:00:00 GMT', dated, false],
    ['a date that may stand for two bodies (§8.8.2.2)', MODIFIED, { ...dated, date: MODIFIED }, false],
    ['a date of a response without a Date', MODIFIED, { 'last-modified': MODIFIED }, false],
    ['what is no date', 'yesterday', { ...dated, 'last-modified': 'yesterday' }, false],
  ])('%s', (_, ifRange, of, isGiven) => {
    const part = ask({ range: 'bytes=0-1', ifRange, of })
    expect(part).toEqual(isGiven ? { first: 0, last: 1 } : undefined)
  })

  test('that fails gets the whole body, also where the range cannot be satisfied', () => {
    expect(ask({ range: 'bytes=10-', ifRange: '"b"', of: { etag: '"a"' } })).toBeUndefined()
  })
})

test('Content-Range (RFC 9110 §14.4)', () => {
  expect(contentRange({ first: 2, last: 5 }, 10)).toBe('bytes 2-5/10')
  expect(contentRange('unsatisfiable', 10)).toBe('bytes */10')
})
