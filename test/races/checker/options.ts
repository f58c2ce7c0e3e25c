/** The command line of the checker. */
import { optionsIn, UsageError, wholeNumber } from '../command-line.ts'
import { MUTANTS, type Mutant } from './mutants.ts'
import { PHASES, type Phase } from './phases.ts'
import { TOPOLOGIES, type Topology } from './site.ts'

export interface Options {
  readonly seed: number
  readonly seconds: number
  readonly processes: number
  readonly contestant: string
  /** What Redis is. */
  readonly topology: Topology
  readonly mutant: Mutant | undefined
  readonly phases: readonly Phase[]
}

export interface CommandLine extends Options {
  /** Run every mutant, instead of the library. */
  readonly allMutants: boolean
}

const DEFAULTS = { seconds: 60, processes: 4, contestant: 'tidemark', topology: 'single' } as const
/** Concurrent loads are judged when a phase is over. */
const AIMED_PHASE_S = 6
const NAMES = {
  seed: { type: 'string' },
  seconds: { type: 'string' },
  processes: { type: 'string' },
  contestant: { type: 'string' },
  topology: { type: 'string' },
  mutant: { type: 'string' },
  mutants: { type: 'boolean' },
  phases: { type: 'string' },
  l1: { type: 'boolean' },
  help: { type: 'boolean' },
} as const

const USAGE = `npm run check:races -- [options]
  --seconds N        seconds for the phases, besides starting and stopping (${DEFAULTS.seconds})
  --seed S           the seed of what is decided (by chance)
  --processes N      so many processes (${DEFAULTS.processes})
  --phases 'A,B'     these phases (all of them)
  --l1, --no-l1      only the phases with memory in front of Redis, or only those without
  --topology NAME    what Redis is: ${TOPOLOGIES.join(', ')} (${DEFAULTS.topology})
  --mutant NAME      the library with this rule taken out: it is to be caught
  --mutants          each of them, one after the other
  --contestant NAME  another cache: naive, lock, or the path of a module
  --help             this page`

/** What is left out is as `npm run check:races` has it; the seed is then a new one. */
export function optionsOf(given: Partial<Omit<Options, 'mutant' | 'phases'>> & Named = {}): Options {
  const options = {
    seed: given.seed ?? Math.floor(Math.random() * 2 ** 31),
    seconds: given.seconds ?? DEFAULTS.seconds,
    processes: given.processes ?? DEFAULTS.processes,
    contestant: given.contestant ?? DEFAULTS.contestant,
    topology: given.topology ?? DEFAULTS.topology,
    mutant: given.mutant === undefined ? undefined : named(MUTANTS, given.mutant, 'mutant'),
  }
  return { ...options, phases: phasesOf(given, options) }
}

/** What is chosen by its name. */
export interface Named {
  readonly mutant?: string | undefined
  readonly phases?: readonly string[] | undefined
  /** Only those with memory in front of Redis, or only those without. */
  readonly l1?: boolean | undefined
}

/**
 * What the command is to do, or the page that says how it is called.
 *
 * @throws {UsageError} that names the option
 */
export function parse(args: readonly string[]): CommandLine | string {
  const values = optionsIn({ args: [...args], options: NAMES, allowNegative: true })
  if (values.help === true) return USAGE
  const options = optionsOf({
    ...numbers(values),
    ...(values.contestant === undefined ? {} : { contestant: values.contestant }),
    ...(values.topology === undefined ? {} : { topology: topologyOf(values.topology) }),
    mutant: values.mutant,
    phases: values.phases?.split(',').map((name) => name.trim()),
    l1: values.l1,
  })
  return { ...options, allMutants: values.mutants === true }
}

/** The command line that runs the same again. */
export function commandOf({ seed, seconds, processes, contestant, topology, mutant, phases }: Options): string {
  const parts = [`--seed ${seed}`]
  if (seconds !== DEFAULTS.seconds) parts.push(`--seconds ${seconds}`)
  if (processes !== DEFAULTS.processes) parts.push(`--processes ${processes}`)
  if (contestant !== DEFAULTS.contestant) parts.push(`--contestant ${contestant}`)
  if (topology !== DEFAULTS.topology) parts.push(`--topology ${topology}`)
  if (mutant !== undefined) parts.push(`--mutant ${mutant.name}`)
  const names = namesOf(phases)
  if (names !== namesOf(phasesOf({}, { seconds, contestant, topology, mutant }))) parts.push(`--phases '${names}'`)
  return `npm run check:races -- ${parts.join(' ')}`
}

type Numbers = { -readonly [Name in 'seed' | 'seconds' | 'processes']?: number }

function numbers(values: Readonly<Partial<Record<keyof Numbers, string>>>): Numbers {
  const found: Numbers = {}
  for (const name of ['seed', 'seconds', 'processes'] as const) {
    const text = values[name]
    if (text === undefined) continue
    found[name] = wholeNumber(name, text, name === 'seed' ? 0 : 1)
  }
  return found
}

function phasesOf(
  { phases: names, l1 }: Named,
  { seconds, contestant, topology, mutant }: Pick<Options, 'seconds' | 'contestant' | 'topology' | 'mutant'>,
): readonly Phase[] {
  const phases = PHASES[topology]
  if (names !== undefined) return names.map((name) => named(phases, name, 'phases'))
  if (mutant !== undefined) {
    const count = Math.max(mutant.phases.length, Math.floor(seconds / AIMED_PHASE_S))
    return Array.from({ length: count }, (_, nth) => mutant.phases[nth % mutant.phases.length]!).map((name) =>
      named(phases, name, 'phase'),
    )
  }
  // Others than tidemark promise nothing for faults: they are asked for what is left.
  if (contestant !== DEFAULTS.contestant) {
    return phases.filter(({ hasMemory, chaos }) => hasMemory === (l1 ?? false) && chaos.length === 0)
  }
  return phases.filter(({ hasMemory }) => l1 === undefined || hasMemory === l1)
}

function topologyOf(text: string): Topology {
  const found = TOPOLOGIES.find((name) => name === text)
  if (found === undefined) throw new UsageError(`--topology: expected one of ${TOPOLOGIES.join(', ')}, got '${text}'`)
  return found
}

function namesOf(phases: readonly Phase[]): string {
  return phases.map(({ name }) => name).join(',')
}

function named<T extends { readonly name: string }>(list: readonly T[], name: string, what: string): T {
  const found = list.find((one) => one.name === name)
  if (found !== undefined) return found
  throw new UsageError(`--${what}: expected one of ${list.map((one) => one.name).join(', ')}, got '${name}'`)
}
