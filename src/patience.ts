/** How long callers wait: for their own load, for a refresh behind them, and for a load of somebody else. */
import { LoadTimeoutError } from './exceptions.ts'
import type { Flight, Patience } from './flight.ts'
import type { LoadRequest } from './load-request.ts'

/** Told to those who have waited for another's load as long as one may. */
export const WAITED_OUT: LoadTimeoutError = new LoadTimeoutError('waited long enough')

/** A caller's own, over all the loads it may have to wait for. With a stale copy the load goes on when its time is over. */
export function patienceOf(request: LoadRequest, hasStale: boolean): Patience {
  const { key, namespace, route, signal, softTimeoutMs = Infinity, hardTimeoutMs = Infinity } = request
  const timeoutMs = hasStale ? Math.min(softTimeoutMs, hardTimeoutMs) : hardTimeoutMs
  const late = (): Error => {
    const none = `no result for ${JSON.stringify(key)} within ${timeoutMs} ms`
    const what = route === undefined ? 'a load' : `the handler of ${route}`
    return new LoadTimeoutError(hasStale ? `${what} is late, and goes on: ${none}` : none, { key, namespace })
  }
  return { signal, until: performance.now() + timeoutMs, late, mayGoOn: hasStale }
}

/**
 * A refresh that hangs is given up, so that another caller's may follow: it is abandoned, and the next heartbeat gives
 * its lease back. Twice as long as the last load took it may always take, or what loads slowly would never be refreshed.
 */
export function patienceBehind({ key, namespace, found }: LoadRequest, waitMs: number): Patience {
  const ms = Math.max(waitMs, 2 * (found?.loadMs ?? 0))
  const late = (): Error =>
    new LoadTimeoutError(`a refresh is given up: no result for ${JSON.stringify(key)} within ${ms} ms`, {
      key,
      namespace,
    })
  return { signal: undefined, until: performance.now() + ms, late, mayGoOn: false, isBehind: true }
}

/** Nobody waits for another's load longer than `waitMs`; before it begins, its leader may wait as long for the lease. */
export function patienceWith<T, O>(joined: Flight<T, O>, patience: Patience, waitMs: number): Patience {
  const until = performance.now() + (joined.phase === 'claiming' ? 2 * waitMs : waitMs)
  return until < patience.until ? { ...patience, until, late: () => WAITED_OUT } : patience
}
