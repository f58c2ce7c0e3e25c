/** How long a value of 1 MB keeps the event loop from everybody else: storing it and reading it, compressed and not. */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { createCache } from 'tidemark'
import { LOOP_STEP_MS, LoopDelay } from '../harness/delays.mjs'
import { MEASURED_CORE, ownCpuMicros, pinSelf } from '../harness/machine.mjs'
import { itemPage } from '../harness/payloads.mjs'
import { startRedisServer } from '../harness/redis-server.mjs'
import { longestBlockAtMost } from '../harness/report.mjs'
import { expect, Suite } from '../harness/suite.mjs'

const BYTES = 1024 * 1024
const MOST_MS = 10
/** So long for the monitor to see the end of the last block. */
const MONITOR_MS = 3

pinSelf(MEASURED_CORE)
const suite = new Suite('block')
const OPERATIONS = suite.form.isShort ? 2 : 10
const quiet = { info() {}, warn: console.warn, error: console.error }
const server = await startRedisServer()
const text = JSON.stringify(megabyte())
const items = megabyte().length
const target = longestBlockAtMost(MOST_MS)
const caches = []

try {
  const contestants = [
    { name: 'JSON.stringify', isLimit: true, measure: measured(megabyte, (value) => JSON.stringify(value)) },
    { name: 'JSON.parse', isLimit: true, measure: measured(() => text, JSON.parse) },
    ...(await pairOf('memory', { redis: false })),
    ...(await pairOf('Redis', {})),
    ...(await pairOf('Redis, gzip', { compressionEnabled: true, compressionAlgorithm: 'gzip' })),
    ...(await pairOf('Redis, brotli', { compressionEnabled: true, compressionAlgorithm: 'brotli' })),
  ].map((it) => ({ ...it, measured: ['blockMs'] }))
  const options = { pids: [server.pid], facts: { valueBytes: text.length, operationsPerSlot: OPERATIONS } }
  await suite.run('the longest block by a JSON value of 1 MB', contestants, options)
  await suite.end(server.version)
} finally {
  for (const cache of caches) await cache.close()
  await server.stop()
}

/** A list of items whose JSON has 1 MB. */
function megabyte() {
  const { items: page } = itemPage(0)
  const copies = Math.ceil(BYTES / JSON.stringify(page).length)
  return Array.from({ length: copies * page.length }, (_, i) => ({ ...page[i % page.length] }))
}

/** `set` and `get` of one cache. */
async function pairOf(name, { redis = { host: server.host, port: server.port }, ...options }) {
  const prefix = `${name.replaceAll(/\W/g, '')}:`
  const config = { redis, logger: quiet, cache: { keyPrefix: prefix, memory: { maxBytes: '512mb' }, ...options } }
  const cache = createCache(config)
  caches.push(cache)
  await cache.set('stored', megabyte())
  expect(JSON.stringify(await cache.get('stored')) === text, name)
  let made = 0
  const get = async () => expect((await cache.get('stored')).length === items, name)
  const set = (value) => cache.set(`value_${made++ % OPERATIONS}`, value)
  return [
    { name: `${name}, set`, target, measure: measured(megabyte, set) },
    { name: `${name}, get`, target, measure: measured(() => undefined, get) },
  ]
}

/** One operation after the other, each on an input of its own that was made before. */
function measured(make, operate) {
  return async () => {
    const inputs = Array.from({ length: OPERATIONS }, make)
    globalThis.gc()
    await turn()
    const delay = new LoopDelay()
    const startedAt = performance.now()
    const cpuBefore = ownCpuMicros()
    for (const input of inputs) {
      await operate(input)
      // The monitor is a timer: it must have its turn.
      await turn()
    }
    const seconds = (performance.now() - startedAt) / 1000
    const cpuMicros = ownCpuMicros() - cpuBefore
    await sleep(MONITOR_MS)
    const { loopMaxMs } = delay.outcome()
    // A block may begin at any time of the monitor's step: this is what it took at most.
    return { operations: OPERATIONS, seconds, cpuMicros, blockMs: loopMaxMs + LOOP_STEP_MS }
  }
}
