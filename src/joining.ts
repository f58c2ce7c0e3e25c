/** Who may share a load that somebody else leads, and what they wait for. */
import type { Flight } from './flight.ts'
import type { Loaded } from './loaded.ts'

/** What those who joined are told: a result they may use, to ask anew, or that it is its leader's alone. */
export type Outcome = Loaded | 'anew' | 'alone'

/** What a leader is handed. */
export interface Led extends Loaded {
  readonly outcome: Outcome | Promise<Outcome>
  /** It cannot be kept, and so not be shared either. */
  readonly isPrivate?: boolean
}

/** What a caller waits for who asked at `askedAt` and joins a load; `isCutOff`: the store did not answer this caller. */
export function awaitedOf(joined: Flight<Led, Outcome>, askedAt: number, isCutOff: boolean): Promise<Outcome> {
  // Whoever asked before the load began has its leader's right to what it loads, overtaken or not.
  if (joined.phase === 'claiming' || joined.beganAt > askedAt) return joined.value.then(shared)
  // Nobody will confirm it: only those share it whom the store does not answer either. The others wait for its end, so
  // that one load runs at a time, and share the next one, which begins after they asked.
  if (joined.phase === 'cut off' && !isCutOff) return joined.value.then(askAnew, askAnew)
  return joined.outcome
}

function shared(led: Led): Outcome | Promise<Outcome> {
  return led.source === 'load' && led.isPrivate !== true ? { ...led, source: 'joined' } : led.outcome
}

function askAnew(): Outcome {
  return 'anew'
}
