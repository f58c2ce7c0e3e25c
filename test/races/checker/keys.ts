/** The keys of a run: who owns each, and by which names it is invalidated. A pure function of the number of processes. */

export interface Key {
  /** Its place in the truth. */
  readonly index: number
  /** `namespace/name`, as caches are given it. */
  readonly name: string
  readonly namespace: string
  /** The one process that writes it. */
  readonly owner: number
  readonly tags: readonly string[]
  /** Those of `tags` that only a load tells. */
  readonly learntTags: readonly string[]
  /** Written by `set`, and by nothing that could be in flight together with one. */
  readonly isForSet: boolean
}

const KEYS_PER_PROCESS = 40
const SET_KEYS_PER_PROCESS = 3
const TAGS_PER_PROCESS = 8
/** The first are cold or hot as the others; `wrapped` is read by a cached function. */
const NAMESPACES = ['a', 'b', 'wrapped']
const SET_NAMESPACE = 'sets'

export function keysOf(processes: number): readonly Key[] {
  return Array.from({ length: processes * KEYS_PER_PROCESS }, (_, index) => keyAt(index, processes))
}

function keyAt(index: number, processes: number): Key {
  const owner = index % processes
  const nth = Math.floor(index / processes)
  const isForSet = nth >= KEYS_PER_PROCESS - SET_KEYS_PER_PROCESS
  const namespace = isForSet ? SET_NAMESPACE : NAMESPACES[nth % NAMESPACES.length]!
  const learntTags = isForSet ? [] : [`learnt ${owner}.${nth % (TAGS_PER_PROCESS + 1)}`]
  const known = isForSet ? [] : [`known ${owner}.${nth % TAGS_PER_PROCESS}`, `all ${nth % 2}`]
  const tags = [...known, ...learntTags]
  return { index, name: `${namespace}/k${index}`, namespace, owner, tags, learntTags, isForSet }
}
