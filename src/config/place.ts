/** Where Redis is can be said in three ways, of which one counts: a server, a cluster, a server that Sentinel knows. */
import type { ConfigurationFault } from '../exceptions.ts'
import type { FieldPath } from './schema.ts'
import type { Setting, Settings } from './settings.ts'

const WAYS: readonly (readonly FieldPath[])[] = [
  ['redis.url', 'redis.host', 'redis.port', 'redis.path'],
  ['redis.cluster'],
  ['redis.sentinel.name', 'redis.sentinel.nodes', 'redis.sentinel.username', 'redis.sentinel.password'],
]

/** Faults: a layer that says it in two ways. */
export function refuseTwoPlaces(layer: Settings, faults: ConfigurationFault[]): void {
  const said = WAYS.map((way) => way.flatMap((path) => layer.get(path) ?? [])).filter((way) => way.length > 0)
  const [first, ...others] = said
  for (const setting of others.flat()) {
    faults.push({ path: setting.name, expected: `not to be set beside ${first![0]!.name}`, got: 'both' })
  }
}

/** What of a layer below still counts beside what is said above. */
export function withoutOtherPlaces(below: Settings, above: Settings): Settings {
  const counts = new Map(below)
  const way = WAYS.find((paths) => paths.some((path) => above.has(path)))
  if (way === undefined) return counts
  for (const path of WAYS.flat()) if (!way.includes(path)) counts.delete(path)
  return counts
}

/** Faults: what is said of a place is not all that it takes, or more than there is. */
export function checkPlace(settings: ReadonlyMap<string, Setting>, faults: ConfigurationFault[]): void {
  const db = settings.get('redis.db')
  if (settings.has('redis.cluster') && db !== undefined && db.value !== 0) {
    faults.push({ path: db.name, expected: '0, the only database of a cluster', got: 'another one' })
  }
  const [, , sentinel = []] = WAYS
  const given = sentinel.find((path) => settings.has(path))
  if (given === undefined) return
  for (const path of ['redis.sentinel.name', 'redis.sentinel.nodes']) {
    if (settings.has(path)) continue
    faults.push({ path, expected: `to be set beside ${settings.get(given)!.name}`, got: 'nothing' })
  }
}
