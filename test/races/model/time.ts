/**
 * The time of the model. It passes only when the schedule says so, and belongs to all processes alike.
 *
 * bundle.ts puts its timers (globals.ts) in the place of Node's own wherever the library names it, so that the library
 * runs as it is and no test has to wait. Each timer belongs to the process that set it: one that is due fires when the
 * schedule lets that process go on, which may be later, as in life.
 */
type Callback = (...args: readonly unknown[]) => void

interface Timer {
  readonly owner: string
  readonly callback: () => void
  readonly intervalMs: number | undefined
  dueAt: number
  /** Of two that are due at the same moment the one that was set first comes first. */
  readonly order: number
}

/** What a timer's handle is good for beyond being cleared; nothing here keeps a process alive. */
class Handle {
  readonly timer: Timer

  constructor(timer: Timer) {
    this.timer = timer
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

const STARTS_AT_MS = 1_000_000

let nowMs = STARTS_AT_MS
let owner = ''
let orders = 0
let chance = 1
const timers = new Set<Timer>()

/** Begins anew: no timers, and the same chance as every time. */
export function resetTime(): void {
  nowMs = STARTS_AT_MS
  owner = ''
  orders = 0
  chance = 1
  timers.clear()
}

export function now(): number {
  return nowMs
}

/** From now on timers are set for this process. */
export function actAs(process: string): void {
  owner = process
}

export function pass(forMs: number): void {
  nowMs += forMs
}

/** When the next timer is due that is not due yet. */
export function nextDueAt(): number | undefined {
  let next: number | undefined
  for (const { dueAt } of timers) if (dueAt > nowMs && (next === undefined || dueAt < next)) next = dueAt
  return next
}

/** The timers that are due, the first of each process. */
export function dueTimers(): Timer[] {
  const first = new Map<string, Timer>()
  for (const timer of timers) {
    if (timer.dueAt > nowMs) continue
    const other = first.get(timer.owner)
    if (other === undefined || isBefore(timer, other)) first.set(timer.owner, timer)
  }
  return [...first.values()]
}

export function fire(timer: Timer): void {
  if (timer.intervalMs === undefined) timers.delete(timer)
  else timer.dueAt = Math.max(nowMs, timer.dueAt + timer.intervalMs)
  timer.callback()
}

function isBefore(one: Timer, other: Timer): boolean {
  return one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.order < other.order)
}

function start(callback: () => void, afterMs: number, intervalMs?: number): Handle {
  const timer: Timer = { owner, callback, intervalMs, dueAt: nowMs + afterMs, order: orders++ }
  timers.add(timer)
  return new Handle(timer)
}

export function setTimeout(callback: Callback, afterMs = 0, ...args: readonly unknown[]): Handle {
  return start(() => callback(...args), Math.max(0, afterMs))
}

export function setInterval(callback: Callback, everyMs = 1, ...args: readonly unknown[]): Handle {
  return start(() => callback(...args), Math.max(1, everyMs), Math.max(1, everyMs))
}

export function setImmediate(callback: Callback, ...args: readonly unknown[]): Handle {
  return start(() => callback(...args), 0)
}

export function clearTimeout(handle: Handle | undefined): void {
  if (handle !== undefined) timers.delete(handle.timer)
}

/** What `node:timers/promises` calls setTimeout. */
export function sleep(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(() => resolve(), forMs))
}

/** What `node:timers/promises` calls setImmediate. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => resolve()))
}

/** Chance is the same every time (mulberry32). */
export function random(): number {
  chance = (chance + 0x6d2b79f5) | 0
  let mixed = Math.imul(chance ^ (chance >>> 15), chance | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

/** Lets everything that is ready run, up to where the schedule has to decide again: ticks wait for all promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}
