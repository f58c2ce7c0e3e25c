/** A hit in memory, against the least that an asynchronous cache can do, a Map behind a promise, and other caches. */
import { createCache } from 'tidemark'
import { timed } from '../harness/loop.mjs'
import { MEASURED_CORE, pinSelf } from '../harness/machine.mjs'
import { itemPage, record } from '../harness/payloads.mjs'
import { cpuMicrosAtMost } from '../harness/report.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { PEERS } from '../peers/measured.mjs'

const BATCH = 10_000
const PEER_BATCH = 1000
const COPIED = 'Map + promise, 20 KB Buffer, copied'

pinSelf(MEASURED_CORE)
const suite = new Suite('memory')
const KEYS = suite.form.isShort ? 100 : 1000
const names = Array.from({ length: KEYS }, (_, i) => `user_${i}`)
const quiet = { info() {}, warn: console.warn, error: console.error }

const records = await filled(record, true)
const uncounted = await filled(record, false)
const pages = await filled(itemPage, true)
const bytes = await filled((i) => Buffer.from(JSON.stringify(itemPage(i))), true)
const peers = await Promise.all(PEERS.memory.map(openPeer))
const fail = () => expect(false, 'a hit does not load')

const contestants = [
  { name: 'Map + promise, 1 KB', isLimit: true, measure: timed(BATCH, mapLoop(records.map)) },
  { name: 'get, 1 KB', measure: timed(BATCH, getLoop(records)), target: cpuMicrosAtMost(0.5) },
  { name: 'getOrSet, 1 KB', measure: timed(BATCH, getOrSetLoop(records)), target: cpuMicrosAtMost(0.5) },
  {
    name: 'getOrSet, 1 KB, no statistics',
    measure: timed(BATCH, getOrSetLoop(uncounted)),
    target: cpuMicrosAtMost(0.4),
  },
  { name: 'getOrSet, 1 KB, options of its own', measure: timed(BATCH, getOrSetWithOptionsLoop(records)) },
  { name: 'getOrSet, 20 KB', measure: timed(BATCH, getOrSetLoop(pages)), target: cpuMicrosAtMost(0.5) },
  // Bytes cannot be frozen: each caller gets a copy.
  { name: COPIED, against: COPIED, measure: timed(BATCH, mapCopyLoop(bytes.map)) },
  {
    name: 'getOrSet, 20 KB Buffer',
    against: COPIED,
    measure: timed(BATCH, getOrSetLoop(bytes)),
  },
  ...peers.map(({ name, read }) => ({ name, isPeer: true, measure: timed(PEER_BATCH, readLoop(read)) })),
]
await suite.run('hit in memory', contestants, { facts: { keys: KEYS, callers: 1 } })
for (const { cache } of [records, uncounted, pages, bytes]) await cache.close()
for (const { close } of peers) await close()
await suite.end()

/** A cache and a Map that hold the same. */
async function filled(make, enableStatistics) {
  const memory = { maxBytes: '256mb' }
  const cache = createCache({ redis: false, logger: quiet, cache: { enableStatistics, memory } }).namespace('users')
  const map = new Map()
  for (const [i, name] of names.entries()) {
    await cache.set(name, make(i), { ttl: '1h' })
    const value = await cache.get(name)
    expect(JSON.stringify(value) === JSON.stringify(make(i)), name)
    map.set(name, value)
  }
  return { cache, map }
}

/** Another cache that holds the records of 1 KB. */
async function openPeer({ name, open }) {
  const numbers = new Map(names.map((key, i) => [key, i]))
  const { read, close } = await open({ load: async (key) => record(numbers.get(key)) })
  for (const [i, key] of names.entries()) {
    await read(key)
    expect((await read(key)).id === i, `${name}: ${key}`)
  }
  return { name: `${name}, 1 KB`, read, close }
}

function readLoop(read) {
  return async (count) => {
    for (let i = 0; i < count; i++) if ((await read(names[i % KEYS])) === undefined) fail()
  }
}

function mapLoop(map) {
  const get = async (name) => map.get(name)
  return async (count) => {
    for (let i = 0; i < count; i++) if ((await get(names[i % KEYS])) === undefined) fail()
  }
}

function mapCopyLoop(map) {
  const get = async (name) => Buffer.from(map.get(name))
  return async (count) => {
    for (let i = 0; i < count; i++) if ((await get(names[i % KEYS])) === undefined) fail()
  }
}

function getLoop({ cache }) {
  return async (count) => {
    for (let i = 0; i < count; i++) if ((await cache.get(names[i % KEYS])) === undefined) fail()
  }
}

function getOrSetLoop({ cache }) {
  return async (count) => {
    for (let i = 0; i < count; i++) if ((await cache.getOrSet(names[i % KEYS], fail)) === undefined) fail()
  }
}

/** As it is written in applications: the options are a new object for each call. */
function getOrSetWithOptionsLoop({ cache }) {
  return async (count) => {
    for (let i = 0; i < count; i++) {
      const value = await cache.getOrSet(names[i % KEYS], fail, { ttl: '1h', namespace: 'users' })
      if (value === undefined) fail()
    }
  }
}
