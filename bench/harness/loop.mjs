/** How operations are counted and timed in this process. */
import { cpuSeconds, ownCpuMicros } from './machine.mjs'

/**
 * `measure` for a contestant: repeats `run(batch)`, which does `batch` operations, until the time is over.
 *
 * Each contestant brings a loop of its own, so that the engine sees one kind of call in it, as in an application.
 */
export function timed(batch, run, { redisPid } = {}) {
  return async (ms) => {
    const redisBefore = redisPid === undefined ? 0 : cpuSeconds(redisPid)
    const cpuBefore = ownCpuMicros()
    const startedAt = performance.now()
    let operations = 0
    do {
      await run(batch)
      operations += batch
    } while (performance.now() - startedAt < ms)
    const seconds = (performance.now() - startedAt) / 1000
    const cpuMicros = ownCpuMicros() - cpuBefore
    if (redisPid === undefined) return { operations, seconds, cpuMicros }
    return { operations, seconds, cpuMicros, redisCpuMicros: ((cpuSeconds(redisPid) - redisBefore) * 1e6) / operations }
  }
}

/** So many callers at once, each of which asks again as soon as it is answered: `count` calls of `operate(i)` in all. */
export async function callers(concurrency, count, operate) {
  let next = 0
  const caller = async () => {
    while (next < count) await operate(next++)
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
}
