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
export function newProgram(chance: Chance): Program {
  const tiers = times(chance() < 0.8 ? 2 : 3, () => chance() < 0.6)
  const choice: Choice = {
    reads: times(2, () => pick(chance, READS)),
    writes: times(2, () => pick(chance, WRITES)),
    others: times(1, () => pick(chance, OTHERS)),
  }
  const acts = times(3 + Math.floor(chance() * 6), () => {
    const process = Math.floor(chance() * tiers.length)
    return { process, operation: newOperation(chance, choice), isLate: false }
  })
  const events: (Omit<Act, 'id'> | { readonly fault: Fault })[] = acts
  let at = 0
  for (const fault of newFaults(chance, tiers.length)) {
    at += Math.floor(chance() * (events.length + 1 - at))
    events.splice(at, 0, { fault })
  }
  // What is wrong at the end is seen by somebody.
  for (const process of tiers.keys()) events.push({ process, operation: get('a'), isLate: true })
  return { tiers, isWarm: chance() < 0.85, events: events.map((event, id) => ({ ...event, id })) }
}

/** An operation, but for its key. */
type Kind = (key: string) => Operation

interface Choice {
  readonly reads: readonly Kind[]
  readonly writes: readonly Kind[]
  readonly others: readonly Kind[]
}

const load = (style: LoadStyle): Kind => {
  return (key) => ({ what: 'getOrSet', key, style })
}
const get: Kind = (key) => ({ what: 'get', key })
const tags = (mode: Invalidation): Kind => {
  return () => ({ what: 'invalidateTags', mode })
}

const READS: readonly Kind[] = [get, load('plain'), load('plain'), load('learnt'), load('stale')]
const WRITES: readonly Kind[] = [
  (key) => ({ what: 'delete', key }),
  (key) => ({ what: 'delete', key }),
  tags('hard'),
  tags('hard'),
  tags('soft'),
  tags('strict'),
  () => ({ what: 'clear' }),
]
const OTHERS: readonly Kind[] = [
  load('failing'),
  load('forced'),
  (key) => ({ what: 'fill', key }),
  (key) => ({ what: 'set', key }),
  (key) => ({ what: 'expire', key }),
]

function newOperation(chance: Chance, { reads, writes, others }: Choice): Operation {
  const choice = chance()
  const kinds = choice < 0.6 ? reads : choice < 0.88 ? writes : others
  return pick(chance, kinds)(chance() < 0.92 ? 'a' : 'b')
}

const PAUSES_MS = [150, MAX_STALENESS_MS, LEASE_MS, 2500]
const LOSSES = ['everything', 'everything', 'w', 't', 't', 'k:a', 'l:a', 'm'] as const

function newFaults(chance: Chance, processes: number): Fault[] {
  const pause = (): Fault => ({ what: 'pass', forMs: pick(chance, PAUSES_MS) })
  const cut = (): Fault => {
    const role = chance() < 0.5 ? 'commands' : 'ear'
    return { what: 'cut', process: Math.floor(chance() * processes), role, isLate: chance() < 0.5 }
  }
  const loss = (): Fault => ({ what: 'lose', key: pick(chance, LOSSES) })
  const restart = (): Fault => ({ what: 'restart', from: pick(chance, ['nothing', 'replica'] as const) })
  const choice = chance()
  if (choice < 0.3) return []
  if (choice < 0.5) return [pause()]
  if (choice < 0.65) return times(1 + Math.floor(chance() * 2), cut)
  if (choice < 0.77) return [loss()]
  if (choice < 0.87) return [{ what: 'replicate' }, restart()]
  return times(2 + Math.floor(chance() * 2), () => pick(chance, [pause, cut, loss, restart])())
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
