/** What somebody meant who wrote a key that does not exist. */
import type { FieldTree } from './field.ts'
import { FIELDS } from './schema.ts'

/** What a fault expects in place of the unknown key `name` of the section `tree`. */
export function suggest(name: string, prefix: string, tree: FieldTree): string {
  const names = Object.keys(tree)
  const meant = closest(name, names)
  if (meant !== undefined) return `a known key (did you mean '${prefix}${meant}'?)`
  const elsewhere = [...FIELDS.keys()].find((path) => plain(path.slice(path.lastIndexOf('.') + 1)) === plain(name))
  if (elsewhere !== undefined) return `a known key (did you mean '${elsewhere}'?)`
  return `a known key (${names.join(', ')})`
}

/** The one of `names` that somebody meant who wrote `name`; undefined if none is near. */
export function closest(name: string, names: readonly string[]): string | undefined {
  const sought = plain(name)
  const allowed = sought.length < 4 ? 1 : 2
  const [nearest] = names
    .map((candidate) => ({ candidate, distance: distance(sought, plain(candidate)) }))
    .filter((near) => near.distance <= allowed)
    .toSorted((a, b) => a.distance - b.distance)
  if (nearest !== undefined) return nearest.candidate
  if (sought.length < 3) return undefined
  // Those that begin with it first: PASS is PASSWORD rather than SENTINEL_PASSWORD.
  const longer = names.filter((candidate) => plain(candidate).includes(sought))
  return longer.find((candidate) => plain(candidate).startsWith(sought)) ?? longer[0]
}

/** Without what people vary: default_ttl, defaultTTL. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, '')
}

/** Letters to insert, remove or replace to get from one word to the other (Levenshtein). */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < to.length; j++) {
      const replaced = row[j]! + (from[i] === to[j] ? 0 : 1)
      next.push(Math.min(replaced, row[j + 1]! + 1, next[j]! + 1))
    }
    row = next
  }
  return row[to.length]!
}
