/** Values of every kind that can be stored, for properties, and a way to compare them that overlooks nothing. */
import { inspect } from 'node:util'
import * as fc from 'fast-check'

const NAMES = fc.oneof(fc.string(), fc.constantFrom('__proto__', '~d', '~~d', '~', '~m', 'toJSON', 'constructor', '0'))
const DATES = fc.oneof(fc.date(), fc.constant(new Date(Number.NaN)))
const BYTES = fc.uint8Array({ maxLength: 20 })

function objectOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  // fromEntries defines properties: `__proto__` becomes one as any other.
  return fc.array(fc.tuple(NAMES, value), { maxLength: 4 }).map((entries) => Object.fromEntries(entries))
}

/** Anything that can be stored, nested, with names that could be mistaken for something else. */
export const storable: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(fc.string({ unit: 'binary' }), NAMES, fc.double(), fc.integer(), fc.boolean(), fc.constant(null)),
    fc.oneof(
      fc.bigInt(),
      DATES,
      BYTES,
      BYTES.map((bytes) => Buffer.from(bytes)),
      fc.constantFrom(-0, Number.NaN, Infinity),
    ),
    fc.array(tie('value'), { maxLength: 4 }),
    objectOf(tie('value')),
    fc
      .array(fc.tuple(tie('value'), fc.option(tie('value'), { nil: undefined })), { maxLength: 3 })
      .map((it) => new Map(it)),
    fc.array(fc.option(tie('value'), { nil: undefined }), { maxLength: 3 }).map((it) => new Set(it)),
  ),
})).value

/** Tells apart what `==` and JSON do not: -0, NaN, a Buffer and a Uint8Array, an own `__proto__`, invalid dates. */
export function show(value: unknown): string {
  return inspect(value, { depth: Infinity, maxArrayLength: null, maxStringLength: null, breakLength: Infinity })
}

/** Everything within `value` that is an object, itself included. */
export function objectsIn(value: unknown): object[] {
  if (typeof value !== 'object' || value === null) return []
  if (value instanceof Uint8Array || value instanceof Date) return [value]
  return [value, ...partsOf(value).flatMap(objectsIn)]
}

function partsOf(object: object): unknown[] {
  if (object instanceof Map) return [...object].flat()
  return object instanceof Set ? [...object] : Object.values(object)
}

/** True for what `Object.freeze` makes unchangeable. */
export function isFreezable(object: object): boolean {
  return !(object instanceof Date || object instanceof Map || object instanceof Set || object instanceof Uint8Array)
}
