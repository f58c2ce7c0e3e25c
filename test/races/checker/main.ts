/** `npm run check:races`: one run and its summary, or a run for each mutant; the exit code says whether all was well. */
import { told } from '../command-line.ts'
import { MUTANTS } from './mutants.ts'
import { optionsOf, parse, type CommandLine } from './options.ts'
import { isClean, text, type Report } from './report.ts'
import { run } from './run.ts'

/**
 * @param sources where the sources of the checker lie
 * @returns the exit code
 */
export async function main(args: readonly string[], sources: URL): Promise<number> {
  return (await told(() => check(args, sources))) ? 0 : 1
}

async function check(args: readonly string[], sources: URL): Promise<boolean> {
  const options = parse(args)
  if (typeof options === 'string') {
    print(options)
    return true
  }
  if (options.allMutants) return checkMutants(options, sources)
  const report = await run(options, sources)
  print(text(report))
  return isClean(report)
}

/** Each has to be caught. */
async function checkMutants(options: CommandLine, sources: URL): Promise<boolean> {
  const survivors: string[] = []
  for (const mutant of MUTANTS) {
    const { seed, seconds, processes } = options
    const report = await run(optionsOf({ seed, seconds, processes, mutant: mutant.name }), sources)
    const caught = caughtBy(report)
    if (caught === undefined) survivors.push(mutant.name)
    print(
      `${mutant.name.padEnd(12)}${caught ?? 'NOT CAUGHT'} after ${report.seconds.toFixed(1)} s   (${mutant.breaks})`,
    )
  }
  print(survivors.length === 0 ? 'every mutant was caught' : `not caught: ${survivors.join(', ')}`)
  return survivors.length === 0
}

function caughtBy({ violations: [first] }: Report): string | undefined {
  return first && `${first.kind} in '${first.phase}'`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
