/** `npm run check:model`: scripts/check-model.mjs has this built and runs it. */
import { parseArgs } from 'node:util'
import { bundle } from './bundle.ts'
import { MUTANTS, type Mutant } from './mutants.ts'
import { replay, search, type Example } from './search.ts'
import { tellFound, tellSearched } from './tell.ts'

const USAGE = `npm run check:model -- [options]
  --runs N       so many schedules (20000)
  --seed S       of this seed (by chance)
  --from I       from this run of it on (0)
  --replay JSON  this one schedule, as a failure prints it
  --mutant TEXT  a library with a rule broken, whose name holds TEXT: it is to be found out; 'all' are all of them
  --aim TEXT     the library as it is, where those mutants show most often`

interface Which {
  readonly seed: number
  readonly from: number
  readonly runs: number
}

/** True if nothing is found, in the library or, with a mutant, where that shows, or in the mutant itself. */
async function check(which: Which, mutant?: Mutant, how: 'mutant' | 'aim' = 'mutant'): Promise<boolean> {
  const model = await bundle(...(mutant === undefined || how === 'aim' ? [] : [mutant]))
  const startedAt = performance.now()
  const searched = await search(model, { ...which, aim: mutant?.aim })
  process.stdout.write(`${tellSearched(searched, performance.now() - startedAt)}\n`)
  const option = mutant === undefined ? '' : ` --${how} '${mutant.name}'`
  if (searched.found !== undefined) process.stdout.write(`\n${tellFound(searched.found, option)}\n`)
  return searched.found === undefined
}

async function replayed(example: Example, mutants: readonly Mutant[]): Promise<boolean> {
  const { fault, told } = await replay(await bundle(...mutants), example)
  process.stdout.write(`${told.join('\n')}\n${fault ?? 'Nothing is wrong with it.'}\n`)
  return fault === undefined
}

/** True if all is as it should be. */
export async function main(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      from: { type: 'string', default: '0' },
      replay: { type: 'string' },
      mutant: { type: 'string' },
      aim: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return process.stdout.write(`${USAGE}\n`)
  const mutants = mutantsOf(values.mutant)
  if (values.replay !== undefined) return replayed(JSON.parse(values.replay) as Example, mutants)

  const which = { seed: Number(values.seed), from: Number(values.from), runs: Number(values.runs) }
  process.stdout.write(`seed ${which.seed}\n`)
  if (values.mutant === undefined && values.aim === undefined) return check(which)
  const how = values.mutant === undefined ? 'aim' : 'mutant'
  const chosen = how === 'aim' ? mutantsOf(values.aim) : mutants
  let isAsExpected = chosen.length > 0
  for (const mutant of chosen) {
    process.stdout.write(`\n${mutant.name}: `)
    if ((await check(which, mutant, how)) !== (how === 'aim')) isAsExpected = false
  }
  return isAsExpected
}

function mutantsOf(wanted: string | undefined): readonly Mutant[] {
  return wanted === undefined ? [] : MUTANTS.filter(({ name }) => wanted === 'all' || name.includes(wanted))
}
