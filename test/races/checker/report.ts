/** What a run has found, and how it says so. */
import type { ChaosEvent } from './chaos.ts'
import { NO_COUNTS, type Counts, type Violation } from './messages.ts'
import { commandOf, type Options } from './options.ts'

export interface PhaseViolation extends Violation {
  readonly phase: string
}

export interface Report {
  readonly options: Options
  seconds: number
  phases: number
  readonly counts: Counts
  readonly invalidations: Record<string, number>
  readonly chaos: ChaosEvent[]
  explainedOverlaps: number
  unexplainedOverlaps: number
  readonly violations: PhaseViolation[]
}

/** What was wrong so long before a violation may have to do with it. */
const CHAOS_BEFORE_MS = 2000
const SHOWN = 3

export function newReport(options: Options): Report {
  const none = { seconds: 0, phases: 0, explainedOverlaps: 0, unexplainedOverlaps: 0 }
  return { options, ...none, counts: { ...NO_COUNTS }, invalidations: {}, chaos: [], violations: [] }
}

export function addCounts(sums: Counts, counts: Counts): void {
  for (const name of Object.keys(sums) as (keyof Counts)[]) {
    sums[name] = name === 'worstAgeMs' ? Math.max(sums[name], counts[name]) : sums[name] + counts[name]
  }
}

/** True if everything that was promised was kept. */
export function isClean({ violations, counts, unexplainedOverlaps }: Report): boolean {
  return violations.length === 0 && counts.staleReads === 0 && counts.nonMonotonic === 0 && unexplainedOverlaps === 0
}

/** A summary, and the first violations with what was going on around them. */
export function text(report: Report): string {
  const { options, counts, seconds, invalidations, chaos } = report
  const share = counts.staleReads === 0 ? '' : ` (${((100 * counts.staleReads) / counts.reads).toFixed(2)} % of all)`
  const rows: readonly (readonly [string, string | number])[] = [
    ['seed', options.seed],
    ['phases', `${report.phases}, ${options.processes} processes, ${seconds.toFixed(1)} s`],
    ['reads', `${counts.reads}, ${Math.round(counts.reads / seconds)}/s, ${counts.rejectedReads} rejected`],
    ['hits', counts.hits],
    ['loads', `${counts.loads}, ${counts.fills} fills, ${counts.fences} fences`],
    ['invalidations', listOf(invalidations)],
    ['  rejected', `${counts.rejectedInvalidations}, of which ${counts.lateDeliveries} seen delivered later`],
    ['chaos', listOf(countBy(chaos.map(({ kind }) => kind))) || 'none'],
    ['stale reads', `${counts.staleReads}${share}`],
    ['unconfirmed loads shared', `${counts.unconfirmed} (Redis out of reach, as documented)`],
    ['worst age of a read', `${counts.worstAgeMs.toFixed(1)} ms (L1 phases)`],
    ['concurrent loads', `${report.unexplainedOverlaps} unexplained, ${report.explainedOverlaps} explained`],
    ['non-monotonic histories', counts.nonMonotonic],
  ]
  const summary = rows.map(([name, value]) => `${`${name}:`.padEnd(26)}${value}`)
  return [...summary, ...violationsOf(report)].join('\n')
}

function violationsOf({ violations, chaos, options }: Report): string[] {
  if (violations.length === 0) return []
  const shown = violations.slice(0, SHOWN).flatMap(({ kind, phase, process, key, by, version, least, at, detail }) => {
    const around = chaos.filter(({ from, to }) => from <= at && to >= at - CHAOS_BEFORE_MS)
    const names = around.map(({ kind, process: of, from }) => {
      return `${kind}${of === undefined ? '' : ` of process ${of}`} ${(at - from).toFixed(0)} ms before`
    })
    return [
      `\n${kind} in phase '${phase}', process ${process}, key ${key}, by ${by}`,
      ...(least > 0 ? [`  version ${version}, at least ${least} had to be seen`] : []),
      `  ${detail}`,
      `  chaos: ${names.join(', ') || 'none'}`,
    ]
  })
  const again = `\nagain (a seed fixes what is decided, not what comes of it in time):\n  ${commandOf(options)}`
  return [...shown, ...(violations.length > SHOWN ? [`\n... ${violations.length} in all`] : []), again]
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function listOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .toSorted(([, one], [, other]) => other - one)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')
}
