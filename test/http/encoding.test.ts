import { describe, expect, test } from 'vitest'
import { isCoding, isEncodable, offeredFor } from '../../src/http/encoding.ts'

describe('a body is worth encoding', () => {
  test.each([
    'text/plain',
    'text/html; charset=utf-8',
    'TEXT/CSS',
    'application/json',
    'application/json;charset=utf-8',
    'application/json ; charset=utf-8',
    'application/vnd.api+json',
    'application/javascript',
    'image/svg+xml',
    'application/xml',
  ])('that is %s', (type) => {
    expect(isEncodable({ headers: { 'content-type': type } })).toBe(true)
  })

  test.each(['image/png', 'video/mp4', 'application/zip', 'application/octet-stream', 'text/event-stream', ''])(
    'and not one that is %j',
    (type) => {
      expect(isEncodable({ headers: { 'content-type': type } })).toBe(false)
    },
  )

  test('nor one of no type, one that is encoded, one that must not be touched (RFC 9111 §5.2.2.6)', () => {
    const type = { 'content-type': 'text/plain' }
    expect(isEncodable({ headers: {} })).toBe(false)
    expect(isEncodable({ headers: { ...type, 'content-encoding': 'br' } })).toBe(false)
    expect(isEncodable({ headers: { ...type, 'content-encoding': 'identity' } })).toBe(false)
    expect(isEncodable({ headers: { ...type, 'cache-control': 'public, No-Transform' } })).toBe(false)
  })
})

test('what is stored in a coding is offered in it first', () => {
  expect(offeredFor(undefined)).toEqual(['br', 'gzip'])
  expect(offeredFor('gzip')).toEqual(['gzip', 'br'])
  expect(offeredFor('zstd')).toEqual(['zstd', 'br', 'gzip'])
})

test('a coding is one that this Node can read', () => {
  expect(['br', 'gzip'].every(isCoding)).toBe(true)
  expect(['identity', 'deflate', 'constructor', '', 7, undefined].some(isCoding)).toBe(false)
})
