/**
 * The key of a call that was given none: `Users.find(42,{"deep":true})`.
 *
 * Two calls of one name share a key if and only if their arguments are equal as `util.isDeepStrictEqual` has it: `'1'` is
 * not `1`, `f()` is not `f(undefined)`, `-0` is not `0`; the order of object keys, of a Map and of a Set does not matter.
 * (Two exceptions, where people mean the same: objects without a prototype are plain objects, and properties hung on an
 * array do not count.) What has no identity beyond this process is refused rather than guessed: a wrong guess would hand
 * one caller's result to another.
 */
import { createHash } from 'node:crypto'
import { textOf, type Subject } from './decorator.ts'
import { CacheKeyError, describe } from './exceptions.ts'

/** Keys up to this length stand as they are; a longer one keeps its readable front, cut where the hash still fits. */
const MAX_LENGTH = 200
const FRONT_LENGTH = MAX_LENGTH - 65

/** One call of a function that has been wrapped. */
export interface Call {
  readonly subject: Subject
  readonly wrapped: unknown
  /** `this`. */
  readonly receiver: unknown
  readonly args: readonly unknown[]
}

/** Where in the arguments we are. `ancestors` are the objects around it: one that stands in itself is a cycle. */
interface Place {
  readonly name: string
  readonly namespace: string | undefined
  readonly position: number
  readonly ancestors: object[]
}

/**
 * The key of a call. Over two hundred characters it ends in a SHA-256 of the whole.
 *
 * @throws {CacheKeyError} that names the position of an argument that has no stable identity, or if `this` has no class
 */
export function callKey(call: Call, namespace: string | undefined): string {
  const name = callName(call, namespace)
  const encoded = call.args.map((arg, index) => encode(arg, { name, namespace, position: index + 1, ancestors: [] }))
  const text = `${name}(${encoded.join(',')})`
  if (text.length <= MAX_LENGTH) return text
  // Well-formed again, because the cut may have split a character. A short key ends in ')', so the two never meet.
  const front = text.slice(0, FRONT_LENGTH).toWellFormed()
  return `${front}~${createHash('sha256').update(text).digest('hex')}`
}

/**
 * What stands for the name of a function that has none: the hash of its source, which is the same in every process of
 * one build. Undefined for a function that does not show its source.
 */
export function nameOfSource(fn: (...args: never) => unknown): string | undefined {
  const source = Function.prototype.toString.call(fn)
  if (source.endsWith('{ [native code] }')) return undefined
  return `anonymous-${createHash('sha256').update(source).digest('hex').slice(0, 16)}`
}

/**
 * `find`, `Users.find` or `static Users.find`. The class is that of the instance, because a subclass may answer otherwise.
 * A method that is overridden and called by `super` is `Admins>Users.find`: under the key of its override it would be
 * found to be loading already, and the override would wait for itself.
 */
function callName({ subject, wrapped, receiver }: Call, namespace: string | undefined): string {
  const name = textOf(subject.name)
  if (subject.kind === 'function') return name
  const runtimeClass = classOf(receiver, subject)
  if (runtimeClass === undefined || runtimeClass.name === '') {
    const expected = subject.kind === 'method' ? 'an instance of a class with a name' : 'a class with a name'
    const message = `${name}: expected ${expected} as \`this\`, got ${describe(receiver)}; give a \`key\``
    throw new CacheKeyError(message, { namespace })
  }
  const owner = classOf(ownerOf(receiver as object, subject.name, wrapped), subject)
  const path = owner === undefined || owner === runtimeClass ? runtimeClass.name : `${runtimeClass.name}>${owner.name}`
  return subject.kind === 'method' ? `${path}.${name}` : `static ${path}.${name}`
}

function classOf(receiver: unknown, { kind }: Subject): { readonly name: string } | undefined {
  if (receiver === undefined || receiver === null) return undefined
  const found: unknown = kind === 'method' ? receiver.constructor : receiver
  return typeof found === 'function' ? found : undefined
}

/** The object up the chain that holds a method that is not the one the receiver itself answers with. */
function ownerOf(receiver: object, name: string | symbol, wrapped: unknown): object | undefined {
  if ((receiver as Record<string | symbol, unknown>)[name] === wrapped) return undefined
  for (let owner = prototypeOf(receiver); owner !== null; owner = prototypeOf(owner)) {
    if (Object.getOwnPropertyDescriptor(owner, name)?.value === wrapped) return owner
  }
  return undefined
}

function prototypeOf(value: object): object | null {
  return Object.getPrototypeOf(value) as object | null
}

function encode(value: unknown, place: Place): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'symbol':
      return refuse(place, 'a symbol')
    case 'function':
      return refuse(place, 'a function')
    default:
      return value ? encodeObject(value, place) : 'null'
  }
}

function encodeObject(value: object, place: Place): string {
  if (place.ancestors.includes(value)) return refuse(place, 'a cycle')
  place.ancestors.push(value)
  const text = encodeMembers(value, place)
  place.ancestors.pop()
  return text
}

/** Prototypes decide, not `instanceof`: a subclass may hold more than its base tells. */
function encodeMembers(value: object, place: Place): string {
  if (hasToJson(value)) return encodeByToJson(value, place)
  const prototype = prototypeOf(value)
  if (prototype === Array.prototype) return encodeArray(value as unknown[], place)
  if (prototype === Map.prototype) return encodeMap(value as Map<unknown, unknown>, place)
  if (prototype === Set.prototype) return `Set{${sorted(value as Set<unknown>, (item) => encode(item, place))}}`
  if (ArrayBuffer.isView(value)) return `${className(value)}<${base64(value)}>`
  if (isPlain(prototype)) return encodePlain(value as Record<string, unknown>, place)
  return refuse(place, `an instance of ${className(value) || 'a class without a name'}, which has no toJSON`)
}

/** `Array.from` and not `map`, which would skip the holes. */
function encodeArray(items: readonly unknown[], place: Place): string {
  return `[${Array.from(items, (item, index) => (index in items ? encode(item, place) : 'empty')).join(',')}]`
}

function encodeMap(map: ReadonlyMap<unknown, unknown>, place: Place): string {
  return `Map{${sorted(map, ([key, item]) => `${encode(key, place)}=>${encode(item, place)}`)}}`
}

function encodePlain(value: Record<string, unknown>, place: Place): string {
  if (Object.getOwnPropertySymbols(value).length > 0) return refuse(place, 'an object with a symbol as a key')
  return `{${sorted(Object.keys(value), (key) => `${JSON.stringify(key)}:${encode(value[key], place)}`)}}`
}

/** The class is part of it: `new URL('a:b')` is not `'a:b'`. */
function encodeByToJson(value: { toJSON(key: string): unknown }, place: Place): string {
  if (Buffer.isBuffer(value)) return `Buffer<${base64(value)}>`
  return `${className(value)}(${encode(value.toJSON(''), place)})`
}

function sorted<T>(items: Iterable<T>, encoded: (item: T) => string): string {
  return Array.from(items, encoded).toSorted().join(',')
}

function base64(bytes: ArrayBufferView): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function hasToJson(value: object): value is { toJSON(key: string): unknown } {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

/** The second holds for plain objects of another realm, such as a sandbox of a test runner. */
function isPlain(prototype: object | null): boolean {
  return prototype === null || prototypeOf(prototype) === null
}

/** Asks the prototype: an own `constructor` may come from a request body. */
function className(value: object): string {
  const constructor: unknown = prototypeOf(value)?.constructor
  return typeof constructor === 'function' ? constructor.name : ''
}

function refuse({ name, namespace, position }: Place, got: string): never {
  throw new CacheKeyError(
    `${name}, argument ${position}: expected values that a key can be built from, got ${got}; give a \`key\``,
    { namespace },
  )
}
