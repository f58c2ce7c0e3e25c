/** The ids of keys that were asked for before: to check a key, build its id and hash it takes as long as the rest of a hit. */
import { assertKey, entryId } from './key.ts'
import { Memo } from './memo.ts'

export class EntryIds {
  readonly #ids: Memo<string, string>

  /** @param max so many are remembered */
  constructor(max: number) {
    this.#ids = new Memo(max)
  }

  /** The id of the entry of `key`. @throws {CacheKeyError} */
  of(namespace: string, key: string): string {
    return this.#ids.get(namespace, key) ?? this.#made(namespace, key)
  }

  #made(namespace: string, key: string): string {
    assertKey(key, namespace)
    const id = entryId(namespace, key)
    this.#ids.add(namespace, key, id)
    return id
  }
}
