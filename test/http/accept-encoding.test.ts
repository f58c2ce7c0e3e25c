import { describe, expect, test } from 'vitest'
import { preferredCoding, type Coding } from '../../src/http/accept-encoding.ts'

const OFFERED: readonly Coding[] = ['br', 'gzip']

// RFC 9110 §12.5.3.
describe('what a client is sent that says', () => {
  test.each([
    ['gzip', 'gzip'],
    ['br', 'br'],
    ['gzip, br', 'br'],
    ['gzip, deflate, br, zstd', 'br'],
    ['GZIP', 'gzip'],
    ['x-gzip', 'gzip'],
    ['br;q=0.5, gzip;q=0.8', 'gzip'],
    ['br ; q=0.5 ,\tgzip ; q=0.8', 'gzip'],
    ['br;q=0, gzip', 'gzip'],
    ['br;q=0.0, gzip;q=0.001', 'gzip'],
    ['*', 'br'],
    ['br;q=0, *', 'gzip'],
    ['gzip;q=0.5, *', 'br'],
    ['gzip, *;q=0', 'gzip'],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['identity;q=0.5, gzip;q=0.5', 'gzip'],
    ['identity;q=0.5, gzip;q=0.4, br;q=0.9', 'br'],
    [',, gzip ,,', 'gzip'],
  ])('%j is %s', (field, coding) => {
    expect(preferredCoding(field, OFFERED)).toBe(coding)
  })

  test.each([
    undefined,
    '',
    'identity',
    'identity, gzip;q=0.5',
    'deflate',
    'br;q=0, gzip;q=0',
    'br;q=0, gzip;q=0, identity;q=0',
    '*;q=0',
    'gzip;q=0, *;q=0',
    'identity;q=0, *;q=0',
    'gzip;q=2',
    'gzip;q=-1',
    'gzip;q=0.0001',
    'gzip;q=',
    'gzip;q=high',
    'gzip;level=9',
    'gz ip',
    ';q=1',
    '}{',
  ])('%j is identity', (field) => {
    expect(preferredCoding(field, OFFERED)).toBeUndefined()
  })

  test('nothing of two codings is the one that is offered first', () => {
    expect(preferredCoding('br, gzip', ['gzip', 'br'])).toBe('gzip')
  })

  test('a coding of the prototype is none', () => {
    expect(preferredCoding('constructor, __proto__', OFFERED)).toBeUndefined()
  })
})

test.each([
  ['members', 'gzip,'.repeat(13_000)],
  ['spaces', `gzip${' '.repeat(65_000)}x`],
  ['spaces behind a semicolon', `gzip;${' '.repeat(65_000)}x`],
  ['semicolons', ';'.repeat(65_000)],
  ['digits', `gzip;q=0.${'0'.repeat(65_000)}`],
])('64 KB of %s take linear time', (_, field) => {
  const startedAt = performance.now()
  for (let i = 0; i < 5; i++) preferredCoding(field, OFFERED)
  expect(performance.now() - startedAt).toBeLessThan(500)
})

test('values that are made up change nothing, however many there are', () => {
  for (let i = 0; i < 1000; i++) expect(preferredCoding(`x-${i}, gzip`, OFFERED)).toBe('gzip')
  expect(preferredCoding('gzip, br', OFFERED)).toBe('br')
})
