/** The rules of docs/http.md are held by the tests that its tables name. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** A row ends with its test; before it stands where the rule comes from. */
const rules = Array.from(
  read('docs/http.md').matchAll(/^\| \*(?:both|route|rfc9111)\* · (.+?) \| (?:.+ \| )?`(test\/[\w./-]+): (.+)` \|$/gm),
  ([line, rule = '', file = '', name = '']) => ({ line, rule, file, name }),
)

test('every row of the tables of rules names its RFC and its test', () => {
  const rows = Array.from(read('docs/http.md').matchAll(/^\| \*(?:both|route|rfc9111)\* .*$/gm), ([row]) => row)
  expect(rules.map(({ line }) => line)).toEqual(rows)
  expect(rules.length).toBeGreaterThan(50)
  for (const row of rows) expect(row).toMatch(/\| (?:\d{4})(?: §|\b)/)
})

test.each(rules)('$rule — $file: $name', ({ file, name }) => {
  expect(existsSync(new URL(file, root))).toBe(true)
  // As a whole, as it is quoted in the source.
  const source = read(file).replaceAll("\\'", "'")
  expect(["'", '"', '`'].some((quote) => source.includes(quote + name + quote))).toBe(true)
})
