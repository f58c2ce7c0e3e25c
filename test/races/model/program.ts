/** What happens in a test of the model: programs of a few operations, made by chance from a seed, and their words. */

export type Invalidation = 'hard' | 'soft' | 'strict'

/** How a load is asked for. */
export type LoadStyle =
  | 'plain'
  /** Its tag is learnt from what it loads. */
  | 'learnt'
  /** It may be served stale while it is refreshed. */
  | 'stale'
  /** Its loader fails, and there is a grace. */
  | 'failing'
  /** It loads whatever is stored. */
  | 'forced'

export type Operation =
  | { readonly what: 'get' | 'set' | 'fill' | 'expire' | 'delete'; readonly key: string }
  | { readonly what: 'getOrSet'; readonly key: string; readonly style: LoadStyle }
  | { readonly what: 'invalidateTags'; readonly mode: Invalidation }
  | { readonly what: 'clear' }

export type Fault =
  /** Time passes without anybody noticing: a process that is paused, a network that is slow. */
  | { readonly what: 'pass'; readonly forMs: number }
  | { readonly what: 'cut'; readonly process: number; readonly role: 'commands' | 'ear'; readonly isLate: boolean }
  /** Redis loses everything, or one key: eviction, or somebody's command. */
  | { readonly what: 'lose'; readonly key: 'everything' | 'w' | 't' | 'k:a' | 'l:a' | 'm' }
  /** Another process of the server: without data, or with those of a while ago, as a replica has them. */
  | { readonly what: 'restart'; readonly from: 'nothing' | 'replica' }
  /** From here a replica, or a dump, has what the server has now. */
  | { readonly what: 'replicate' }

/** An operation, or a fault; `id` names it however many others are left out. */
export type Event = Act | { readonly id: number; readonly fault: Fault }

interface Act {
  readonly id: number
  readonly process: number
  readonly operation: Operation
  /** It begins only when nothing is under way any more. */
  readonly isLate: boolean
}

export interface Program {
  /** For each process whether it has a memory in front of Redis. */
  readonly tiers: readonly boolean[]
  /** The processes are connected and know each other before it begins. */
  readonly isWarm: boolean
  /** In the order in which they begin; each may begin before those in front of it have ended. */
  readonly events: readonly Event[]
}

/**
 * Where a search looks: what is rare in programs of everything is common in programs of little. What it does not name is
 * as in any program.
 */
export interface Aim {
  /** How likely it is that a process has a memory in front of Redis. */
  readonly tiered?: number
  readonly reads?: readonly Kind[]
  readonly writes?: readonly Kind[]
  readonly others?: readonly Kind[]
  /** There are one to three of these; of none there are none. */
  readonly faults?: readonly FaultKind[]
  /** What lags behind most others, by the names of its steps. */
  readonly slow?: RegExp
}

/** An operation, but for its key. */
export type Kind = keyof typeof OPERATIONS

export type FaultKind = 'pause' | 'cut' | 'cut commands' | 'cut ear' | 'loss' | 'replicate' | 'restart'

export const KEYS = ['a', 'b'] as const
export const PROCESSES = ['A', 'B', 'C'] as const

/** The memory in front may lag so long behind. */
export const MAX_STALENESS_MS = 400
export const LEASE_MS = 1000

export type Chance = () => number

function pick<T>(chance: Chance, from: readonly T[]): T {
  return from[Math.floor(chance() * from.length)]!
}

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make)
}

/**
 * A program by chance. Each does little of what can be done, and that often: of two operations that must meet, both are
 * likelier to be there, than if every program did some of everything.
 */
export function newProgram(chance: Chance, aim: Aim = {}): Program {
  const { tiered = 0.6, reads = READS, writes = WRITES, others = OTHERS } = aim
  const tiers = times(chance() < 0.8 ? 2 : 3, () => chance() < tiered)
  const choice: Choice = {
    reads: times(2, () => pick(chance, reads)),
    writes: times(2, () => pick(chance, writes)),
    others: times(1, () => pick(chance, others)),
  }
  const acts = times(3 + Math.floor(chance() * 6), () => {
    const process = Math.floor(chance() * tiers.length)
    return { process, operation: newOperation(chance, choice), isLate: false }
  })
  const events: (Omit<Act, 'id'> | { readonly fault: Fault })[] = acts
  let at = 0
  for (const fault of newFaults(chance, tiers.length, aim.faults)) {
    at += Math.floor(chance() * (events.length + 1 - at))
    events.splice(at, 0, { fault })
  }
  // What is wrong at the end is seen by somebody.
  for (const process of tiers.keys()) events.push({ process, operation: OPERATIONS.get('a'), isLate: true })
  return { tiers, isWarm: chance() < 0.85, events: events.map((event, id) => ({ ...event, id })) }
}

interface Choice {
  readonly reads: readonly Kind[]
  readonly writes: readonly Kind[]
  readonly others: readonly Kind[]
}

const of = (what: 'get' | 'set' | 'fill' | 'expire' | 'delete') => {
  return (key: string): Operation => ({ what, key })
}
const load = (style: LoadStyle) => {
  return (key: string): Operation => ({ what: 'getOrSet', key, style })
}
const tags = (mode: Invalidation) => {
  return (): Operation => ({ what: 'invalidateTags', mode })
}

const OPERATIONS = {
  get: of('get'),
  plain: load('plain'),
  learnt: load('learnt'),
  stale: load('stale'),
  failing: load('failing'),
  forced: load('forced'),
  delete: of('delete'),
  hard: tags('hard'),
  soft: tags('soft'),
  strict: tags('strict'),
  clear: (): Operation => ({ what: 'clear' }),
  fill: of('fill'),
  set: of('set'),
  expire: of('expire'),
} as const

const READS: readonly Kind[] = ['get', 'plain', 'plain', 'learnt', 'stale']
const WRITES: readonly Kind[] = ['delete', 'delete', 'hard', 'hard', 'soft', 'strict', 'clear']
const OTHERS: readonly Kind[] = ['failing', 'forced', 'fill', 'set', 'expire']

function newOperation(chance: Chance, { reads, writes, others }: Choice): Operation {
  const choice = chance()
  const kinds = choice < 0.6 ? reads : choice < 0.88 ? writes : others
  return OPERATIONS[pick(chance, kinds)](chance() < 0.92 ? 'a' : 'b')
}

const PAUSES_MS = [150, MAX_STALENESS_MS, LEASE_MS, 2500]
const FAULTS: readonly FaultKind[] = ['pause', 'cut', 'loss', 'restart']
const LOSSES = ['everything', 'everything', 'w', 't', 't', 'k:a', 'l:a', 'm'] as const

function newFaults(chance: Chance, processes: number, kinds?: readonly FaultKind[]): Fault[] {
  const cut = (role: 'commands' | 'ear'): Fault => {
    return { what: 'cut', process: Math.floor(chance() * processes), role, isLate: chance() < 0.5 }
  }
  const faults: Readonly<Record<FaultKind, () => Fault>> = {
    pause: () => ({ what: 'pass', forMs: pick(chance, PAUSES_MS) }),
    cut: () => cut(chance() < 0.5 ? 'commands' : 'ear'),
    'cut commands': () => cut('commands'),
    'cut ear': () => cut('ear'),
    replicate: () => ({ what: 'replicate' }),
    loss: () => ({ what: 'lose', key: pick(chance, LOSSES) }),
    restart: () => ({ what: 'restart', from: pick(chance, ['nothing', 'replica'] as const) }),
  }
  if (kinds !== undefined) {
    return kinds.length === 0 ? [] : times(1 + Math.floor(chance() * 3), () => faults[pick(chance, kinds)]())
  }
  const choice = chance()
  if (choice < 0.3) return []
  if (choice < 0.5) return [faults.pause()]
  if (choice < 0.65) return times(1 + Math.floor(chance() * 2), faults.cut)
  if (choice < 0.77) return [faults.loss()]
  if (choice < 0.87) return [faults.replicate(), faults.restart()]
  return times(2 + Math.floor(chance() * 2), () => faults[pick(chance, FAULTS)]())
}

export function tellOperation(operation: Operation): string {
  if (operation.what === 'clear') return 'clear()'
  if (operation.what === 'invalidateTags')
    return `invalidateTags(t${operation.mode === 'hard' ? '' : `, ${operation.mode}`})`
  if (operation.what !== 'getOrSet') return `${operation.what}(${operation.key})`
  return `getOrSet(${operation.key}${operation.style === 'plain' ? '' : `, ${operation.style}`})`
}

export function tellFault(fault: Fault): string {
  if (fault.what === 'pass') return `${fault.forMs} ms pass`
  if (fault.what === 'replicate') return 'a replica copies everything'
  if (fault.what === 'restart') {
    return fault.from === 'nothing' ? 'Redis is restarted, without data' : 'the replica takes over'
  }
  if (fault.what === 'lose') return `Redis loses ${fault.key}`
  const late = fault.isLate ? '; what is under way arrives late' : ''
  return `${PROCESSES[fault.process]!} loses its connection (${fault.role})${late}`
}
