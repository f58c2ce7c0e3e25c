/** docs/configuration.md, the table of variables and the schema say the same. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { VARIABLES } from '../../src/config/env.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { FIELDS } from '../../src/config/schema.ts'
import { faultsOf, errorOf } from './faults.ts'

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, field = '', byDefault = '', variables = '', meaning = '']) => ({
    path: field.replaceAll('`', ''),
    byDefault: byDefault.replaceAll('`', ''),
    variables: Array.from(variables.matchAll(/[A-Z][A-Z0-9_]*/g), ([variable]) => variable),
    meaning,
  }))

const NAMED: Readonly<Record<string, unknown>> = { none: undefined, console, "the machine's": systemClock }

/** The value that the text of a default stands for in code. */
function literal(source: string): unknown {
  if (source in NAMED) return NAMED[source]
  return JSON.parse(source.replaceAll("'", '"').replaceAll(/(?<=\d)_(?=\d)/g, ''))
}

describe('docs/configuration.md', () => {
  test('lists every field once, and no other', () => {
    expect(rows.map(({ path }) => path).toSorted()).toEqual([...FIELDS.keys()].toSorted())
  })

  test('gives each field its variables, and no other', () => {
    const documented = rows.flatMap(({ path, variables }) => variables.map((variable) => [variable, path]))
    expect(Object.fromEntries(documented)).toEqual(VARIABLES)
    expect(documented).toHaveLength(Object.keys(VARIABLES).length)
  })

  test.each(rows)('$path has the default $byDefault', ({ path, byDefault }) => {
    const written = literal(byDefault)
    const field = FIELDS.get(path)
    expect(written === undefined ? undefined : field?.parse(written)).toEqual(field?.default)
    expect(field).toBeDefined()
  })

  test('says of each field what it means', () => {
    expect(rows.filter(({ meaning }) => !/^.{4,}\.$/.test(meaning))).toEqual([])
  })

  test('shows the error of its example', () => {
    const env = { REDIS_PORT: '70000', REDIS_URL: 'http://app:secret@localhost' }
    const config = { cache: { defaultTtl: '2d', maxTtl: '1h', keyPrefx: 'shop:' } }
    expect(page).toContain(`\`\`\`text\n${errorOf(config, env).message}\n\`\`\``)
    expect(faultsOf(config, env)).toHaveLength(4)
  })
})

describe('the variables', () => {
  test('reach every field but those that only code can hold', () => {
    const reached = new Set<string>(Object.values(VARIABLES))
    expect([...FIELDS.keys()].filter((path) => !reached.has(path))).toEqual([
      'redis.path',
      'redis.client',
      'store',
      'clock',
      'logger',
    ])
  })

  test('are named after their fields', () => {
    const upper = (path: string): string => path.replaceAll(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()
    const others = Object.entries(VARIABLES).filter(([variable, path]) => variable !== upper(path))
    expect(others).toEqual([
      ['NODE_ENV', 'environment'],
      ['REDIS_CLUSTER_NODES', 'redis.cluster'],
      ['REDIS_SENTINELS', 'redis.sentinel.nodes'],
    ])
  })

  test('whose field has a default may say it in so many words', () => {
    for (const [variable, path] of Object.entries(VARIABLES)) {
      const byDefault = FIELDS.get(path)?.default
      if (byDefault === undefined) continue
      const section = loadConfig({ [variable]: `${byDefault as string | number | boolean}` })
      const value = path.split('.').reduce<unknown>((at, name) => Reflect.get(at as object, name), section)
      expect([path, value]).toEqual([path, byDefault])
    }
  })
})
