/** One way for what a store answers at once, as memory does, and what it answers later. */
import type { MaybePromise } from '../stores/store.ts'

/** At once if the value is there, which a hit in memory always is. */
export function whenThere<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
