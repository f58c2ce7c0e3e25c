/** The kinds of fields a configuration is made of: what each accepts, and what the text of a variable means to it. */
import { DURATION_FORMAT, parseDuration, type Duration } from '../duration.ts'
import { describe } from '../exceptions.ts'
import { BYTES_FORMAT, parseBytes, type Bytes } from './bytes.ts'

/** One setting. */
export interface Field<Out = unknown> {
  /** What is accepted, as a fault says it. */
  readonly expected: string
  /** The same of the text of a variable, where it may be written in other ways than in code. */
  readonly expectedText?: string
  /** How a fault shows a refused value; default: a word for what it is. */
  readonly show?: (value: unknown) => string | undefined
  /** In force if nobody says otherwise; `undefined`: the setting is absent then. */
  readonly default: Out
  /** The value in force for a value as it was written, `undefined` if it is refused. */
  readonly parse: (value: unknown) => Out | undefined
  /** What the text of a variable stands for; text that stands for nothing is left as it is, and `parse` refuses it. */
  readonly fromText: (raw: string) => unknown
  /** True for what holds a password; no message shows it. */
  readonly secret: boolean
}

/** A field that knows the type people write. */
export interface FieldOf<In, Out> extends Field<Out> {
  /** Never there: it holds `In` for the compiler, so that a field and its public type cannot differ. */
  readonly accepts?: (value: In) => In
}

/** Fields by name, sections in sections. */
export interface FieldTree {
  readonly [name: string]: Field | FieldTree
}

export function isField(node: Field | FieldTree): node is Field {
  return typeof node.parse === 'function'
}

const asIs = (raw: string): unknown => raw
const asNumber = (raw: string): unknown => (/^-?\d+(\.\d+)?$/.test(raw) ? Number(raw) : raw)
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['false', false],
  ['0', false],
  ['no', false],
])
/** What a variable may say for yes or no, for error messages. */
export const BOOLEAN_FORMAT: string = 'true, false, 1, 0, yes or no'
const asBoolean = (raw: string): unknown => BOOLEANS.get(raw.toLowerCase()) ?? raw

const isNotEmpty = (value: string): boolean => value !== ''

export function text<Default extends string | undefined>(
  byDefault: Default,
  expected = 'a non-empty string',
  isAccepted: (value: string) => boolean = isNotEmpty,
): FieldOf<string, string | Default> {
  const parse = (value: unknown): string | undefined =>
    typeof value === 'string' && isAccepted(value) ? value : undefined
  return { expected, default: byDefault, parse, fromText: asIs, secret: false }
}

export function secret(
  expected?: string,
  isAccepted?: (value: string) => boolean,
): FieldOf<string, string | undefined> {
  return { ...text(undefined, expected, isAccepted), secret: true }
}

const BOOLEAN = { expectedText: BOOLEAN_FORMAT, fromText: asBoolean, secret: false } as const

export function flag(byDefault: boolean): FieldOf<boolean, boolean> {
  const parse = (value: unknown): boolean | undefined => (typeof value === 'boolean' ? value : undefined)
  return { ...BOOLEAN, expected: 'true or false', default: byDefault, parse }
}

/** `true`, `false`, or an object with the details. */
export function flagOrOptions<Options extends object>(
  byDefault: boolean,
  expected: string,
): FieldOf<boolean | Options, boolean | Options> {
  const parse = (value: unknown): boolean | Options | undefined =>
    typeof value === 'boolean' || isPlainObject(value) ? (value as boolean | Options) : undefined
  return { ...BOOLEAN, expected, default: byDefault, parse }
}

export function integer(byDefault: number, min: number, max?: number): FieldOf<number, number> {
  const parse = (value: unknown): number | undefined =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= (max ?? value)
      ? value
      : undefined
  const expected = max === undefined ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`
  return { expected, default: byDefault, parse, fromText: asNumber, secret: false }
}

/** Resolves to seconds. */
export function duration(byDefault: number, [min, max]: readonly [Duration, Duration]): FieldOf<Duration, number> {
  const minMs = parseDuration(min)!
  const maxMs = parseDuration(max)!
  const parse = (value: unknown): number | undefined => {
    const ms = parseDuration(value)
    if (ms === undefined || ms < minMs || ms > maxMs) return undefined
    return typeof value === 'number' ? value : ms / 1000
  }
  const expected = `a duration from ${min} to ${max}: ${DURATION_FORMAT}`
  return { expected, default: byDefault, parse, fromText: asNumber, secret: false }
}

/** Resolves to bytes. */
export function bytes(byDefault: number, min: number): FieldOf<Bytes, number> {
  const parse = (value: unknown): number | undefined => {
    const size = parseBytes(value)
    return size === undefined || size < min ? undefined : size
  }
  const expected = `a size of at least ${min}: ${BYTES_FORMAT}`
  return { expected, default: byDefault, parse, fromText: asNumber, secret: false }
}

/** One of a few words; `isThere` tells whether this Node can do it. */
export function choice<Choice extends string>(
  choices: readonly [Choice, ...Choice[]],
  lacking?: { readonly choice: Choice; readonly needs: string; readonly isThere: boolean },
): FieldOf<Choice, Choice> {
  const there = lacking === undefined || lacking.isThere ? choices : choices.filter((name) => name !== lacking.choice)
  const names = there.map((name) => `'${name}'`).join(' or ')
  const expected = there === choices ? names : `${names} ('${lacking?.choice}' needs ${lacking?.needs})`
  const parse = (value: unknown): Choice | undefined => there.find((name) => name === value)
  return { expected, default: choices[0], parse, fromText: asIs, secret: false }
}

/** What must be there: options and methods that may be absent tell nothing. */
type RequiredNames<Type> = {
  [Name in keyof Type]-?: object extends Pick<Type, Name> ? never : Name
}[keyof Type]

/** An object told by its methods; it comes from code, no variable can hold it. */
export function object<Type extends object, Default extends Type | undefined>(
  byDefault: Default,
  what: string,
  methods: Readonly<Record<RequiredNames<Type>, true>>,
): FieldOf<Type, Type | Default> {
  const names = Object.keys(methods)
  const parse = (value: unknown): Type | undefined => (hasMethods(value, names) ? (value as Type) : undefined)
  return { expected: `${what} (with ${names.join(', ')})`, default: byDefault, parse, fromText: asIs, secret: false }
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return names.every((name) => typeof Reflect.get(value, name) === 'function')
}

/** True for an object literal, also one of another realm; false for a Map, a Promise, an instance of a class. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** A refused value as a message shows it, without what may be credentials: they come in URLs, and in the wrong place. */
export function show(value: unknown, field?: Field): string {
  const isSecret = field?.secret === true
  const shown = field?.show?.(value)
  if (shown !== undefined) return shown
  // What stands in an array may be a secret in the wrong place.
  if (typeof value !== 'string') return isSecret ? '***' : Array.isArray(value) ? 'an array' : describe(value)
  const [scheme] = /^[a-z][a-z+]*:\/\//i.exec(value) ?? []
  if (scheme !== undefined) return `'${scheme}***'`
  return isSecret || /@|:\/\/|[\r\n]/.test(value) ? '***' : describe(value)
}

/**
 * A refused value of the `redis` section: any of them may be a password in the wrong place, so only what is plainly a
 * number, perhaps with a unit, or no text at all is shown.
 */
export function showGuarded(value: unknown, field?: Field): string {
  const isHarmless = typeof value !== 'string' || /^-?\d{1,6}(\.\d{1,3})?[a-z]{0,2}$/i.test(value)
  return isHarmless || /^[a-z][a-z+]*:\/\//i.test(value) ? show(value, field) : '***'
}
