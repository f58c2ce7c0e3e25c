/**
 * A program that runs benchmarks. Its options:
 *
 * - `--short`: sees within seconds that each still runs and answers right; its times mean nothing.
 * - `--quick`: shorter, and without other caches: enough to see that a ratio has moved.
 * - `--rounds <n>`, `--slot <ms>`: how often, and for how long each time; by default 5 times 0.6 seconds. On a machine
 *   that others use, many short slots say more than a few long ones: what disturbs one contestant then disturbs its limit.
 * - `--results <folder>`: where the JSON goes, by default bench/results, and nowhere for the short form.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describeMachine } from './machine.mjs'
import { printTable, summarize, writeResults } from './report.mjs'
import { runRounds } from './rounds.mjs'

/** Where the results of the repository are. */
export const RESULTS = fileURLToPath(new URL('../results', import.meta.url))

const FULL = { isShort: false, isQuick: false, rounds: 5, slotMs: 600, repetitions: 1 }
const QUICK = { isShort: false, isQuick: true, rounds: 3, slotMs: 200, repetitions: 1 }
const SHORT = { isShort: true, isQuick: false, rounds: 1, slotMs: 30, repetitions: 0 }

/** What `parseArgs` is told. */
export const OPTIONS = {
  short: { type: 'boolean' },
  quick: { type: 'boolean' },
  rounds: { type: 'string' },
  slot: { type: 'string' },
  results: { type: 'string' },
}

export class Suite {
  #name
  #results
  #benchmarks = []
  /** How long and how often. */
  form

  constructor(name) {
    const { values } = parseArgs({ options: OPTIONS })
    const form = formOf(values)
    this.#name = name
    this.form = { ...form, rounds: Number(values.rounds ?? form.rounds), slotMs: Number(values.slot ?? form.slotMs) }
    this.#results = values.results ?? (values.short ? undefined : RESULTS)
    setFlagsFromString('--expose-gc')
    globalThis.gc ??= runInNewContext('gc')
  }

  /**
   * Measures the contestants of one benchmark, interleaved.
   *
   * @param {object} [facts] what else is known of it, for the JSON
   */
  async run(name, contestants, { pids = [], facts = {} } = {}) {
    const { rounds, slotMs, repetitions } = this.form
    const taking = contestants.filter((it) => this.takes(it))
    const seconds = Math.ceil((taking.length * (rounds + 1) * slotMs) / 1000)
    console.log(`\n... ${name}: ${taking.length} contestants, ${seconds} s or more`)
    const options = { contestants: taking, rounds, slotMs, repetitions, pids: [process.pid, ...pids] }
    const samples = await runRounds(options)
    const result = { ...summarize(name, taking, samples), slotMs, ...facts }
    printTable(result)
    this.#benchmarks.push(result)
  }

  /** Whether a contestant takes part in this form: other caches (`isPeer`) do not in the quick one. */
  takes({ isPeer = false }) {
    return !(isPeer && this.form.isQuick)
  }

  /** Numbers that need no repetition. */
  note(name, facts) {
    console.log(`\n${name}\n  ${JSON.stringify(facts)}`)
    this.#benchmarks.push({ name, ...facts })
  }

  async end(redisVersion) {
    const { rounds } = this.form
    const machine = describeMachine(redisVersion)
    const results = { suite: this.#name, at: new Date().toISOString(), machine, rounds, benchmarks: this.#benchmarks }
    if (this.#results !== undefined) await writeResults(this.#results, this.#name, results)
  }
}

function formOf({ short, quick }) {
  if (short) return SHORT
  return quick ? QUICK : FULL
}

/** Fails the run: a benchmark whose answers are wrong has measured nothing. */
export function expect(isRight, what) {
  if (!isRight) throw new Error(`wrong answer: ${what}`)
}
