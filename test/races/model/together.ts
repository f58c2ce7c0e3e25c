/** A search in several processes at once, each with its share of the schedules: one process has one time and one chance. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Search, Searched } from './search.ts'

/** What a process that searches its share says to the one that gave it. */
export function hand(searched: Searched): void {
  process.send?.(searched)
}

/** @param args what else those processes are to be told */
export async function searchTogether(
  { seed, from = 0, runs }: Search,
  processes: number,
  args: readonly string[],
): Promise<Searched> {
  const share = Math.ceil(runs / processes)
  const starts = Array.from({ length: processes }, (_, i) => i * share).filter((start) => start < runs)
  const shares = await Promise.all(
    starts.map((start) => {
      const numbers = { seed, from: from + start, runs: Math.min(share, runs - start), processes: 1 }
      return searchElsewhere([...Object.entries(numbers).flatMap(([name, it]) => [`--${name}`, String(it)]), ...args])
    }),
  )
  const sum = (what: 'runs' | 'steps' | 'unfinished'): number => shares.reduce((total, each) => total + each[what], 0)
  const found = shares.find((each) => each.found !== undefined)?.found
  return { found, runs: sum('runs'), steps: sum('steps'), unfinished: sum('unfinished') }
}

async function searchElsewhere(args: readonly string[]): Promise<Searched> {
  // This very program, whose first argument is its file.
  const child = fork(process.argv[1]!, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`expected the result of a search, got exit code ${String(code)} of its process`)
  })
  const [searched] = (await Promise.race([once(child, 'message'), ended])) as [Searched]
  return searched
}
