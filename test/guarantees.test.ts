/** What docs/guarantees.md promises is held by the tests that it names. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const promises = Array.from(
  read('docs/guarantees.md').matchAll(/`((?:test|src)\/[\w./-]+): ([^`]+)`/g),
  ([, file = '', name = '']) => ({ file, name }),
)

test('the document names its tests', () => {
  expect(promises.length).toBeGreaterThan(40)
})

test.each(promises)('$file: $name', ({ file, name }) => {
  expect(existsSync(new URL(`../${file}`, import.meta.url))).toBe(true)
  // Names may be quoted in the source.
  expect(read(file).replaceAll("\\'", "'")).toContain(name)
})
