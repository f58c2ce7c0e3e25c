/** Chances that a seed decides: the same seed makes the same decisions, one after the other. */

export class Random {
  #state: number

  /** @param seeds who asks: the run's seed, a process, a phase ... */
  constructor(...seeds: readonly number[]) {
    this.#state = seeds.reduce((state, seed) => mixed(state ^ seed), 0x9e3779b9)
  }

  /** From 0 to 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    return (mixed(this.#state) >>> 0) / 2 ** 32
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  between(from: number, to: number): number {
    return from + (to - from) * this.next()
  }

  /** A whole number from 0 to below `count`. */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  /** One of `list`, the first ones far more often: some keys are hot, most are cold. */
  pickHot<T>(list: readonly T[]): T {
    return list[Math.floor(list.length * this.next() ** 3)]!
  }

  /** One of the names, as often as its weight says; a weight of 0 is never. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const table = Object.entries(weights) as [Name, number][]
    let left = this.next() * table.reduce((sum, [, weight]) => sum + weight, 0)
    return (table.find(([, weight]) => (left -= weight) < 0) ?? table[0]!)[0]
  }
}

function mixed(state: number): number {
  let bits = Math.imul(state ^ (state >>> 15), state | 1)
  bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
  return bits ^ (bits >>> 14)
}
