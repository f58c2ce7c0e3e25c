/** How operations are counted and timed in this process. */
import { Latencies, LoopDelay } from './delays.mjs'
import { cpuSeconds, ownCpuMicros } from './machine.mjs'

/**
 * `measure` for a contestant: repeats `run(batch, latencies)`, which does `batch` operations, until the time is over.
 *
 * Each contestant brings a loop of its own, so that the engine sees one kind of call in it, as in an application. With
 * `redisPid` the CPU time of that server is measured too, and how long answers and the event loop take.
 */
export function timed(batch, run, { redisPid } = {}) {
  return async (ms) => {
    const isWatched = redisPid !== undefined
    const redisBefore = isWatched ? cpuSeconds(redisPid) : 0
    const latencies = new Latencies()
    const delay = isWatched ? new LoopDelay() : undefined
    const cpuBefore = ownCpuMicros()
    const startedAt = performance.now()
    let operations = 0
    do {
      await run(batch, latencies)
      operations += batch
    } while (performance.now() - startedAt < ms)
    const seconds = (performance.now() - startedAt) / 1000
    const cpuMicros = ownCpuMicros() - cpuBefore
    const delays = { ...latencies.outcome(), ...delay?.outcome() }
    if (!isWatched) return { operations, seconds, cpuMicros, ...delays }
    const redisCpuMicros = ((cpuSeconds(redisPid) - redisBefore) * 1e6) / operations
    return { operations, seconds, cpuMicros, redisCpuMicros, ...delays }
  }
}

/**
 * So many callers at once, each of which asks again as soon as it is answered: `count` calls of `operate(i)` in all, whose
 * times go to `latencies`, if given.
 */
export async function callers(concurrency, count, operate, latencies) {
  let next = 0
  const caller = async () => {
    while (next < count) await operate(next++)
  }
  const watched = async () => {
    while (next < count) {
      const askedAt = performance.now()
      await operate(next++)
      latencies.record(performance.now() - askedAt)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, latencies === undefined ? caller : watched))
}
