/**
 * The search for a schedule that breaks the promise, and the way from what was found to something short.
 *
 * Everything follows from a seed: the program, how fast each connection and process is in this run (so that whole
 * connections lag behind, which a fair choice never brings about), and the choice of each step.
 *
 * What was found is a program and the names of the steps it took. It is replayed by taking the first of those names
 * that may happen, and the oldest step when none is left; so parts can be left out of either, and what remains of the
 * schedule still means the same.
 */
import type { Model } from './bundle.ts'
import { newProgram, type Aim, type Chance, type Event, type Program } from './program.ts'
import { TIME, type Step } from './step.ts'
import type { Outcome, Schedule } from './world.ts'

export interface Example {
  readonly program: Program
  readonly taken: readonly string[]
}

export interface Found {
  readonly seed: number
  /** Which run of the seed it was. */
  readonly index: number
  readonly example: Example
  readonly fault: string
  readonly told: readonly string[]
}

export interface Search {
  readonly seed: number
  readonly runs: number
  /** The first run; the search can begin where another one found something. */
  readonly from?: number
  /** Where to look; anywhere. */
  readonly aim?: Aim | undefined
}

export interface Searched {
  readonly found: Found | undefined
  readonly runs: number
  readonly steps: number
  /** Runs that were cut off: of them nobody knows how they end. */
  readonly unfinished: number
}

/**
 * How much likelier a step of the fastest source is than one of the slowest, as a power of ten. So mostly the fastest
 * goes first: a fair choice hardly ever lets one thing wait until several others have happened.
 */
const SPREAD = 4
/**
 * How likely a source is among the fastest without further ado, by the last letter of its name: commands and replies
 * mostly arrive at once, and so do connections and timers. What people do, and what loads, takes as long as it takes.
 */
const STEADY: Readonly<Record<string, number>> = { '>': 0.6, '<': 0.6, '+': 0.6, '!': 0.6 }
/** How likely it is that time passes although something else may happen; in most runs it does not. */
const PASSING = [0, 0, 0.02, 0.1]
/** How often the speed of a source changes. */
const CHANGES = 0.02

export async function search(model: Model, { seed, runs, from = 0, aim }: Search): Promise<Searched> {
  let steps = 0
  let unfinished = 0
  for (let index = from; index < from + runs; index++) {
    const chance = chanceOf(seed, index)
    const program = newProgram(chance, aim)
    const outcome = await model.run(program, scheduleOf(chance, aim?.slow))
    steps += outcome.taken.length
    if (outcome.fault !== undefined) {
      const found = await reduced(model, { program, taken: outcome.taken }, { seed, index })
      return { found, runs: index - from + 1, steps, unfinished }
    }
    if (!outcome.isWhole) unfinished++
  }
  return { found: undefined, runs, steps, unfinished }
}

/** A chance of its own for each run of a seed (mulberry32). */
function chanceOf(seed: number, index: number): Chance {
  let state = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Chooses by chance, each source of steps at its own speed; what is `slow` by its name at a low one. */
function scheduleOf(chance: Chance, slow?: RegExp): Schedule {
  const passing = PASSING[Math.floor(chance() * PASSING.length)]!
  const speeds = new Map<string, number>()
  const speedOf = ({ name }: Step): number => {
    const known = speeds.get(name)
    if (known !== undefined && chance() > CHANGES) return known
    const isSlow = slow?.test(name) === true
    const isFast = !isSlow && chance() < (STEADY[name.at(-1)!] ?? 0)
    const speed = isFast ? 1 : 10 ** (-SPREAD * (isSlow ? 0.5 + chance() / 2 : chance()))
    speeds.set(name, speed)
    return speed
  }
  return (steps) => {
    const last = steps.at(-1)!
    const others = last.name === TIME ? steps.slice(0, -1) : steps
    if (others.length === 0 || (others.length < steps.length && chance() < passing)) return last
    const weights = others.map(speedOf)
    let at = chance() * weights.reduce((sum, weight) => sum + weight, 0)
    return others.find((_, i) => (at -= weights[i]!) < 0) ?? others.at(-1)!
  }
}

/** Takes the steps that are named, in their order, as far as they may happen; then the oldest. */
function scheduleBy(names: readonly string[]): Schedule {
  let next = 0
  return (steps) => {
    while (next < names.length) {
      const name = names[next++]
      const step = steps.find((one) => one.name === name)
      if (step !== undefined) return step
    }
    return steps[0]!
  }
}

export function replay(model: Model, { program, taken }: Example, tells = true): Promise<Outcome> {
  return model.run(program, scheduleBy(taken), { tells, maxSteps: taken.length + 100 })
}

async function reduced(model: Model, example: Example, which: Pick<Found, 'seed' | 'index'>): Promise<Found> {
  const smallest = await reduce(model, example)
  const { fault, told } = await replay(model, smallest)
  return { ...which, example: smallest, fault: fault!, told }
}

/** Leaves out what can be left out: of the program, then of the steps, until nothing more can. */
async function reduce(model: Model, example: Example): Promise<Example> {
  let smallest = example
  const take = async (program: Program, taken: readonly string[]): Promise<boolean> => {
    const outcome = await replay(model, { program, taken }, false)
    if (outcome.fault === undefined) return false
    if (sizeOf({ program, taken: outcome.taken }) >= sizeOf(smallest)) return false
    smallest = { program, taken: outcome.taken }
    return true
  }
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false
    for (const smaller of smallerPrograms(smallest.program)) {
      if (!(await take(smaller, smallest.taken))) continue
      isSmaller = true
      break
    }
    if (isSmaller) continue
    for (let count = Math.max(1, smallest.taken.length >> 1); count >= 1; count >>= 1) {
      for (let at = 0; at < smallest.taken.length;) {
        if (await take(smallest.program, smallest.taken.toSpliced(at, count))) isSmaller = true
        else at += count
      }
    }
  }
  return smallest
}

/** What is in a program weighs more than a step; of what is in it, what says more about itself. */
function sizeOf({ program, taken }: Example): number {
  const said = JSON.stringify(program).replaceAll('"isLate":false', '')
  return said.length * 2 + taken.length * 10
}

/** The program with one thing less, or something simpler. */
function* smallerPrograms(program: Program): Iterable<Program> {
  const { events, tiers } = program
  for (let i = 0; i < events.length; i++) yield { ...program, events: events.toSpliced(i, 1) }
  const last = tiers.length - 1
  if (last > 0 && !events.some((event) => processOf(event) === last)) yield { ...program, tiers: tiers.slice(0, -1) }
  for (const [i, event] of events.entries()) {
    for (const simpler of simplerEvents(event)) yield { ...program, events: events.with(i, simpler) }
  }
  for (let i = 0; i < tiers.length; i++) if (tiers[i]) yield { ...program, tiers: tiers.with(i, false) }
  if (!program.isWarm) yield { ...program, isWarm: true }
}

function processOf(event: Event): number | undefined {
  if ('operation' in event) return event.process
  return event.fault.what === 'cut' ? event.fault.process : undefined
}

function* simplerEvents(event: Event): Iterable<Event> {
  if ('fault' in event) {
    if (event.fault.what === 'cut' && event.fault.isLate) yield { ...event, fault: { ...event.fault, isLate: false } }
    return
  }
  const { operation } = event
  if (event.isLate) yield { ...event, isLate: false }
  if (operation.what === 'getOrSet' && operation.style !== 'plain') {
    yield { ...event, operation: { ...operation, style: 'plain' } }
  }
  if (operation.what === 'invalidateTags' && operation.mode !== 'hard') {
    yield { ...event, operation: { ...operation, mode: 'hard' } }
  }
}
