/** The ids of keys that were asked for before: to check a key, build its id and hash it takes as long as the rest of a hit. */
import { assertKey, entryId } from './key.ts'

/** Longer keys are few, and would take room. */
const LONGEST_KEY = 128

export class EntryIds {
  readonly #maxIds: number
  readonly #ids = new Map<string, Map<string, string>>()
  #size = 0

  /** @param maxIds so many are kept; with one more all of them are forgotten */
  constructor(maxIds: number) {
    this.#maxIds = maxIds
  }

  get size(): number {
    return this.#size
  }

  /** The id of the entry of `key`. @throws {CacheKeyError} */
  of(namespace: string, key: string): string {
    return this.#ids.get(namespace)?.get(key) ?? this.#add(namespace, key)
  }

  #add(namespace: string, key: string): string {
    assertKey(key, namespace)
    const id = entryId(namespace, key)
    if (key.length > LONGEST_KEY || namespace.length > LONGEST_KEY) return id
    if (this.#size >= this.#maxIds) {
      this.#ids.clear()
      this.#size = 0
    }
    const ids = this.#ids.get(namespace) ?? new Map<string, string>()
    this.#ids.set(namespace, ids.set(key, id))
    this.#size++
    return id
  }
}
