/**
 * One function for three uses: around a function, as a standard method decorator, and as a legacy one (TypeScript's
 * `experimentalDecorators`, NestJS). The second argument tells which: none, a context object, or the name of a property.
 */
import { types } from 'node:util'
import { describe } from './exceptions.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- the caller's own types: `unknown` would make `(id) => 'user_' + id` an error, `never` would make `this` of a plain arrow an error
export type Unannotated = any

/** Overloads, generics and defaults survive this constraint. */
type AsyncFunction = (this: Unannotated, ...args: never) => Promise<unknown>

/** A function of the arguments, and last of the result. */
export type NamesFunction = (this: Unannotated, ...args: Unannotated[]) => string | readonly string[]

type ArgumentsOf<F> = F extends (this: Unannotated, ...args: infer Args extends unknown[]) => unknown ? Args : never
type ResultOf<F> = F extends (this: Unannotated, ...args: never) => infer Result ? Awaited<Result> : never

/** `unknown` if the functions among the options fit `F`; else a type that nothing has, and that says what was expected. */
type Fits<F, OfArguments, OfResult> = [OfArguments] extends [(...args: ArgumentsOf<F>) => unknown]
  ? [OfResult] extends [(...args: [...ArgumentsOf<F>, result: ResultOf<F>]) => unknown]
    ? unknown
    : { optionExpectedToTake: [...ArgumentsOf<F>, result: ResultOf<F>] }
  : { optionExpectedToTake: ArgumentsOf<F> }

/** Wraps a function, or decorates a method in either dialect. Options that are functions must fit the function. */
export interface FunctionDecorator<OfArguments, OfResult> {
  <F extends AsyncFunction>(fn: F & Fits<F, OfArguments, OfResult>): F
  /** A synchronous function becomes an asynchronous one. */
  <This, Args extends unknown[], Result>(
    fn: ((this: This, ...args: Args) => Result) & Fits<(...args: Args) => Result, OfArguments, OfResult>,
  ): (this: This, ...args: Args) => Promise<Awaited<Result>>
  /** Standard decorators. */
  <F extends AsyncFunction>(
    method: F & Fits<F, OfArguments, OfResult>,
    context: ClassMethodDecoratorContext<Unannotated, F>,
  ): F
  /** Legacy decorators. */
  <F extends AsyncFunction>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<F> & Fits<F, OfArguments, OfResult>,
  ): TypedPropertyDescriptor<F>
}

type Callable = (this: unknown, ...args: unknown[]) => unknown

/** What is wrapped. */
export interface Subject {
  readonly fn: Callable
  readonly name: string | symbol
  readonly kind: 'function' | 'method' | 'static method'
}

/** Where a route says the same. */
const PLACES = { cached: 'cache', cacheBusting: 'cacheBusting' } as const
type Label = keyof typeof PLACES

const labels = new WeakMap<object, Label>()

/** Which function of this package made the decorator `value`; undefined if it is none. */
export function decoratorLabel(value: unknown): Label | undefined {
  return typeof value === 'function' ? labels.get(value) : undefined
}

/**
 * A decorator that puts what `wrap` makes in the place of a function.
 *
 * @throws {TypeError} when it is applied to what is no function or method
 */
export function decorator<OfArguments, OfResult>(
  label: Label,
  wrap: (subject: Subject) => Callable,
): FunctionDecorator<OfArguments, OfResult> {
  const replace = (subject: Subject): Callable => succeed(wrap(subject), subject.fn)
  const decorate = (value: unknown, second?: unknown, third?: unknown): unknown => {
    if (second === undefined) return replace(functionSubject(label, value))
    if (isContext(second)) return replace(standardSubject(label, value, second))
    const { descriptor, subject } = legacySubject(label, value, { name: second, descriptor: third })
    return { ...descriptor, value: replace(subject) }
  }
  labels.set(decorate, label)
  // Whoever takes it for the option of a route spreads it. The route then has it where its own option belongs, and is
  // refused with the right import.
  Object.defineProperty(decorate, PLACES[label], { value: decorate, enumerable: true })
  return decorate as FunctionDecorator<OfArguments, OfResult>
}

function functionSubject(label: string, fn: unknown): Subject {
  assertWrappable(label, fn)
  return { fn, name: fn.name, kind: 'function' }
}

function standardSubject(label: string, method: unknown, context: DecoratorContext): Subject {
  if (context.kind !== 'method') {
    throw new TypeError(`${label}: expected a function or a method, got the ${context.kind} ${String(context.name)}`)
  }
  assertWrappable(label, method)
  return { fn: method, name: context.name, kind: context.static ? 'static method' : 'method' }
}

function legacySubject(
  label: string,
  target: unknown,
  property: { name: unknown; descriptor: unknown },
): { descriptor: PropertyDescriptor; subject: Subject } {
  const { name } = property
  if (typeof name !== 'string' && typeof name !== 'symbol') {
    throw new TypeError(
      `${label}: expected to be called as a decorator, or with one function; got ${describe(name)} too`,
    )
  }
  const descriptor = property.descriptor as PropertyDescriptor | undefined
  if (typeof descriptor?.value !== 'function') {
    const got = descriptor?.get !== undefined || descriptor?.set !== undefined ? 'accessor' : 'property'
    throw new TypeError(`${label}: expected a function or a method, got the ${got} ${String(name)}`)
  }
  const fn: unknown = descriptor.value
  assertWrappable(label, fn)
  const kind = typeof target === 'function' ? 'static method' : 'method'
  return { descriptor, subject: { fn, name, kind } }
}

function assertWrappable(label: string, fn: unknown): asserts fn is Callable {
  const got = unwrappable(fn)
  if (got !== undefined) throw new TypeError(`${label}: expected a function or a method, got ${got}`)
}

function unwrappable(fn: unknown): string | undefined {
  if (typeof fn !== 'function') return describe(fn)
  if (types.isGeneratorFunction(fn)) return `the generator function ${fn.name}`
  // Only a class has a prototype that cannot be replaced.
  if (Object.getOwnPropertyDescriptor(fn, 'prototype')?.writable === false) return `the class ${fn.name}`
  return undefined
}

function isContext(value: unknown): value is DecoratorContext {
  return typeof value === 'object' && value !== null && 'kind' in value
}

/** `''` if there is no name. */
export function textOf(name: string | symbol): string {
  if (typeof name === 'string') return name
  return name.description === undefined ? '' : `[${name.description}]`
}

/** What the package reflect-metadata adds to `Reflect`, if it is loaded. */
interface MetadataReflection {
  getOwnMetadataKeys?(target: object): unknown[]
  getOwnMetadata?(key: unknown, target: object): unknown
  defineMetadata?(key: unknown, value: unknown, target: object): void
}

/**
 * `wrapped`, with the name, the length and all other properties of `fn`, and with its metadata: NestJS keeps routes,
 * guards and more there, and a decorator above them must not lose what those below have said.
 */
function succeed(wrapped: Callable, fn: Callable): Callable {
  const descriptors: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(fn)
  // Those that belong to the function itself and cannot be taken over.
  const { prototype: _prototype, arguments: _arguments, caller: _caller, ...own } = descriptors
  Object.defineProperties(wrapped, own)
  const reflection = Reflect as MetadataReflection
  for (const key of reflection.getOwnMetadataKeys?.(fn) ?? []) {
    reflection.defineMetadata?.(key, reflection.getOwnMetadata?.(key, fn), wrapped)
  }
  return wrapped
}
