/**
 * A cache in a process of its own: `hitter.mjs <config>`. On an order it stores entries, asks for them for a while, or
 * invalidates tags at a rate. It needs `--expose-gc`.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { createCache } from 'tidemark'
import { callers } from '../harness/loop.mjs'
import { ownCpuMicros } from '../harness/machine.mjs'
import { askedNames, heapBytes, store } from './stored.mjs'

const BATCH = 640
/** Invalidations are sent in groups, so often. */
const GROUP_MS = 10

const cache = createCache(JSON.parse(process.argv[2]))
await cache.ping()
let names = []
let timer

const ORDERS = { fill, hit, invalidate }

process.on('message', async ({ order, ...options }) => {
  process.send(await ORDERS[order](options))
})
process.on('disconnect', () => process.exit())
process.send({ isReady: true })

/** Stores small objects, unless `isStored`: then another process has. The answer is what an entry takes here. */
async function fill({ count, isStored = false }) {
  names = askedNames(count)
  const before = await heapBytes()
  if (!isStored) await store(cache, { count, make: (i) => ({ id: i, name: `item number ${i}` }) })
  return { heapBytes: ((await heapBytes()) - before) / count }
}

/** So many callers for `ms`; the answer is what was done, and the CPU time it took. */
async function hit({ concurrency, ms }) {
  const get = async (i) => {
    if ((await cache.get(names[i % names.length])) === undefined) throw new Error(`expected ${names[i % names.length]}`)
  }
  const startedAt = performance.now()
  const cpuBefore = ownCpuMicros()
  let operations = 0
  let i = 0
  while (performance.now() - startedAt < ms) {
    if (concurrency > 1) await callers(concurrency, BATCH, get)
    else for (let left = BATCH; left > 0; left--) await get(i++)
    await turn()
    operations += BATCH
  }
  return { operations, cpuMicros: ownCpuMicros() - cpuBefore }
}

/** From now on so many invalidations per second, of tags that no entry has; 0 for none. */
function invalidate({ perSecond }) {
  clearInterval(timer)
  const startedAt = performance.now()
  let done = 0
  const group = () => {
    const due = Math.floor(((performance.now() - startedAt) / 1000) * perSecond)
    for (; done < due; done++) void cache.invalidateTags(`elsewhere:${done % 1000}`)
  }
  if (perSecond > 0) timer = setInterval(group, GROUP_MS)
  return { perSecond }
}
