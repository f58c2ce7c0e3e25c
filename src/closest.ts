/** The name that somebody meant who wrote another one. */

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
export function plain(name: string): string {
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
