/** Settings as somebody gave them, not yet checked, and what of them stands in code. */
import type { ConfigurationFault } from '../exceptions.ts'
import { isField, isPlainObject, type FieldTree } from './field.ts'
import { SCHEMA, type FieldPath } from './schema.ts'
import { suggest } from './suggest.ts'

/** A value and who gave it: its path in code, or the name of a variable. */
export interface Setting {
  readonly name: string
  readonly value: unknown
  /** It is the text of a variable. */
  readonly isText?: true
}

export type Settings = Map<FieldPath, Setting>

/** What the code says. Faults: keys that nobody knows, and values where a section belongs. */
export function readCode(config: object, faults: ConfigurationFault[]): Settings {
  const settings: Settings = new Map()
  collect({ tree: SCHEMA, prefix: '', settings, faults }, config)
  return settings
}

interface Section {
  readonly tree: FieldTree
  readonly prefix: string
  readonly settings: Map<string, Setting>
  readonly faults: ConfigurationFault[]
}

function collect(section: Section, config: object): void {
  const { tree, prefix, settings, faults } = section
  for (const [name, value] of Object.entries(config)) {
    const path = prefix + name
    const node = Object.hasOwn(tree, name) ? tree[name] : undefined
    if (node === undefined) {
      // Not the value: a misspelt `password` holds one.
      faults.push({ path, expected: suggest(name, prefix, tree), got: 'an unknown key' })
    } else if (value === undefined || (path === 'redis' && value === false)) {
      // A client that was to be there and is not, as after a misspelt import: the cache would go to another Redis.
      if (path === 'redis.client')
        faults.push({ path, expected: `${SCHEMA.redis.client.expected}, or no such key`, got: 'undefined' })
      continue
    } else if (isField(node)) {
      settings.set(path, { name: path, value })
    } else if (isPlainObject(value)) {
      collect({ ...section, tree: node, prefix: `${path}.` }, value)
    } else {
      faults.push({ path, expected: path === 'redis' ? redisFor(value) : 'an object', got: kind(value) })
    }
  }
}

/** What to write instead of what stands for `redis`: most often it belongs into one field of it. */
function redisFor(value: unknown): string {
  if (typeof value === 'string') return 'an object, { url: … } for a URL or { host: … } for a name, or false'
  return typeof value === 'object' && !Array.isArray(value) && value !== null
    ? 'an object, { client: … } for a client of your own, or false'
    : 'an object, or false'
}

/** What something is where a section belongs; not its text, which may be a URL with a password. */
export function kind(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object of another kind' : `a ${typeof value}`
}
