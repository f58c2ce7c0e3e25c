import { describe, expect, test } from 'vitest'
import { isNotModified, notModifiedHeaders } from '../../src/http/conditional.ts'
import type { Headers } from '../../src/http/message.ts'
import { makeRequest } from './facts.ts'

const EARLIER = 'Thu, 01 Jan 2026 00:00:00 GMT'
const LATER = 'Thu, 01 Jan 2026 00:00:01 GMT'

function hasIt(headers: Readonly<Record<string, string>>, of: Headers): boolean {
  return isNotModified(makeRequest({ headers }), of)
}

describe('If-None-Match (RFC 9110 §13.1.2)', () => {
  test.each([
    ['the tag', '"a"', '"a"', true],
    ['another tag', '"b"', '"a"', false],
    ['a weak one of a strong one', 'W/"a"', '"a"', true],
    ['a strong one of a weak one', '"a"', 'W/"a"', true],
    ['two weak ones', 'W/"a"', 'W/"a"', true],
    ['one of a list', '"x", W/"a" ,"y"', '"a"', true],
    ['the last of a list without spaces', '"x","y","a"', '"a"', true],
    ['none of a list', '"x", "y"', '"a"', false],
    ['a list with empty members', ',, "x",, "a",', '"a"', true],
    ['anything', '*', '"a"', true],
    ['anything, though there is no tag', '*', undefined, true],
    ['a tag, though there is none', '"a"', undefined, false],
    ['a tag with a comma', '"a,b"', '"a,b"', true],
    ['a part of a tag with a comma', '"a', '"a,b"', false],
    ['an empty tag', '""', '""', true],
    ['a tag of any bytes', '"\xe9\x80!"', '"\xe9\x80!"', true],
    ['what is no tag, but what the handler gave', 'abc', 'abc', true],
    ['the tag without its quotes', 'a', '"a"', false],
    ['a lower-case mark of weakness', 'w/"a"', '"a"', false],
    ['nothing', '', '"a"', false],
    ['garbage', '}{', '"a"', false],
    ['the tag within garbage', 'x"a"', '"a"', false],
    ['the tag behind garbage', 'x, "a"', '"a"', false],
    ['the tag between two that are not closed', '"x, "a", y"', '"a"', false],
    ['the tag and no comma', '"a" "b"', '"a"', false],
  ])('%s: %s for %s', (_, field, etag, expected) => {
    expect(hasIt({ 'if-none-match': field }, etag === undefined ? {} : { etag })).toBe(expected)
  })

  test('speaks alone where there is also an If-Modified-Since (RFC 9110 §13.2.2)', () => {
    const headers = { 'if-none-match': '"b"', 'if-modified-since': LATER }
    expect(hasIt(headers, { etag: '"a"', 'last-modified': EARLIER })).toBe(false)
  })

  // Attack 26. Doubling the input must not quadruple the time; a backtracking pattern takes seconds at this size.
  test.each([
    ['many tags', '"a",'.repeat(16_384)],
    ['commas', ','.repeat(65_536)],
    ['spaces', `"a"${' '.repeat(65_536)}x`],
    ['quotes', '"'.repeat(65_535)],
    ['a tag without an end', `"${'a'.repeat(65_535)}`],
    ['marks of weakness', 'W/'.repeat(32_768)],
    ['empty tags', '"" '.repeat(21_845)],
  ])('64 KB of %s take linear time', (_, field) => {
    const startedAt = performance.now()
    for (let i = 0; i < 10; i++) hasIt({ 'if-none-match': field }, { etag: '"b"' })
    expect(performance.now() - startedAt).toBeLessThan(500)
  })
})

describe('If-Modified-Since (RFC 9110 §13.1.3)', () => {
  test.each([
    ['the same moment', EARLIER, { 'last-modified': EARLIER }, true],
    ['a later one', LATER, { 'last-modified': EARLIER }, true],
    ['an earlier one', EARLIER, { 'last-modified': LATER }, false],
    ['the time of the response, which has no Last-Modified (RFC 9111 §4.3.2)', EARLIER, { date: EARLIER }, true],
    ['before the time of the response', EARLIER, { date: LATER }, false],
    ['a Last-Modified goes before a Date', EARLIER, { 'last-modified': LATER, date: EARLIER }, false],
    ['neither', LATER, {}, false],
    ['no date', 'yesterday', { 'last-modified': EARLIER }, false],
    ['a Last-Modified that is no date', LATER, { 'last-modified': 'yesterday' }, false],
    ['two dates', `${LATER}, ${LATER}`, { 'last-modified': EARLIER }, false],
  ])('%s', (_, field, headers, expected) => {
    expect(hasIt({ 'if-modified-since': field }, headers as Headers)).toBe(expected)
  })
})

test('without a condition it is sent', () => {
  expect(hasIt({}, { etag: '"a"', 'last-modified': EARLIER })).toBe(false)
})

test('If-Match and If-Unmodified-Since are the handler’s', () => {
  expect(hasIt({ 'if-match': '"b"', 'if-unmodified-since': EARLIER }, { etag: '"a"', date: LATER })).toBe(false)
})

test('a 304 has these fields of the 200, and no other (RFC 9110 §15.4.5)', () => {
  const kept = {
    'cache-control': 'max-age=1',
    'content-location': '/a',
    date: EARLIER,
    etag: '"a"',
    expires: LATER,
    vary: 'accept',
  }
  const others = { 'content-type': 'text/plain', 'content-language': 'de', 'last-modified': EARLIER, 'x-a': '1' }
  expect(notModifiedHeaders({ ...others, ...kept })).toEqual(kept)
})
