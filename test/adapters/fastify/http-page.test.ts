/** docs/http.md and the check of the options know the same ones. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { CacheConfigurationError } from 'tidemark'
import { cached, type CacheRouteOptions } from 'tidemark/fastify'
import { inMemory, makeCachedApp } from './harness.ts'

const page = readFileSync(new URL('../../../docs/http.md', import.meta.url), 'utf8')

/** What an option that nobody knows is told. */
function knownOptions(): string[] {
  const cache = inMemory()
  const app = makeCachedApp(cache)
  try {
    app.get('/', cached(cache, { ttl: 60, unheardOf: 1 } as CacheRouteOptions), () => 'hello')
  } catch (error) {
    const [fault] = (error as CacheConfigurationError).faults
    return fault!.expected.replace('one of ', '').split(', ')
  }
  return []
}

test('the table of options lists every option once, and no other', () => {
  const [, table = ''] = /\n## Options\n([^]*?)\n`cacheBusting/.exec(page) ?? []
  const listed = Array.from(table.matchAll(/^\| `(\w+)` \|/gm), ([, name]) => name!)
  expect(listed.toSorted()).toEqual(knownOptions().toSorted())
})
