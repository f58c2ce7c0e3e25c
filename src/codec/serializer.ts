/**
 * A snapshotted value as bytes, and back.
 *
 * Plain values are JSON. Values beyond JSON are JSON too, in which an object with one property that begins with `~`
 * stands for what JSON cannot say: `{"~d":0}` is a Date. A user's own object of that look gets one more `~`, so that
 * nothing is ambiguous. Bytes at the top are stored as they are.
 *
 * Reading revives the types named here and nothing else: no class, no code, whatever the bytes say.
 */
import { types } from 'node:util'
import { CacheDeserializationError, CacheSerializationError } from '../exceptions.ts'
import { isPlainNumber, MAX_DEPTH } from './snapshot.ts'
import {
  BUFFER_BYTES,
  bytesOfNames,
  bytesOfPrimitive,
  CONTAINER_BYTES,
  DATE_BYTES,
  SLOT_BYTES,
  TABLE_BYTES,
  TABLE_SLOT_BYTES,
} from './weight.ts'

/** How a body is written. The order is the format's: add at the end. */
export const KINDS = ['json', 'tagged', 'buffer', 'uint8array'] as const
export type Kind = (typeof KINDS)[number]

export interface Serialized {
  readonly kind: Kind
  readonly body: Buffer
}

export interface Deserialized {
  /** Deep-frozen, as snapshots are. */
  readonly value: unknown
  readonly shareable: boolean
  readonly plain: boolean
  /** Bytes it takes in memory, estimated as `snapshot` does. */
  readonly bytes: number
}

/** The bytes of a value that `snapshot` made; `plain` is what it said. A body of bytes is not copied. */
export function serialize(value: unknown, plain: boolean): Serialized {
  if (types.isUint8Array(value)) {
    if (Buffer.isBuffer(value)) return { kind: 'buffer', body: value }
    return { kind: 'uint8array', body: viewOf(value) }
  }
  if (plain && value !== undefined) return { kind: 'json', body: stringify(value) }
  return { kind: 'tagged', body: stringify(tagged(value)) }
}

/**
 * The value in `body`. Bytes at the top are a view of `body`, not a copy.
 *
 * @throws {CacheDeserializationError} if `serialize` cannot have written them
 */
export function deserialize(kind: Kind, body: Buffer): Deserialized {
  if (kind === 'buffer') return bytesOnly(body, body)
  if (kind === 'uint8array') return bytesOnly(new Uint8Array(body.buffer, body.byteOffset, body.length), body)
  const json = parse(body)
  if (kind === 'json') {
    const freezer = new Freezer()
    freezer.freeze(json, 0)
    return { value: json, shareable: true, plain: true, bytes: body.length + freezer.bytes }
  }
  const reviver = new Reviver()
  const value = reviver.revive(json, 0)
  return { value, shareable: reviver.shareable, plain: false, bytes: body.length + reviver.bytes }
}

function bytesOnly(value: Uint8Array, body: Buffer): Deserialized {
  return { value, shareable: false, plain: false, bytes: BUFFER_BYTES + body.length }
}

function stringify(value: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(value))
  } catch (error) {
    throw new CacheSerializationError('value: too large to be written as JSON', { cause: error })
  }
}

/** The parser's own error quotes the text, which is a cached value: it is not passed on. */
function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new CacheDeserializationError('body: expected JSON, got something else')
  }
}

/** Freezes parsed JSON, and counts what it takes beside the characters in it. */
class Freezer {
  bytes = 0

  freeze(value: unknown, depth: number): void {
    if (typeof value !== 'object' || value === null) {
      this.bytes += bytesOfPrimitive(value)
      return
    }
    assertDepth(depth)
    if (Array.isArray(value)) {
      this.bytes += CONTAINER_BYTES + SLOT_BYTES * value.length
      for (let i = 0; i < value.length; i++) this.freeze(value[i], depth + 1)
    } else {
      const object = value as Readonly<Record<string, unknown>>
      const names = Object.keys(object)
      this.bytes += CONTAINER_BYTES + SLOT_BYTES * names.length + bytesOfNames(names, depth)
      for (const name of names) this.freeze(object[name], depth + 1)
    }
    Object.freeze(value)
  }
}

function tagged(value: unknown): unknown {
  switch (typeof value) {
    case 'undefined':
      return { '~_': 0 }
    case 'bigint':
      // Hexadecimal is read in linear time, whatever its length.
      return { '~n': value.toString(16) }
    case 'number':
      return isPlainNumber(value) ? value : { '~f': Object.is(value, -0) ? '-0' : String(value) }
    case 'object':
      return value === null ? null : taggedObject(value)
    default:
      return value
  }
}

function taggedObject(object: object): unknown {
  if (Array.isArray(object)) return object.map(tagged)
  if (object instanceof Date) return { '~d': object.getTime() }
  if (object instanceof Map) return { '~m': Array.from(object).flatMap(([key, item]) => [tagged(key), tagged(item)]) }
  if (object instanceof Set) return { '~s': Array.from(object, tagged) }
  if (Buffer.isBuffer(object)) return { '~b': object.toString('base64') }
  if (types.isUint8Array(object)) return { '~u': viewOf(object).toString('base64') }
  return taggedProperties(object as Readonly<Record<string, unknown>>)
}

function taggedProperties(object: Readonly<Record<string, unknown>>): unknown {
  const names = Object.keys(object)
  const first = names[0]
  if (names.length === 1 && first!.startsWith('~')) return { [`~${first}`]: tagged(object[first!]) }
  let copied: Record<string, unknown> | undefined
  for (const name of names) {
    const item = tagged(object[name])
    // Spread makes `__proto__` an own property, and assigning to an own property does not reach the setter.
    if (item !== object[name]) (copied ??= { ...object })[name] = item
  }
  return copied ?? object
}

/** Makes values of parsed JSON, in place where it can, and freezes them. */
class Reviver {
  shareable = true
  bytes = 0

  revive(value: unknown, depth: number): unknown {
    if (typeof value !== 'object' || value === null) {
      this.bytes += bytesOfPrimitive(value)
      return value
    }
    assertDepth(depth)
    if (Array.isArray(value)) return Object.freeze(this.#array(value, depth))
    const object = value as Record<string, unknown>
    const names = Object.keys(object)
    const first = names[0]
    if (names.length === 1 && first!.startsWith('~')) return this.#tag(first!, object[first!], depth)
    this.bytes += CONTAINER_BYTES + SLOT_BYTES * names.length + bytesOfNames(names, depth)
    for (const name of names) {
      const item = object[name]
      const revived = this.revive(item, depth + 1)
      // Assigning to an own property does not reach a setter, so `__proto__` is safe.
      if (revived !== item) object[name] = revived
    }
    return Object.freeze(object)
  }

  #array(array: unknown[], depth: number): unknown[] {
    this.bytes += CONTAINER_BYTES + SLOT_BYTES * array.length
    for (let i = 0; i < array.length; i++) array[i] = this.revive(array[i], depth + 1)
    return array
  }

  #tag(tag: string, content: unknown, depth: number): unknown {
    if (tag.startsWith('~~')) return Object.freeze({ [tag.slice(1)]: this.revive(content, depth + 1) })
    switch (tag) {
      case '~_':
        return undefined
      case '~n':
        this.bytes += bytesOfPrimitive(0n)
        return toBigInt(content)
      case '~f':
        return toNumber(content)
      default:
        this.shareable = false
        return this.#unfrozen(tag, content, depth)
    }
  }

  #unfrozen(tag: string, content: unknown, depth: number): unknown {
    if (typeof content === 'string') {
      this.bytes += BUFFER_BYTES
      if (tag === '~b') return Buffer.from(content, 'base64')
      if (tag === '~u') return new Uint8Array(Buffer.from(content, 'base64'))
    }
    if (Array.isArray(content)) {
      this.bytes += TABLE_BYTES + TABLE_SLOT_BYTES * content.length
      if (tag === '~s') return new Set(this.#array(content, depth))
      if (tag === '~m') return toMap(this.#array(content, depth))
    }
    this.bytes += DATE_BYTES
    if (tag === '~d' && (typeof content === 'number' || content === null)) return new Date(content ?? Number.NaN)
    throw new CacheDeserializationError('body: expected a known tag and its content, got another')
  }
}

function toMap(flat: readonly unknown[]): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>()
  for (let i = 0; i < flat.length; i += 2) map.set(flat[i], flat[i + 1])
  return map
}

function toBigInt(content: unknown): bigint {
  const [, sign, digits] = typeof content === 'string' ? (/^(-?)([0-9a-f]+)$/.exec(content) ?? []) : []
  if (digits === undefined)
    throw new CacheDeserializationError('body: expected the digits of a bigint, got something else')
  const size = BigInt(`0x${digits}`)
  return sign === '-' ? -size : size
}

function toNumber(content: unknown): number {
  switch (content) {
    case '-0':
      return -0
    case 'NaN':
      return Number.NaN
    case 'Infinity':
      return Number.POSITIVE_INFINITY
    case '-Infinity':
      return Number.NEGATIVE_INFINITY
    default:
      throw new CacheDeserializationError('body: expected NaN, Infinity or -0, got something else')
  }
}

/** Deeper than anything `snapshot` lets through: such bytes are not ours, and would run the stack out. */
function assertDepth(depth: number): void {
  if (depth > MAX_DEPTH) throw new CacheDeserializationError(`body: expected at most ${MAX_DEPTH} levels`)
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
