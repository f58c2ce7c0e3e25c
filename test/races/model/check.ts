/** `npm run check:model`: scripts/check-model.mjs has this built and runs it. */
import { availableParallelism } from 'node:os'
import { optionsIn, told, UsageError, wholeNumber } from '../command-line.ts'
import { bundle } from './bundle.ts'
import { MUTANTS, type Mutant } from './mutants.ts'
import { replay, search, type Example } from './search.ts'
import { tellFound, tellSearched } from './tell.ts'
import { hand, searchTogether } from './together.ts'

const USAGE = `npm run check:model -- [options]
  --runs N       so many schedules (20000)
  --seed S       of this seed (by chance)
  --from I       from this run of it on (0)
  --replay JSON  this one schedule, as a failure prints it
  --mutant TEXT  a library with a rule broken, whose name holds TEXT: it is to be found out; 'all' are all of them
  --aim TEXT     the library as it is, where those mutants show most often
  --processes N  in so many processes, each its share of the runs (as many as there are cores)`

interface Which {
  readonly seed: number
  readonly from: number
  readonly runs: number
  readonly processes: number
}

/** True if nothing is found, in the library or, with a mutant, where that shows, or in the mutant itself. */
async function check(which: Which, mutant?: Mutant, how: 'mutant' | 'aim' = 'mutant'): Promise<boolean> {
  const named = mutant === undefined ? [] : [`--${how}`, mutant.name]
  const broken = mutant !== undefined && how === 'mutant' ? [mutant] : []
  const startedAt = performance.now()
  const searched =
    which.processes > 1 && which.runs > 1
      ? await searchTogether(which, which.processes, named)
      : await search(await bundle(...broken), { ...which, aim: mutant?.aim })
  hand(searched)
  process.stdout.write(`${tellSearched(searched, performance.now() - startedAt)}\n`)
  const option = mutant === undefined ? '' : ` --${how} '${mutant.name}'`
  const found = searched.found === undefined ? 'no stale read' : `\n${tellFound(searched.found, option)}`
  process.stdout.write(`${found}\n`)
  return searched.found === undefined
}

async function replayed(example: Example, mutants: readonly Mutant[]): Promise<boolean> {
  const { fault, told } = await replay(await bundle(...mutants), example)
  process.stdout.write(`${told.join('\n')}\n${fault ?? 'Nothing is wrong with it.'}\n`)
  return fault === undefined
}

/** True if all is as it should be. */
export function main(args: readonly string[]): Promise<boolean> {
  return told(() => run(args))
}

async function run(args: readonly string[]): Promise<boolean> {
  const values = optionsIn({
    args: [...args],
    options: {
      runs: { type: 'string', default: '20000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      from: { type: 'string', default: '0' },
      replay: { type: 'string' },
      mutant: { type: 'string' },
      aim: { type: 'string' },
      processes: { type: 'string', default: String(availableParallelism()) },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return process.stdout.write(`${USAGE}\n`)
  const mutants = mutantsOf(values.mutant)
  if (values.replay !== undefined) return replayed(exampleIn(values.replay), mutants)

  const which = {
    seed: wholeNumber('seed', values.seed, 0),
    from: wholeNumber('from', values.from, 0),
    runs: wholeNumber('runs', values.runs, 1),
    processes: wholeNumber('processes', values.processes, 1),
  }
  process.stdout.write(`seed ${which.seed}\n`)
  if (values.mutant === undefined && values.aim === undefined) return check(which)
  const how = values.mutant === undefined ? 'aim' : 'mutant'
  const chosen = how === 'aim' ? mutantsOf(values.aim) : mutants
  let isAsExpected = true
  for (const mutant of chosen) {
    process.stdout.write(`\n${mutant.name}: `)
    if ((await check(which, mutant, how)) !== (how === 'aim')) isAsExpected = false
  }
  return isAsExpected
}

/** @throws {UsageError} */
function exampleIn(json: string): Example {
  try {
    return JSON.parse(json) as Example
  } catch (error) {
    throw new UsageError(`--replay: expected the JSON that a failure has printed: ${(error as Error).message}`)
  }
}

function mutantsOf(wanted: string | undefined): readonly Mutant[] {
  if (wanted === undefined) return []
  const mutants = MUTANTS.filter(({ name }) => wanted === 'all' || name.includes(wanted))
  const names = MUTANTS.map(({ name }) => `  ${name}`).join('\n')
  if (mutants.length === 0) throw new UsageError(`expected 'all' or part of one of these, got '${wanted}':\n${names}`)
  return mutants
}
