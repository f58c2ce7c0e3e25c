import { expect, test } from 'vitest'
import { parseHttpDate } from '../../src/http/http-date.ts'

// RFC 9110 §5.6.7: a recipient must accept all three.
test.each(['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'])(
  '%s is a date',
  (text) => {
    expect(parseHttpDate(text)).toBe(784_111_777_000)
  },
)

test.each([
  '',
  '0',
  'never',
  '1994',
  '1994-11-06T08:49:37Z',
  'Sun, 06 Nov 1994 08:49:37',
  'Sun, 06 Nov 1994 08:49:37 +0100',
  'sun, 06 nov 1994 08:49:37 gmt',
  'Sun, 99 Nov 1994 08:49:37 GMT',
  ' Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  'x'.repeat(100_000),
])('%.40s is none', (text) => {
  expect(parseHttpDate(text)).toBeUndefined()
})
