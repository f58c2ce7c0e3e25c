/** What the search found, for people: what is wrong, step by step how it comes about, and how to see it again. */
import type { Found, Searched } from './search.ts'

/** @param option ` --mutant '...'` or ` --aim '...'`, with which it was found */
export function tellFound({ fault, told, seed, index, example }: Found, option = ''): string {
  const command = `npm run check:model --${option}`
  const { tiers, isWarm } = example.program
  const processes = tiers.map(
    (isTiered, i) => `${'ABC'[i]!} ${isTiered ? 'has a memory in front of Redis' : 'has none'}`,
  )
  let steps = 0
  const numbered = told.map((line) => (line.startsWith(' ') ? `    ${line}` : `${String(++steps).padStart(3)} ${line}`))
  return [
    fault,
    '',
    `${processes.join(', ')}; ${isWarm ? 'they are connected' : 'none is connected yet'}.`,
    ...numbered,
    '',
    `${command} --seed ${seed} --from ${index} --runs 1`,
    `${command} --replay '${JSON.stringify(example)}'`,
  ].join('\n')
}

export function tellSearched({ found, runs, steps, unfinished }: Searched, tookMs: number): string {
  if (found !== undefined) return `found after ${runs} schedules, reduced to ${found.example.taken.length} steps`
  const perSecond = Math.round((runs / tookMs) * 1000)
  const each = (steps / runs).toFixed(0)
  return `${runs} schedules of ${each} steps, ${perSecond} a second; ${unfinished} were cut off before their end`
}
