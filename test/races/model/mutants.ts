/**
 * Libraries with one rule broken, each of which the model has to catch: a checker that never fails proves nothing.
 * The scripts are broken in the model's copy of them, everything else in the library's own source (bundle.ts).
 */
import type { Mutation } from './bundle.ts'

export interface Mutant extends Mutation {
  readonly name: string
  /** With it the short search of model.test.ts finds it. */
  readonly seed: number
}

const SCRIPTS = 'test/races/model/scripts.ts'
const PRELUDE = 'test/races/model/prelude.ts'

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'FILL does not ask for the lease',
    seed: 7,
    file: SCRIPTS,
    from: 'if (lease.slice(0, 8) !== token) return 0',
    to: '',
  },
  {
    name: 'FILL does not ask for stamps',
    seed: 31,
    file: SCRIPTS,
    from: 'if (isOvertaken(call, seq, tags)) return 0',
    to: '',
  },
  {
    name: 'stamps are made by the clocks of the processes',
    seed: 5,
    file: SCRIPTS,
    from: 'const stamped = Math.max(time, seq + 1)',
    to: 'const stamped = call.callersNow()',
  },
  {
    name: 'lost stamps begin no new epoch',
    seed: 34,
    file: PRELUDE,
    from: 'if (epoch !== undefined && marker !== undefined && marker === Number(floor) && Number(seq) < GREATEST_STAMP) {',
    to: 'if (epoch !== undefined) {',
  },
  {
    name: 'another server begins no new epoch',
    seed: 9,
    file: SCRIPTS,
    from: "if (args[1] !== '1') return 0",
    to: 'if (args.length > 0) return 0',
  },
  {
    name: 'the mirror does not sync before it judges',
    seed: 16,
    file: 'src/stores/redis/mirror.ts',
    from: 'if (this.#covers(state)) return this.#stamps.judge(entry)',
    to: 'if (this.#epoch === state.epoch) return this.#stamps.judge(entry)',
  },
  {
    name: 'a removal does not mark what is on its way',
    seed: 4,
    file: 'src/stores/tiered.ts',
    from: 'for (const arrival of this.#arrivals.get(id) ?? []) if (arrival !== except) arrival.isDirty = true',
    to: '',
  },
  {
    name: 'memory is served without a beat',
    seed: 6,
    file: 'src/stores/redis/coherence.ts',
    from: 'performance.now() - subscriber.beatAt < maxStalenessMs',
    to: 'subscriber.beatAt < maxStalenessMs + Infinity',
  },
  {
    name: 'a lost connection leaves the memory as it is',
    seed: 30,
    file: 'src/stores/redis/coherence.ts',
    from: `  onSubscribed(): void {
    this.doubt()
  }

  onLost(): void {
    this.#isCaughtUp = false
    this.#doubts++
    this.#options.listener.onDoubt()
  }`,
    to: `  onSubscribed(): void {
    if (this.#doubts === 0) this.doubt()
  }

  onLost(): void {
  }`,
  },
  {
    name: 'who joined is handed what a fence refused',
    seed: 6,
    file: 'src/load.ts',
    from: "return verdict === 'released' || joined === 'alone' ? joined : 'anew'",
    to: 'return joined',
  },
  {
    name: 'what could not be delivered is forgotten',
    seed: 16,
    file: 'src/stores/redis/undelivered.ts',
    from: 'for (const name of added) {',
    to: 'for (const name of added.slice(added.length)) {',
  },
]
