/** What the full run promises of each phase, and how it prints what came of it. */
import type { Phase } from './run.ts'

export const TARGETS = { p99Ms: 120, maxMs: 1200, backMs: 2000 } as const

/** What a phase has not kept; nothing if all is well. */
export function faultsOf(phase: Phase): string[] {
  const faults: string[] = []
  if (phase.wrongs > 0) faults.push(`${phase.wrongs} wrong answers, the first: ${phase.wrong[0] ?? ''}`)
  for (const [name, limit] of Object.entries(TARGETS) as [keyof typeof TARGETS, number][]) {
    if (!(phase[name] <= limit)) faults.push(`${name}: expected at most ${limit}, got ${phase[name].toFixed(1)}`)
  }
  return faults
}

const COLUMNS = ['phase', 'requests', 'wrong', 'p50 ms', 'p99 ms', 'max ms', 'hits back after', 'log lines'] as const
const WIDTHS = COLUMNS.map((name, i) => (i === 0 ? 18 : name.length + 3))

export const HEADING: string = rowOf(COLUMNS)

export function lineOf({ name, requests, wrongs, p50Ms, p99Ms, maxMs, backMs, lines }: Phase): string {
  const [p50, p99, max] = [p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1))
  return rowOf([name, requests, wrongs, p50!, p99!, max!, `${backMs} ms`, lines.length])
}

function rowOf(cells: readonly (string | number)[]): string {
  return cells
    .map((cell, i) => (i === 0 ? String(cell).padEnd(WIDTHS[i]!) : String(cell).padStart(WIDTHS[i]!)))
    .join('')
}
