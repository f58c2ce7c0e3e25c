/**
 * The one pass that makes a caller's value safe to keep and to share: a private, deep-frozen copy of what can be stored.
 *
 * Memory and Redis must give back the same thing, and a hit the same thing as the miss before it. So every value goes
 * through here before anyone gets it, whichever store keeps it: what JSON would drop or change is dropped or changed
 * now, and what cannot be stored is refused now, by its path. JSON's rules hold (`toJSON`, boxed primitives,
 * `undefined`, class instances become plain objects); beyond JSON survive Date, Buffer and Uint8Array, bigint, Map,
 * Set, NaN, Infinity and -0. Inside a Map or Set `undefined` stays, since it may be told apart from `null` there.
 *
 * Each property is read once. Copying and freezing 20 KB in 100 items costs about three quarters of JSON.parse of it.
 */
import { types } from 'node:util'
import { CacheSerializationError, type Concern } from '../exceptions.ts'
import {
  BOXED_NUMBER_BYTES,
  BUFFER_BYTES,
  bytesOfNames,
  CONTAINER_BYTES,
  DATE_BYTES,
  SLOT_BYTES,
  STRING_BYTES,
  TABLE_BYTES,
  TABLE_SLOT_BYTES,
} from './weight.ts'

/** A caller's value, safe to keep. */
export interface Snapshot {
  /** A private copy, deep-frozen as far as things can be frozen. */
  readonly value: unknown
  /** False if something in it cannot be frozen (Date, Map, Set, bytes): each caller gets a `copy`. */
  readonly shareable: boolean
  /** True if `JSON.stringify` says everything about it. */
  readonly plain: boolean
  /** Bytes it takes in memory, estimated; for a byte bound. */
  readonly bytes: number
}

/** Containers within containers; what is stored can be read back without running out of stack. */
export const MAX_DEPTH = 1000

/**
 * A private copy of `value` that is safe to keep and to share.
 *
 * @throws {CacheSerializationError} that names the path to what cannot be stored
 * @example
 * snapshot({ id: 1, at: new Date(0) }).shareable // false
 */
export function snapshot(value: unknown, key?: string, namespace?: string): Snapshot {
  if (types.isUint8Array(value)) {
    return { value: copyBytes(value), shareable: false, plain: false, bytes: BUFFER_BYTES + value.length }
  }
  const walk = new Walk({ key, namespace })
  try {
    const copied = walk.visit(value, '')
    if (copied === undefined) throw walk.refusal('undefined')
    return { value: copied, shareable: walk.shareable, plain: walk.plain, bytes: walk.bytes }
  } catch (error) {
    throw walk.explain(error)
  }
}

/** A caller's own copy of a snapshotted value: what cannot be frozen is copied, frozen parts without such are shared. */
export function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (types.isUint8Array(value)) return copyBytes(value)
  if (value instanceof Date) return new Date(value.getTime())
  if (value instanceof Map) return new Map(Array.from(value, ([k, v]) => [copy(k), copy(v)] as const))
  if (value instanceof Set) return new Set(Array.from(value, copy))
  return Array.isArray(value) ? copyArray(value) : copyObject(value as Readonly<Record<string, unknown>>)
}

/** True for numbers that JSON keeps: not NaN, Infinity or -0. */
export function isPlainNumber(value: number): boolean {
  return Number.isFinite(value) && (value !== 0 || 1 / value > 0)
}

/** The copy owns all of its memory: `Buffer.from` would keep a slab of 8 KB alive for a value of a few bytes. */
function copyBytes(bytes: Uint8Array): Uint8Array {
  const copied = Buffer.isBuffer(bytes) ? Buffer.allocUnsafeSlow(bytes.length) : new Uint8Array(bytes.length)
  copied.set(bytes)
  return copied
}

function copyArray(array: readonly unknown[]): readonly unknown[] {
  let copied: unknown[] | undefined
  for (let i = 0; i < array.length; i++) {
    const item = array[i]
    if (typeof item !== 'object') continue
    const own = copy(item)
    if (own !== item) (copied ??= [...array])[i] = own
  }
  return copied ? Object.freeze(copied) : array
}

function copyObject(object: Readonly<Record<string, unknown>>): object {
  let copied: Record<string, unknown> | undefined
  for (const name of Object.keys(object)) {
    const item = object[name]
    if (typeof item !== 'object') continue
    const own = copy(item)
    // Spread makes `__proto__` an own property, and assigning to an own property does not reach the setter.
    if (own !== item) (copied ??= { ...object })[name] = own
  }
  return copied ? Object.freeze(copied) : object
}

class Walk {
  shareable = true
  plain = true
  bytes = 0
  /** The containers being copied, outermost first, and for each the property or index under way. */
  readonly #containers: object[] = []
  readonly #names: (string | number | undefined)[] = []
  readonly #concern: Concern
  #refusal: CacheSerializationError | undefined

  constructor(concern: Concern) {
    this.#concern = concern
  }

  visit(value: unknown, name: string | number): unknown {
    switch (typeof value) {
      case 'string':
        this.bytes += STRING_BYTES + (value.length < 64 ? value.length : Buffer.byteLength(value))
        return value
      case 'number':
        if ((value | 0) !== value) this.bytes += BOXED_NUMBER_BYTES
        if (!isPlainNumber(value)) this.plain = false
        return value
      case 'object':
        return value === null ? null : this.#visitObject(value, name)
      case 'bigint':
        this.plain = false
        this.bytes += BOXED_NUMBER_BYTES
        return value
      case 'function':
      case 'symbol':
        throw this.refusal(`a ${typeof value}`)
      default:
        return value
    }
  }

  refusal(what: string): CacheSerializationError {
    const refusal = new CacheSerializationError(`${this.#path()}: ${what} cannot be stored`, this.#concern)
    this.#refusal = refusal
    return refusal
  }

  /** What to throw for an error that ended the walk: a refusal, the stack running out, or a getter's or `toJSON`'s own. */
  explain(error: unknown): CacheSerializationError {
    if (this.#refusal !== undefined && error === this.#refusal) return this.#refusal
    const message = `${this.#path()}: ${isStackOverflow(error) ? 'nested too deeply' : 'it could not be read'}`
    return new CacheSerializationError(message, { ...this.#concern, cause: error })
  }

  #visitObject(object: object, name: string | number): unknown {
    const ordinary = isOrdinary(object)
    if (!ordinary) {
      if (types.isDate(object)) return this.#date(object)
      if (types.isUint8Array(object)) return this.#bytes(object)
    }
    const { toJSON } = object as { toJSON?: unknown }
    if (typeof toJSON !== 'function') return this.#visitContents(object, ordinary)
    const replaced: unknown = Reflect.apply(toJSON, object, [String(name)])
    // JSON asks an object for its replacement, but not the replacement for its own.
    if (typeof replaced !== 'object' || replaced === null) return this.visit(replaced, name)
    if (types.isDate(replaced)) return this.#date(replaced)
    if (types.isUint8Array(replaced)) return this.#bytes(replaced)
    return this.#visitContents(replaced, isOrdinary(replaced))
  }

  #visitContents(object: object, ordinary: boolean): unknown {
    if (!ordinary && types.isBoxedPrimitive(object)) return this.visit(unboxed(object), '')
    if (!ordinary && isOpaque(object)) throw this.refusal(nameOf(object))
    this.#enter(object)
    const copied = this.#contents(object, ordinary)
    this.#containers.pop()
    return copied
  }

  #contents(object: object, ordinary: boolean): unknown {
    if (Array.isArray(object)) return this.#array(object)
    if (!ordinary && types.isMap(object)) return this.#map(object)
    if (!ordinary && types.isSet(object)) return this.#set(object)
    return this.#object(object as Readonly<Record<string, unknown>>)
  }

  #enter(container: object): void {
    const containers = this.#containers
    // Nesting is shallow, so looking through the ancestors is cheaper than keeping a set of them.
    for (let i = 0; i < containers.length; i++) if (containers[i] === container) throw this.refusal('a cycle')
    if (containers.length === MAX_DEPTH) throw this.refusal(`nesting deeper than ${MAX_DEPTH} levels`)
    this.#names[containers.length] = undefined
    containers.push(container)
  }

  #object(object: Readonly<Record<string, unknown>>): unknown {
    const depth = this.#containers.length - 1
    const names = Object.keys(object)
    const copied: Record<string, unknown> = {}
    this.bytes += CONTAINER_BYTES + SLOT_BYTES * names.length + bytesOfNames(names, depth)
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!
      this.#names[depth] = name
      const value = this.visit(object[name], name)
      if (value === undefined) continue
      if (name === '__proto__') Object.defineProperty(copied, name, { value, enumerable: true })
      else copied[name] = value
    }
    return Object.freeze(copied)
  }

  #array(array: readonly unknown[]): unknown {
    const depth = this.#containers.length - 1
    const copied: unknown[] = []
    this.bytes += CONTAINER_BYTES + SLOT_BYTES * array.length
    for (let i = 0; i < array.length; i++) {
      this.#names[depth] = i
      copied.push(this.visit(array[i], i) ?? null)
    }
    return Object.freeze(copied)
  }

  #map(map: ReadonlyMap<unknown, unknown>): unknown {
    this.#unfrozen(TABLE_BYTES + 2 * TABLE_SLOT_BYTES * map.size)
    const depth = this.#containers.length - 1
    const copied = new Map<unknown, unknown>()
    let index = 0
    for (const [key, value] of map) {
      this.#names[depth] = index++
      copied.set(this.visit(key, ''), this.visit(value, ''))
    }
    return copied
  }

  #set(set: ReadonlySet<unknown>): unknown {
    this.#unfrozen(TABLE_BYTES + TABLE_SLOT_BYTES * set.size)
    const depth = this.#containers.length - 1
    const copied = new Set<unknown>()
    let index = 0
    for (const member of set) {
      this.#names[depth] = index++
      copied.add(this.visit(member, ''))
    }
    return copied
  }

  #date(date: Date): Date {
    this.#unfrozen(DATE_BYTES)
    return new Date(Date.prototype.getTime.call(date))
  }

  #bytes(bytes: Uint8Array): Uint8Array {
    this.#unfrozen(BUFFER_BYTES + bytes.length)
    return copyBytes(bytes)
  }

  #unfrozen(bytes: number): void {
    this.shareable = false
    this.plain = false
    this.bytes += bytes
  }

  #path(): string {
    const path = this.#containers.map((container, depth) => step(container, this.#names[depth])).join('')
    if (path === '') return 'value'
    const named = path.startsWith('.') ? path.slice(1) : path
    return named.length > 200 ? `${named.slice(0, 100)}…${named.slice(-99)}` : named
  }
}

/** True for plain objects and arrays of this realm: no need to ask what else they might be. */
function isOrdinary(object: object): boolean {
  if (Array.isArray(object)) return true
  const prototype: unknown = Object.getPrototypeOf(object)
  return prototype === Object.prototype || prototype === null
}

/** True for objects whose content is not in their properties and cannot be had, or not now. */
function isOpaque(object: object): boolean {
  return (
    types.isPromise(object) ||
    types.isWeakMap(object) ||
    types.isWeakSet(object) ||
    object instanceof WeakRef ||
    types.isAnyArrayBuffer(object) ||
    ArrayBuffer.isView(object)
  )
}

function nameOf(object: object): string {
  const name = Object.prototype.toString.call(object).slice('[object '.length, -1)
  return /^[AEIO]/.test(name) ? `an ${name}` : `a ${name}`
}

function unboxed(object: object): unknown {
  if (types.isNumberObject(object)) return Number(object)
  if (types.isStringObject(object)) return String(object)
  if (types.isBooleanObject(object)) return Boolean.prototype.valueOf.call(object)
  if (types.isBigIntObject(object)) return BigInt.prototype.valueOf.call(object)
  return Symbol.prototype.valueOf.call(object)
}

function step(container: object, name: string | number | undefined): string {
  if (name === undefined) return ''
  if (types.isMap(container) || types.isSet(container)) return `<entry ${name}>`
  if (typeof name === 'number') return `[${name}]`
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name.slice(0, 40))}]`
}

function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes('call stack')
}
