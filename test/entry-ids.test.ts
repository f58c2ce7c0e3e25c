/** The memo of ids says what entryId says, refuses what a key may not be, and holds no more than its bound. */
import { expect, test } from 'vitest'
import { EntryIds } from '../src/entry-ids.ts'
import { CacheKeyError } from '../src/exceptions.ts'
import { entryId } from '../src/key.ts'

const NAMES = [
  ['', 'a'],
  ['a', 'b:c'],
  ['a:b', 'c'],
  ['a', '\0'],
  ['%', '%'],
  ['__proto__', 'constructor'],
  ['n', 'k'.repeat(1000)],
  ['n'.repeat(1000), 'k'],
] as const

test.each(NAMES)('the id of %j and %j is that of the key, however often it is asked for', (namespace, key) => {
  const ids = new EntryIds(10)
  for (let i = 0; i < 3; i++) expect(ids.of(namespace, key)).toBe(entryId(namespace, key))
})

test('namespaces are told apart', () => {
  const ids = new EntryIds(10)
  expect(new Set(NAMES.map(([namespace]) => ids.of(namespace, 'same'))).size).toBe(new Set(NAMES.map(([n]) => n)).size)
})

test.each([undefined, null, 1, '', '\ud800', {}])('%j is no key', (key) => {
  const ids = new EntryIds(10)
  for (let i = 0; i < 2; i++) expect(() => ids.of('n', key as string)).toThrow(CacheKeyError)
})

test('it holds no more than its bound', () => {
  const ids = new EntryIds(100)
  for (let i = 0; i < 100; i++) ids.of(i % 2 === 0 ? 'a' : 'b', `key ${i}`)
  expect(ids.size).toBe(100)
  for (let i = 0; i < 100_050; i++) ids.of('a', `other ${i}`)
  expect(ids.size).toBe(50)
})

test('it holds nothing long, and nothing twice', () => {
  const ids = new EntryIds(100)
  for (let i = 0; i < 9; i++) {
    ids.of('n', 'k'.repeat(1000))
    ids.of('n'.repeat(1000), 'k')
    ids.of('n', 'k')
  }
  expect(ids.size).toBe(1)
})
