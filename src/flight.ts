/**
 * One load per key in this process: whoever comes while it is under way joins it instead of loading too.
 *
 * A flight can be joined only until its result is on its way into the store. An invalidation that resolved before
 * somebody joined was therefore applied before the fill, and fences it: no joiner is handed what it should not see.
 */

/** How long one caller waits, over all the flights it may have to wait for. */
export interface Patience {
  readonly signal: AbortSignal | undefined
  /** When its time is over, in milliseconds of `performance.now()`; `Infinity`: it waits as long as it takes. */
  readonly until: number
  /** What it is told then. */
  readonly late: () => Error
  /** Whether the load may go on then, though nobody waits for it: for those who come next. */
  readonly mayGoOn: boolean
  /** It is behind everybody's back: the process may end meanwhile. */
  readonly isBehind?: boolean
}

/** Beyond it a timer of Node fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

export interface FlightOptions<T, O> {
  readonly parentId: string | undefined
  /** Runs the load; the flight's signal aborts when nobody waits for it any more. */
  readonly take: (flight: Flight<T, O>) => Promise<T>
  readonly outcomeOf: (value: T) => O | Promise<O>
  /** Everybody has left it, and it may never end. */
  readonly onAbandoned: (flight: Flight<T, O>) => void
}

/** One load under way. `T` is what its leader is handed, `O` what those who joined are told once the store answered. */
export class Flight<T, O> {
  /** The parent that its entry will hang on. */
  readonly parentId: string | undefined
  readonly value: Promise<T>
  readonly outcome: Promise<O>
  /** Asking for the lease; loading; or loading without the store, which will not confirm what is loaded. */
  phase: 'claiming' | 'loading' | 'cut off' = 'claiming'
  /** When the loader was run, in milliseconds of `performance.now()`. */
  beganAt: number = Infinity
  /** Everybody has left it. */
  isAbandoned: boolean = false
  readonly #abort = new AbortController()
  readonly #onAbandoned: (flight: Flight<T, O>) => void
  #waiting = 0

  constructor({ parentId, take, outcomeOf, onAbandoned }: FlightOptions<T, O>) {
    this.parentId = parentId
    this.#onAbandoned = onAbandoned
    this.value = take(this)
    this.outcome = this.value.then(outcomeOf)
    // A failure reaches those who wait, through `wait`; there may be nobody.
    this.value.catch(() => {})
    this.outcome.catch(() => {})
  }

  /** Aborts when everybody has left. Node makes a signal, which costs as much as the rest of a load, when it is asked for. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /**
   * Waits for `promise`, one of this flight's two, within one caller's patience.
   *
   * @throws what `late` makes when the time is over; the signal's reason when it aborts
   */
  wait<R>(promise: Promise<R>, { signal, until, late, mayGoOn, isBehind = false }: Patience): Promise<R> {
    this.#waiting++
    if (until === Infinity && signal === undefined) return promise
    return new Promise<R>((resolve, reject) => {
      const leave = (reason: unknown, isMissed = true): void => {
        settle()
        reject(reason)
        if (isMissed && --this.#waiting === 0) this.#abandon(reason)
      }
      const onAbort = (): void => leave(signal?.reason)
      const onLate = (): void => leave(late(), !mayGoOn)
      const leftMs = Math.min(until - performance.now(), MAX_TIMER_MS)
      const timer = until === Infinity ? undefined : setTimeout(onLate, leftMs)
      if (isBehind) timer?.unref()
      signal?.addEventListener('abort', onAbort, { once: true })
      const settle = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      promise.then(resolve, reject).finally(settle)
    })
  }

  #abandon(reason: unknown): void {
    this.isAbandoned = true
    this.#onAbandoned(this)
    this.#abort.abort(reason)
  }
}

/** The flights that may be joined, by id. */
export class Flights<T, O> {
  readonly #flights = new Map<string, Flight<T, O>>()
  /** Whoever may join them: the store has not been told of their end, or has not confirmed it. */
  readonly #unfinished = new Set<Flight<T, O>>()

  /** Counts it among those that `finished` waits for. */
  track(flight: Flight<T, O>): void {
    this.#unfinished.add(flight)
    const finish = (): void => void this.#unfinished.delete(flight)
    flight.outcome.then(finish, finish)
  }

  /** Resolves when those under way have ended, and after `graceMs`; undefined: there are none that anybody waits for. */
  finished(graceMs: number): Promise<void> | undefined {
    const left = [...this.#unfinished].filter((flight) => !flight.isAbandoned)
    if (left.length === 0) return undefined
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs)
      void Promise.allSettled(left.map(({ outcome }) => outcome)).then(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

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
  detach(ids: Iterable<string>): void {
    const gone = new Set(ids)
    for (const [id, { parentId }] of this.#flights) {
      if (gone.has(id) || (parentId !== undefined && gone.has(parentId))) this.#flights.delete(id)
    }
  }

  /** Lets nobody join any flight any more: any of them may bear a tag that was invalidated. */
  detachAll(): void {
    this.#flights.clear()
  }
}
