/**
 * Libraries with one rule broken, each of which the model has to catch: a checker that never fails proves nothing.
 * The scripts are broken in the model's copy of them, everything else in the library's own source (bundle.ts).
 */
import type { Mutation } from './bundle.ts'
import type { Aim } from './program.ts'

export interface Mutant extends Mutation {
  readonly name: string
  /** Where it shows often. Without it some show in one of thousands of schedules. */
  readonly aim: Aim
}

const SCRIPTS = 'test/races/model/scripts.ts'
const PRELUDE = 'test/races/model/prelude.ts'

/** What lags behind, by the names of steps: `#3$`, `a<`, `A>`. */
const LOADS = /\$$/
const MESSAGES = /^[a-z].*<$/
const COMMANDS = /^[A-Z].*>$/

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'FILL does not ask for the lease',
    aim: { reads: ['plain'], writes: ['delete'], others: ['get'], faults: [], slow: LOADS },
    file: SCRIPTS,
    from: 'if (lease.slice(0, 8) !== token) return 0',
    to: '',
  },
  {
    name: 'FILL does not ask for stamps',
    aim: { reads: ['plain'], writes: ['hard'], others: ['plain'], faults: [], slow: LOADS },
    file: SCRIPTS,
    from: 'if (isOvertaken(call, seq, tags)) return -1',
    to: '',
  },
  {
    name: 'stamps are made by the clocks of the processes',
    aim: { reads: ['get', 'plain'], writes: ['hard'], others: ['get'], faults: [] },
    file: SCRIPTS,
    from: 'const stamped = Math.max(time, seq + 1)',
    to: 'const stamped = call.callersNow()',
  },
  {
    name: 'lost stamps begin no new epoch',
    aim: { reads: ['get', 'plain'], writes: ['hard'], others: ['get'], faults: ['loss'] },
    file: PRELUDE,
    from: 'if (epoch !== undefined && marker !== undefined && marker === Number(floor) && Number(seq) < GREATEST_STAMP) {',
    to: 'if (epoch !== undefined) {',
  },
  {
    name: 'another server begins no new epoch',
    aim: { reads: ['plain'], writes: ['hard', 'delete'], others: ['get'], faults: ['replicate', 'restart'] },
    file: SCRIPTS,
    from: "if (args[1] !== '1') return 0",
    to: 'if (args.length > 0) return 0',
  },
  {
    name: 'the mirror does not sync before it judges',
    aim: { reads: ['get', 'plain'], writes: ['hard'], others: ['get'], faults: [], slow: MESSAGES },
    file: 'src/stores/redis/mirror.ts',
    from: 'if (this.#covers(state)) return this.#stamps.judge(entry)',
    to: 'if (this.#epoch === state.epoch) return this.#stamps.judge(entry)',
  },
  {
    name: 'a removal does not mark what is on its way',
    aim: { tiered: 1, reads: ['get'], writes: ['delete'], others: ['set'], faults: [] },
    file: 'src/stores/tiered.ts',
    from: 'for (const arrival of this.#arrivals.get(id) ?? []) if (arrival !== except) arrival.isDirty = true',
    to: '',
  },
  {
    name: 'memory is served without a beat',
    aim: { tiered: 1, reads: ['get', 'plain'], writes: ['delete'], others: ['get'], faults: ['pause'], slow: MESSAGES },
    file: 'src/stores/redis/coherence.ts',
    from: 'performance.now() - subscriber.beatAt < maxStalenessMs',
    to: 'subscriber.beatAt < maxStalenessMs + Infinity',
  },
  {
    name: 'a lost connection leaves the memory as it is',
    aim: { tiered: 1, reads: ['get', 'plain'], writes: ['delete'], others: ['get'], faults: ['cut ear'] },
    file: 'src/stores/redis/coherence.ts',
    from: `  onSubscribed(): void {
    this.doubt()
    this.#isSubscribed = true
  }

  onLost(): void {
    this.#isSubscribed = false
    this.#isCaughtUp = false
    this.#doubts++
    this.#options.listener.onDoubt()
  }`,
    to: `  onSubscribed(): void {
    if (this.#doubts === 0) this.doubt()
    this.#isSubscribed = true
  }

  onLost(): void {
  }`,
  },
  {
    name: 'who joined is handed what a fence refused',
    aim: { reads: ['plain'], writes: ['hard', 'delete'], others: ['plain'], faults: [], slow: LOADS },
    file: 'src/load.ts',
    from: "return verdict === 'released' || joined === 'alone' ? joined : 'anew'",
    to: 'return joined',
  },
  {
    name: 'what could not be delivered is forgotten',
    aim: {
      reads: ['get', 'plain'],
      writes: ['hard', 'delete'],
      others: ['get'],
      faults: ['cut commands'],
      slow: COMMANDS,
    },
    file: 'src/stores/redis/undelivered.ts',
    from: 'for (const name of added) {',
    to: 'for (const name of added.slice(added.length)) {',
  },
]
