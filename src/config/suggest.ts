/** What somebody meant who wrote a key that does not exist. */
import { closest, plain } from '../closest.ts'
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
