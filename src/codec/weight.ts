/** What values take in memory, estimated: bytes as V8 has them on 64 bits, measured on Node 20. */

export const CONTAINER_BYTES = 56
export const SLOT_BYTES = 8
export const STRING_BYTES = 20
export const BOXED_NUMBER_BYTES = 16
export const DATE_BYTES = 96
export const TABLE_BYTES = 200
export const TABLE_SLOT_BYTES = 20
export const BUFFER_BYTES = 250

/** The name itself, and its part in the shapes that V8 keeps: measured at 150 to 170 beside the characters. */
const NAME_BYTES = 160

/** Longer names are nobody's columns: they count each time. */
const LONGEST_SHARED = 64
const MAX_SHARED = 5000
const MAX_DEPTHS = 16

/**
 * Names that were counted. V8 keeps each name, and each shape, once for all objects that have it, so ten thousand rows
 * pay for their columns once, and a thousand objects with ids of users for names pay for each of them. What is forgotten
 * here, or was given up with its entry and comes back, is off by 1 MB at most.
 */
const shared = new Set<string>()

/** The names of the last object at each depth: most objects have the same ones, and comparing them costs nothing. */
const latest: (readonly string[])[] = Array.from({ length: MAX_DEPTHS }, () => [])

/** What the names of an object's properties take, as far as others have not paid for them. */
export function bytesOfNames(names: readonly string[], depth: number): number {
  const last = depth < MAX_DEPTHS ? latest[depth]! : []
  let bytes = 0
  let hasOthers = false
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    if (name === last[i] && name.length <= LONGEST_SHARED) continue
    hasOthers = true
    if (!shared.has(name)) bytes += NAME_BYTES + name.length
    if (name.length <= LONGEST_SHARED) shared.add(name)
  }
  if (!hasOthers) return 0
  if (shared.size > MAX_SHARED) shared.clear()
  // Those of a dictionary are not worth keeping.
  if (depth < MAX_DEPTHS && names.length <= LONGEST_SHARED) latest[depth] = names
  return bytes
}

/** What a value without parts takes, beside the characters of a string. */
export function bytesOfPrimitive(value: unknown): number {
  if (typeof value === 'string') return STRING_BYTES
  if (typeof value === 'number') return (value | 0) === value ? 0 : BOXED_NUMBER_BYTES
  return typeof value === 'bigint' ? BOXED_NUMBER_BYTES : 0
}
