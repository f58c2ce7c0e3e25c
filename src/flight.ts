/**
 * One load per key in this process: whoever comes while it is under way joins it instead of loading too.
 *
 * A flight can be joined only until its result is on its way into the store. An invalidation that resolved before
 * somebody joined was therefore applied before the fill, and fences it: no joiner is handed what it should not see.
 */
import { LoadTimeoutError } from './exceptions.ts'

/** How long one caller waits. */
export interface Patience {
  readonly key: string
  readonly namespace: string
  readonly timeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
}

/** One load under way. `T` is what its leader is handed, `O` what those who joined are told once the store answered. */
export class Flight<T, O> {
  /** The parent that its entry will hang on. */
  readonly parentId: string | undefined
  readonly value: Promise<T>
  readonly outcome: Promise<O>
  readonly #abort = new AbortController()
  #waiting = 0

  /** @param take runs the load; the flight's signal aborts when nobody waits for it any more */
  constructor(
    parentId: string | undefined,
    take: (flight: Flight<T, O>) => Promise<T>,
    outcomeOf: (value: T) => O | Promise<O>,
  ) {
    this.parentId = parentId
    this.value = take(this)
    this.outcome = this.value.then(outcomeOf)
    // A failure reaches those who wait, through `wait`; there may be nobody.
    this.value.catch(() => {})
    this.outcome.catch(() => {})
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Counts a caller who will not leave: a refresh has nobody waiting for it and should end all the same. */
  hold(): void {
    this.#waiting++
  }

  /**
   * Waits for `promise`, one of this flight's two, within one caller's patience.
   *
   * @throws {LoadTimeoutError} when the time is over; the signal's reason when it aborts
   */
  wait<R>(promise: Promise<R>, { key, namespace, timeoutMs, signal }: Patience): Promise<R> {
    this.#waiting++
    if (timeoutMs === undefined && signal === undefined) return promise
    return new Promise<R>((resolve, reject) => {
      const leave = (reason: unknown): void => {
        reject(reason)
        if (--this.#waiting === 0) this.#abort.abort(reason)
      }
      const late = (): void => leave(new LoadTimeoutError(`no result within ${timeoutMs} ms`, { key, namespace }))
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
      const onAbort = (): void => leave(signal?.reason)
      if (signal?.aborted === true) onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      const settle = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      promise.then(resolve, reject).finally(settle)
    })
  }
}

/** The flights that may be joined, by id. */
export class Flights<T, O> {
  readonly #flights = new Map<string, Flight<T, O>>()

  get(id: string): Flight<T, O> | undefined {
    return this.#flights.get(id)
  }

  add(id: string, flight: Flight<T, O>): void {
    this.#flights.set(id, flight)
  }

  /** Lets nobody join `flight` any more: its result is known, or on its way into the store. */
  close(id: string, flight: Flight<T, O>): void {
    if (this.#flights.get(id) === flight) this.#flights.delete(id)
  }

  /** Lets nobody join the flights of `ids`, or of entries that hang on them, any more: they were invalidated. */
  detach(ids: readonly string[]): void {
    for (const [id, { parentId }] of this.#flights) {
      if (ids.includes(id) || (parentId !== undefined && ids.includes(parentId))) this.#flights.delete(id)
    }
  }

  /** Lets nobody join any flight any more: any of them may bear a tag that was invalidated. */
  detachAll(): void {
    this.#flights.clear()
  }
}
