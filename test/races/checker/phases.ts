/** The phases of a run: what the caches are told, and what happens to them meanwhile. */
import type { ChaosKind } from './chaos.ts'
import type { Conditions } from './messages.ts'
import type { Topology } from './site.ts'

export interface Phase extends Conditions {
  readonly chaos: readonly ChaosKind[]
}

const USUAL = { leaseMs: 500, waitMs: 20_000, valueBytes: 200, hasMemory: false }

/** Without faults: here every concurrent load wants a reason. */
const calm: Phase = { ...USUAL, name: 'calm', chaos: [] }

const REDIS: readonly Phase[] = [
  calm,
  { ...USUAL, name: 'delays', chaos: ['delay'] },
  { ...USUAL, name: 'connections', chaos: ['stall', 'cut', 'refuse', 'kill commands'] },
  { ...USUAL, name: 'outages', chaos: ['refuse'] },
  { ...USUAL, name: 'loss', chaos: ['flush', 'lose watermark', 'lose stamps', 'lose marker', 'forget scripts'] },
  { ...USUAL, name: 'rebirth', chaos: ['reborn'] },
  { ...USUAL, name: 'processes', chaos: ['pause', 'crash'] },
  { ...USUAL, name: 'short leases', leaseMs: 100, chaos: ['pause', 'delay'] },
  { ...USUAL, name: 'short patience', waitMs: 60, chaos: ['delay'] },
  { ...USUAL, name: 'eviction', valueBytes: 8000, chaos: ['evict'] },
  { ...USUAL, name: 'restarts', chaos: ['restart', 'cut'] },
]

const MEMORY: readonly Phase[] = [
  calm,
  { ...USUAL, name: 'delays', chaos: ['delay'] },
  { ...USUAL, name: 'silence', chaos: ['deafen', 'deafen', 'stall'] },
  { ...USUAL, name: 'lost touch', chaos: ['hang up', 'hang up', 'kill messages'] },
  { ...USUAL, name: 'connections', chaos: ['cut', 'refuse', 'hang up', 'hang up', 'kill commands', 'kill messages'] },
  { ...USUAL, name: 'loss', chaos: ['flush', 'lose watermark', 'lose stamps', 'lose marker', 'restart'] },
  { ...USUAL, name: 'processes', leaseMs: 300, chaos: ['pause', 'crash'] },
]

const MIXED: Phase = {
  ...USUAL,
  name: 'mixed',
  leaseMs: 300,
  chaos: [
    'delay',
    'delay',
    'stall',
    'deafen',
    'hang up',
    'cut',
    'refuse',
    'kill commands',
    'kill messages',
    'pause',
    'crash',
    'reborn',
    'flush',
    'lose watermark',
    'lose stamps',
    'lose marker',
    'forget scripts',
    'restart',
  ],
}

const RESHARDING: Phase = { ...USUAL, name: 'resharding', chaos: ['move slot'] }
const MASTERS: Phase = { ...USUAL, name: 'masters', chaos: ['kill master', 'hand over'] }
/** With slots on their way nearly all the time. */
const CLUSTER_MIXED: Phase = {
  ...USUAL,
  name: 'mixed',
  leaseMs: 300,
  chaos: [
    ...Array.from({ length: 12 }, () => 'move slot' as const),
    'kill master',
    'hand over',
    'kill commands',
    'kill messages',
    'pause',
    'crash',
    'flush',
    'forget scripts',
  ],
}
const SENTINEL_MIXED: Phase = { ...CLUSTER_MIXED, chaos: CLUSTER_MIXED.chaos.filter((kind) => kind !== 'move slot') }

/** The phases on each kind of Redis. */
export const PHASES: Readonly<Record<Topology, readonly Phase[]>> = {
  single: interleaved([...REDIS, MIXED], [...MEMORY, MIXED].map(withMemory)),
  cluster: alsoWithMemory([calm, RESHARDING, MASTERS, CLUSTER_MIXED]),
  sentinel: alsoWithMemory([calm, MASTERS, SENTINEL_MIXED]),
}

function alsoWithMemory(phases: readonly Phase[]): Phase[] {
  return interleaved(phases, phases.map(withMemory))
}

function withMemory(phase: Phase): Phase {
  return { ...phase, name: `${phase.name} l1`, hasMemory: true }
}

/** One of each in turn, so that a run that is cut short has seen both. */
function interleaved(some: readonly Phase[], others: readonly Phase[]): Phase[] {
  return Array.from({ length: Math.max(some.length, others.length) }, (_, i) => [some[i], others[i]])
    .flat()
    .filter((phase) => phase !== undefined)
}
