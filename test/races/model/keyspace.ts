/**
 * The keyspace of the model: strings, sorted sets and hashes with a time to live, as far as tidemark's commands need
 * them. Strings are bytes, one character each (latin1), as Lua sees them.
 */
type Value = string | Map<string, number> | Map<string, string>

interface Stored {
  readonly value: Value
  readonly kind: 'string' | 'zset' | 'hash'
  /** In microseconds of the server's clock. */
  expiresAt: number
}

export type Scored = readonly [member: string, score: number]

/** What Redis replies to a command for another type; `pcall` hands it over, `call` raises it. */
export class WrongType extends Error {
  constructor() {
    super('WRONGTYPE Operation against a key holding the wrong kind of value')
  }
}

const MICROSECONDS = 1000

export class Keyspace {
  readonly #stored = new Map<string, Stored>()
  readonly #now: () => number

  /** @param now microseconds of the server's clock */
  constructor(now: () => number) {
    this.#now = now
  }

  get(key: string): string | undefined {
    return this.#find(key, 'string')?.value as string | undefined
  }

  set(key: string, value: string, pxMs = Infinity): void {
    this.#stored.set(key, { kind: 'string', value, expiresAt: this.#now() + pxMs * MICROSECONDS })
  }

  /** GETRANGE: both ends included; of nothing it is nothing. */
  getRange(key: string, from: number, to: number): string {
    return (this.get(key) ?? '').slice(from, to + 1)
  }

  setRange(key: string, at: number, part: string): void {
    const found = this.#find(key, 'string')
    const old = ((found?.value ?? '') as string).padEnd(at, '\0')
    const value = old.slice(0, at) + part + old.slice(at + part.length)
    this.#stored.set(key, { kind: 'string', value, expiresAt: found?.expiresAt ?? Infinity })
  }

  exists(key: string): boolean {
    return this.#alive(key) !== undefined
  }

  delete(...keys: readonly string[]): void {
    for (const key of keys) this.#stored.delete(key)
  }

  /** PEXPIRE: false if the key is not there. */
  expire(key: string, pxMs: number): boolean {
    const found = this.#alive(key)
    if (found === undefined) return false
    found.expiresAt = this.#now() + pxMs * MICROSECONDS
    return true
  }

  /** PTTL: -2 of nothing, -1 of what stays. */
  pttl(key: string): number {
    const found = this.#alive(key)
    if (found === undefined) return -2
    return found.expiresAt === Infinity ? -1 : Math.round((found.expiresAt - this.#now()) / MICROSECONDS)
  }

  zscore(key: string, member: string): number | undefined {
    return this.#zset(key)?.get(member)
  }

  zadd(key: string, member: string, score: number): void {
    const set = this.#zset(key) ?? this.#make(key, 'zset', new Map<string, number>())
    set.set(member, score)
  }

  zrem(key: string, member: string): void {
    const set = this.#zset(key)
    set?.delete(member)
    if (set?.size === 0) this.#stored.delete(key)
  }

  zcard(key: string): number {
    return this.#zset(key)?.size ?? 0
  }

  /** All members, by score and then by name. */
  zrange(key: string): Scored[] {
    const byName = ([a]: Scored, [b]: Scored): number => (a < b ? -1 : 1)
    return [...(this.#zset(key) ?? [])].toSorted((a, b) => a[1] - b[1] || byName(a, b))
  }

  hget(key: string, field: string): string | undefined {
    return (this.#find(key, 'hash')?.value as Map<string, string> | undefined)?.get(field)
  }

  /** HSET; how many fields the hash has then. */
  hset(key: string, field: string, value: string): number {
    const hash = this.#find(key, 'hash')?.value as Map<string, string> | undefined
    return (hash ?? this.#make(key, 'hash', new Map<string, string>())).set(field, value).size
  }

  flush(): void {
    this.#stored.clear()
  }

  keys(): string[] {
    return [...this.#stored.keys()].filter((key) => this.exists(key)).toSorted()
  }

  /** What stands under a key: of sets and hashes the pairs, in order. */
  dump(key: string): string | readonly (readonly [string, string | number])[] | undefined {
    const found = this.#alive(key)
    if (found === undefined || typeof found.value === 'string') return found?.value as string | undefined
    return found.kind === 'zset' ? this.zrange(key) : [...(found.value as Map<string, string>)]
  }

  /** A copy as it is now, for a replica or a dump; `restore` takes it back. */
  snapshot(): ReadonlyMap<string, Stored> {
    return structuredClone(this.#stored)
  }

  restore(snapshot: ReadonlyMap<string, Stored>): void {
    this.#stored.clear()
    for (const [key, stored] of structuredClone(snapshot)) this.#stored.set(key, stored)
  }

  #zset(key: string): Map<string, number> | undefined {
    return this.#find(key, 'zset')?.value as Map<string, number> | undefined
  }

  #make<T extends Value>(key: string, kind: Stored['kind'], value: T): T {
    this.#stored.set(key, { kind, value, expiresAt: Infinity })
    return value
  }

  /** @throws {WrongType} */
  #find(key: string, kind: Stored['kind']): Stored | undefined {
    const found = this.#alive(key)
    if (found !== undefined && found.kind !== kind) throw new WrongType()
    return found
  }

  #alive(key: string): Stored | undefined {
    const found = this.#stored.get(key)
    if (found === undefined || this.#now() < found.expiresAt) return found
    this.#stored.delete(key)
    return undefined
  }
}
