/** What was made of two names before: of an owner, and of what it calls by name. */

/** Longer names are few, and would take room. */
const LONGEST_NAME = 256

export class Memo<Owner, Value> {
  readonly #max: number
  readonly #values = new Map<Owner, Map<string, Value>>()
  #size = 0

  /** @param max so many values are kept; with one more all of them are forgotten */
  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#size
  }

  get(owner: Owner, name: string): Value | undefined {
    return this.#values.get(owner)?.get(name)
  }

  /** Keeps `value`, of which there is none yet, unless its name is long. */
  add(owner: Owner, name: string, value: Value): void {
    if (name.length > LONGEST_NAME) return
    if (this.#size >= this.#max) {
      this.#values.clear()
      this.#size = 0
    }
    const named = this.#values.get(owner)
    if (named === undefined) this.#values.set(owner, new Map([[name, value]]))
    else named.set(name, value)
    this.#size++
  }
}
