/** No schedule of what a few processes and Redis do makes anybody serve what was invalidated; and the check would tell. */
import { beforeAll, describe, expect, test } from 'vitest'
import { bundle, type Model } from './bundle.ts'
import { MUTANTS } from './mutants.ts'
import { replay, search } from './search.ts'
import { tellFound } from './tell.ts'

const SEED = 1
/** A few seconds; `npm run check:model` for as many as you like. */
const RUNS = 1000

/**
 * Over four seeds the slowest search took 743 schedules, most of them far fewer: a change of the
 * library moves where, but not beyond this.
 */
const MAX_RUNS = 6000
/** Most are 12 to 21, the longest was 31. */
const MAX_STEPS = 40
const TIMEOUT = { timeout: 60_000 }

let library: Model

beforeAll(async () => {
  library = await bundle()
})

test('nobody is handed what was invalidated before, whatever comes first and whatever is lost', async () => {
  const { found, unfinished } = await search(library, { seed: SEED, runs: RUNS })
  expect(found && tellFound(found)).toBeUndefined()
  // What is cut off shows nothing.
  expect(unfinished).toBeLessThan(RUNS / 100)
})

test('a run is the same every time', async () => {
  const once = await search(library, { seed: SEED, runs: 20 })
  expect(await search(library, { seed: SEED, runs: 20 })).toEqual(once)
})

describe.each(MUTANTS)('where $name', (mutant) => {
  test('somebody is, in a few steps that can be read and replayed', TIMEOUT, async () => {
    const model = await bundle(mutant)
    const { found } = await search(model, { seed: SEED, runs: MAX_RUNS, aim: mutant.aim })
    expect(found).toBeDefined()
    const { example, fault, told } = found!
    expect(example.taken.length).toBeLessThanOrEqual(MAX_STEPS)
    expect(fault).toMatch(/^[ABC] was handed version \d+ of [ab] \(from /)
    expect(await replay(model, example)).toMatchObject({ fault, told })
    // It is the rule that is missing, not the example that is wrong.
    expect((await replay(library, example)).fault).toBeUndefined()
  })
})
