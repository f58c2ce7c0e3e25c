/** What is left of one caller's time when it has to ask the store a second time. */
import { RedisConnectionError } from './exceptions.ts'

/**
 * A second question may be asked with the deadline of its command alone as long as the first took no more than this
 * share of the time: no healthy Redis ever takes it, and a timer costs more than the answer.
 */
const SHARE = 0.1

export interface Limit {
  readonly since: number
  readonly budgetMs: number
}

/**
 * What `promise` brings, if that is within `budgetMs` of `since`, in milliseconds of `performance.now()`.
 *
 * @throws {RedisConnectionError} when the time is over; `promise` goes on, and `onLate` is told what it brings
 */
export function within<T>(promise: Promise<T>, limit: Limit, onLate?: (result: T) => void): Promise<T> {
  const leftMs = limit.since + limit.budgetMs - performance.now()
  return leftMs >= (1 - SHARE) * limit.budgetMs ? promise : strictlyWithin(promise, limit, onLate)
}

/** The same, for what takes more than one command from the beginning. */
export function strictlyWithin<T>(
  promise: Promise<T>,
  { since, budgetMs }: Limit,
  onLate?: (result: T) => void,
): Promise<T> {
  const leftMs = since + budgetMs - performance.now()
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = setTimeout(
      () => {
        isLate = true
        reject(new RedisConnectionError(`Redis did not answer all that was asked within ${budgetMs} ms`))
      },
      Math.max(0, leftMs),
    )
    promise.then(
      (result) => {
        clearTimeout(timer)
        if (isLate) onLate?.(result)
        else resolve(result)
      },
      (error: unknown) => {
        clearTimeout(timer)
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    )
  })
}

/**
 * What `promise` brings, unless `signal`, which has not aborted yet, does so before; `promise` goes on all the same.
 *
 * @throws the signal's reason
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
