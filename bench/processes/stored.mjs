/** The entries of the benchmarks of growth: how they are stored, which of them are asked for, and what they take. */
import { setImmediate as turn } from 'node:timers/promises'
import { callers } from '../harness/loop.mjs'
import { expect } from '../harness/suite.mjs'

const OPTIONS = { ttl: '1h' }
/** Entries of one `setMany`. */
const GROUP = 500
/** Entries with tags of their own that are stored at once. */
const AT_ONCE = 64
/** Keys that are asked for, spread over all there are. */
const ASKED = 10_000

/** Stores so many entries; `tagsOf(i)` names the tags of each. */
export async function store(cache, { count, make, tagsOf }) {
  if (tagsOf === undefined) {
    for (let from = 0; from < count; from += GROUP) {
      const group = Array.from({ length: Math.min(GROUP, count - from) }, (_, i) => [
        `item_${from + i}`,
        make(from + i),
      ])
      await cache.setMany(group, OPTIONS)
    }
  } else {
    await callers(AT_ONCE, count, (i) => cache.set(`item_${i}`, make(i), { ...OPTIONS, tags: tagsOf(i) }))
  }
  for (const name of askedNames(count).slice(0, 100)) expect((await cache.get(name)) !== undefined, name)
}

/** Of so many entries, in no order of age; each once before one comes again. */
export function askedNames(count) {
  return Array.from({ length: Math.min(count, ASKED) }, (_, i) => `item_${(i * 7919) % count}`)
}

/** What all that this process holds takes, garbage left out. */
export async function heapBytes() {
  for (let i = 0; i < 2; i++) {
    await turn()
    globalThis.gc()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
