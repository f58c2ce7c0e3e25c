import { describe, expect, test } from 'vitest'
import { lineOf, named, storedHeaders } from '../../src/http/headers.ts'

describe('of the header fields of a response are stored', () => {
  test('those that the handler gave it', () => {
    const headers = { 'content-type': 'text/plain', 'x-page': '3', link: ['<a>', '<b>'] }
    expect(storedHeaders(headers, {})).toEqual(headers)
  })

  test('not those that were there before it, unless it changed them', () => {
    const before = {
      'x-request-id': '1',
      'access-control-allow-origin': 'https://a.test',
      vary: 'Origin',
      link: ['<a>'],
    }
    const headers = { ...before, vary: 'Origin, Accept', link: ['<a>', '<b>'], 'x-page': '3' }
    expect(storedHeaders(headers, before)).toEqual({ vary: 'Origin, Accept', link: ['<a>', '<b>'], 'x-page': '3' })
  })

  test.each([
    'connection',
    'proxy-connection',
    'keep-alive',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'proxy-authenticate',
    'content-length',
    'age',
    'retry-after',
    'traceparent',
    'server-timing',
    'cache-status',
    'x-cache',
    'set-cookie',
    'x-ratelimit-limit',
    'ratelimit',
    'ratelimit-policy',
  ])('not %s', (name) => {
    expect(storedHeaders({ [name]: 'x' }, {})).toEqual({})
  })

  test('not those that Connection names', () => {
    expect(storedHeaders({ connection: 'close, X-Hop', 'x-hop': '1', 'x-end': '2' }, {})).toEqual({ 'x-end': '2' })
  })
})

test('the names in a list are in lower case, over several lines too', () => {
  expect(named('Accept, , Origin ')).toEqual(['accept', 'origin'])
  expect(named(['Accept', 'Origin,X'])).toEqual(['accept', 'origin', 'x'])
  expect(named(undefined)).toEqual([])
  expect(lineOf(['a', 'b'])).toBe('a, b')
})
