/** Remembered ids are what entryId says, and what may be no key is refused each time. */
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
