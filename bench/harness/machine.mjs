/** The machine a benchmark runs on: what it is, which core does what, and how much of it others are using. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, type } from 'node:os'

/** Linux counts CPU time in hundredths of a second, whatever its kernel does inside. */
const TICKS_PER_SECOND = 100

/** What is measured runs on one core; what feeds it (Redis, the load generator) on another. */
export const MEASURED_CORE = 0
export const FEEDING_CORE = 1

export function describeMachine(redisVersion) {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    // Of the machine: this process may be bound to one of them.
    cores: cpus().length,
    system: `${type()} ${release()}`,
    node: process.version,
    redis: redisVersion,
    pinned: canPin,
  }
}

/** Whether processes can be bound to cores, and there are two of them. */
const canPin = availableParallelism() > 1 && hasTaskset()

function hasTaskset() {
  try {
    execFileSync('taskset', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Binds this process, with all of its threads, to a core; what it starts from now on inherits that. */
export function pinSelf(core) {
  pinProcess(core, process.pid)
}

/** The same for another process. */
export function pinProcess(core, pid) {
  if (canPin) execFileSync('taskset', ['-acp', String(core), String(pid)], { stdio: 'ignore' })
}

/** The command that starts a program on a core. */
export function pinned(core, program, args) {
  return canPin ? ['taskset', ['-c', String(core), program, ...args]] : [program, args]
}

/**
 * The CPU time that everybody but `pids` uses between two calls of `since`. It is the time that was neither idle nor
 * ours, so it includes processes that come and go, and what the hypervisor gives to other machines.
 */
export class Others {
  #before
  #pids

  constructor(pids) {
    this.#pids = pids
    this.#before = snapshot(pids)
  }

  /** In cores: 0.1 is a tenth of one. Undefined where there is no /proc. */
  cores() {
    if (this.#before === undefined) return undefined
    const after = snapshot(this.#pids)
    const seconds = (after.at - this.#before.at) / 1000
    const used = seconds * cpus().length - (after.idle - this.#before.idle) - (after.own - this.#before.own)
    return Math.max(0, used / seconds)
  }
}

function snapshot(pids) {
  try {
    const [, , , , idle, ioWait] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].split(/\s+/)
    const own = pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)
    return { at: performance.now(), idle: (Number(idle) + Number(ioWait)) / TICKS_PER_SECOND, own }
  } catch {
    return undefined
  }
}

/** User and system time of a process, all threads; 0 where there is no /proc. */
export function cpuSeconds(pid) {
  if (pid === process.pid) return ownCpuMicros() / 1e6
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold anything; what follows it is numbers.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
  } catch {
    return 0
  }
}

export function ownCpuMicros() {
  const { user, system } = process.cpuUsage()
  return user + system
}
