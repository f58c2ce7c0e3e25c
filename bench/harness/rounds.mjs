/**
 * Measures contestants against each other: A B C A B C ..., so that whatever changes on the machine changes for all.
 *
 * A slot (one contestant, once) during which other processes used more than a tenth of a core is thrown away and
 * repeated. Repetitions are bounded: on a machine that never rests the least disturbed slot is kept, and marked.
 */
import { Others } from './machine.mjs'

/** More than this of a core for others, and a slot says nothing. */
const MAX_OTHERS = 0.1

/**
 * @param {object} options
 * @param {readonly { name: string, measure(ms: number): Promise<object> }[]} options.contestants `measure` runs for
 *   about so long and returns `{ operations, seconds, cpuMicros }`, and what else it knows
 * @param {number} options.rounds counted rounds; one more, before them, is for warming up
 * @param {number} options.slotMs
 * @param {number} options.repetitions of disturbed slots, per slot on average
 * @param {readonly number[]} options.pids the processes that take part; what others use counts as disturbance
 */
export async function runRounds({ contestants, rounds, slotMs, repetitions, pids }) {
  const samples = new Map(contestants.map(({ name }) => [name, []]))
  let left = contestants.length * rounds * repetitions
  for (let round = 0; round <= rounds; round++) {
    for (const contestant of contestants) {
      const attempts = []
      do attempts.push(await runSlot(contestant, slotMs, pids))
      while (attempts.at(-1).disturbed && round > 0 && left-- > 0)
      const [kept] = attempts.toSorted((a, b) => (a.others ?? 0) - (b.others ?? 0))
      if (round > 0) samples.get(contestant.name).push({ ...kept, thrownAway: attempts.length - 1 })
    }
  }
  return samples
}

async function runSlot(contestant, slotMs, pids) {
  collectGarbage()
  const others = new Others(pids)
  const { operations, seconds, cpuMicros, ...more } = await contestant.measure(slotMs)
  const cores = others.cores()
  return {
    perSecond: operations / seconds,
    cpuMicros: cpuMicros / operations,
    operations,
    ...more,
    others: cores,
    disturbed: cores !== undefined && cores > MAX_OTHERS,
  }
}

/** What one contestant leaves behind must not be collected at the cost of the next; needs `--expose-gc`. */
function collectGarbage() {
  globalThis.gc?.()
}

/** Median, least and greatest. */
export function spread(numbers) {
  const sorted = numbers.filter((it) => it !== undefined && Number.isFinite(it)).toSorted((a, b) => a - b)
  if (sorted.length === 0) return undefined
  const middle = sorted.length / 2
  const median = Number.isInteger(middle) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[Math.floor(middle)]
  return { median, min: sorted[0], max: sorted.at(-1) }
}
