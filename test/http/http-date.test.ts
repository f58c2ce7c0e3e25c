import { expect, test } from 'vitest'
import { parseHttpDate } from '../../src/http/http-date.ts'

// RFC 9110 §5.6.7: a recipient must accept all three.
test.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
  '%s is a date',
  (text) => {
    expect(parseHttpDate(text)).toBe(784_111_777_000)
  },
)

// RFC 9111 §4.2: a cache does.
test.each(['SUN, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 NOV 1994 08:49:37 GMT', 'sun, 06 nov 1994 08:49:37 gmt'])(
  '%s is the same, in other letters',
  (text) => {
    expect(parseHttpDate(text)).toBe(784_111_777_000)
  },
)

test('of two digits the year is meant that is not more than 50 years ahead', () => {
  const soon = new Date().getUTCFullYear() + 49
  const digits = String(soon % 100).padStart(2, '0')
  expect(parseHttpDate(`Sunday, 06-Nov-${digits} 08:49:37 GMT`)).toBe(Date.UTC(soon, 10, 6, 8, 49, 37))
})

test('what `toUTCString` writes is read again, in any year of four digits', () => {
  for (const at of [0, 784_111_777_000, Date.UTC(2024, 1, 29), -62_135_596_800_000, Date.UTC(9999, 11, 31)]) {
    expect(parseHttpDate(new Date(at).toUTCString())).toBe(at)
  }
})

test.each([
  '',
  '0',
  'never',
  '1994',
  '1994-11-06T08:49:37Z',
  'Sun, 06 Nov 1994 08:49:37',
  'Sun, 06 Nov 1994 08:49:37 +0100',
  'Sun, 06 Nov 1994 08:49:37 UTC',
  'Sun 06 Nov 1994 08:49:37 GMT',
  'Sun, 06-Nov-1994 08:49:37 GMT',
  'Sun, 06 Nov 94 08:49:37 GMT',
  'Sun, 06 Nov 1994 8:49:37 GMT',
  'Sun, 06 Nov 1994 08.49.37 GMT',
  'Sun, 06  Nov  1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 24:00:00 GMT',
  'Sun, 31 Jun 1994 08:49:37 GMT',
  'Wed, 29 Feb 2023 00:00:00 GMT',
  'Sun, 99 Nov 1994 08:49:37 GMT',
  ' Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  'x'.repeat(100_000),
])('%.40s is none', (text) => {
  expect(parseHttpDate(text)).toBeUndefined()
})
