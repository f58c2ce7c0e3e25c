/** A process of the checker: a cache of its own, callers that read, an owner that writes. */
import type { Contestant } from './contestant.ts'
import { keysOf } from './keys.ts'
import { Loading } from './loading.ts'
import {
  COMMAND_TIMEOUT_MS,
  LAG_EVERY_MS,
  LAG_SHARE,
  MAX_STALENESS_MS,
  type ProcessSetup,
  type ToProcess,
} from './messages.ts'
import { Random } from './random.ts'
import { Reader, type ReaderParts } from './reader.ts'
import { Reporting, say } from './reporting.ts'
import { now } from './time.ts'
import { Truth } from './truth.ts'
import { Writer } from './writer.ts'

const READERS = 16
const WRITERS = 2

const setup = JSON.parse(process.argv[2]!) as ProcessSetup
let isFinishing = false
let onClear: () => void = () => undefined

async function prepare(): Promise<ReaderParts> {
  const { contestant } = (await import(setup.contestantUrl)) as { contestant: Contestant }
  const { leaseMs, waitMs, hasMemory } = setup.conditions
  const cache = await contestant.create({
    ...setup,
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    leaseMs,
    waitMs,
    maxStalenessMs: hasMemory ? MAX_STALENESS_MS : undefined,
  })
  const truth = Truth.open(setup.truthPath)
  const reporting = new Reporting()
  const faults = new Map<string, number>()
  cache.onFault?.((key) => {
    if (key !== undefined) faults.set(key, (faults.get(key) ?? 0) + 1)
    const at = now()
    reporting.add('troubles', { kind: 'fault', process: setup.process, from: at - COMMAND_TIMEOUT_MS, to: at })
  })
  const random = new Random(setup.seed, setup.process, setup.life)
  const loading = new Loading({ setup, truth, random, reporting })
  return { setup, cache, truth, reporting, random, loading, faults, keys: keysOf(setup.processes), own: new Map() }
}

/** Tells of the times in which this process did not run, or hardly. */
function watchLag({ reporting }: ReaderParts): void {
  const lagMs = setup.conditions.leaseMs * LAG_SHARE
  let last = now()
  setInterval(() => {
    const at = now()
    if (at - last > LAG_EVERY_MS + lagMs)
      reporting.add('troubles', { kind: 'lag', process: setup.process, from: last, to: at })
    last = at
  }, LAG_EVERY_MS)
}

async function run(parts: ReaderParts): Promise<void> {
  const { cache, reporting } = parts
  const isOver = (): boolean => isFinishing
  const seen = new Map<number, number>()
  watchLag(parts)
  reporting.begin()
  const writer = new Writer(parts)
  onClear = () => void writer.clear()
  await Promise.all([
    ...Array.from({ length: READERS }, () => new Reader(parts, seen).readUntil(isOver)),
    ...Array.from({ length: WRITERS }, () => writer.invalidateUntil(isOver)),
    writer.setUntil(isOver),
    writer.deliverUntil(isOver),
  ])
  Object.assign(reporting.counts, cache.counts?.())
  reporting.send()
  say({ kind: 'done' })
}

const begun = new Promise<void>((resolve) => {
  process.on('message', (message: ToProcess) => {
    if (message === 'begin') resolve()
    if (message === 'clear') onClear()
    if (message === 'finish') isFinishing = true
  })
})
process.on('disconnect', () => process.exit())

const parts = await prepare()
// The connection stands before anybody is in a hurry, and nothing is known of the stamps yet.
await parts.cache.get?.('a/nothing').catch(() => undefined)
say({ kind: 'up' })
await begun
await run(parts)
