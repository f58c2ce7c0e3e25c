/** What a hit costs, and an entry takes, as entries, tags, sizes, processes and invalidations become more. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { createCache } from 'tidemark'
import { endChild } from '../harness/children.mjs'
import { DELAYS } from '../harness/delays.mjs'
import { callers, timed } from '../harness/loop.mjs'
import { cpuSeconds, FEEDING_CORE, MEASURED_CORE, pinProcess, pinSelf } from '../harness/machine.mjs'
import { record } from '../harness/payloads.mjs'
import { startRedisServer } from '../harness/redis-server.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { askedNames, heapBytes, store } from './stored.mjs'

const CONCURRENCY = 64
const MEASURED = ['redisCpuMicros', ...DELAYS]

pinSelf(MEASURED_CORE)
const suite = new Suite('growth')
const isShort = suite.form.isShort
const COUNTS = isShort ? [100, 1000] : [1000, 10_000, 100_000, 1_000_000]
const TAGS = isShort ? [0, 2] : [0, 1, 2, 5, 10, 50]
const SIZES = isShort ? [100, 10_000] : [100, 1000, 10_000, 100_000, 1_000_000]
const PROCESSES = isShort ? [1, 2] : [1, 2, 3, 4]
const RATES = isShort ? [0, 1000] : [0, 10, 100, 1000]
const STORED = isShort ? 100 : 5000
const BATCH = isShort ? 128 : 1280
const quiet = { info() {}, warn: console.warn, error: console.error }
const server = await startRedisServer()
const address = { host: server.host, port: server.port }
const plain = new Redis(server.address)
const open = []
const children = []

try {
  for (const part of [entries, tags, sizes, processes, invalidations]) {
    await server.admin.flushall()
    await part()
    await Promise.all(open.splice(0).map((cache) => cache.close()))
    await Promise.all(children.splice(0).map(endChild))
  }
  await suite.end(server.version)
} finally {
  await Promise.all(children.map(endChild))
  await Promise.all(open.map((cache) => cache.close()))
  plain.disconnect()
  await server.stop()
}

async function entries() {
  const contestants = []
  // In processes of their own: else the collector walks through the million for all of them.
  for (const count of COUNTS) {
    const memory = { maxEntries: count, maxBytes: '4gb' }
    const child = await startHitter({ redis: false, cache: { memory } })
    const facts = await ask(child, { order: 'fill', count })
    const against = `memory, ${COUNTS[0]} entries`
    contestants.push({ name: `memory, ${count} entries`, facts, against, measure: hitsOf([child], 1) })
  }
  for (const count of COUNTS) {
    const make = (i) => ({ id: i, name: `item number ${i}` })
    contestants.push(await grown('Redis', `${count} entries`, { count, make, against: `Redis, ${COUNTS[0]} entries` }))
  }
  await suite.run('hits as entries become more, 50 B objects', contestants, taking())
}

async function tags() {
  const contestants = []
  const make = (i) => record(i)
  for (const place of ['memory', 'memory in front of Redis', 'Redis']) {
    for (const each of TAGS) {
      const tagsOf = (i) => Array.from({ length: each }, (_, n) => `team:${(i * each + n) % 1000}`)
      const against = `${place}, 0 tags`
      contestants.push(await grown(place, `${each} tags`, { count: STORED, make, tagsOf, against }))
    }
  }
  await suite.run('hits as tags become more, 1 KB objects', contestants, taking())
}

async function sizes() {
  const contestants = []
  for (const size of SIZES) {
    // Many, or what the process does besides shows in the bytes of an entry.
    const count = Math.min(STORED, Math.ceil(20_000_000 / size))
    const make = () => textsOf(size)
    const byHand = `ioredis get + JSON.parse, ${size} B`
    contestants.push(
      await grown('memory', `${size} B`, { count, make, against: `memory, ${SIZES[0]} B` }),
      await readByHand(byHand, { count, make, size }),
      await grown('Redis', `${size} B`, { count, make, against: byHand }),
    )
  }
  await suite.run('hits as values become larger', contestants, taking())
}

/** Several processes share what the measured core can do; the server's CPU time per hit is what counts. */
async function processes() {
  const config = { redis: address, cache: { keyPrefix: 'processes:' } }
  const hitters = []
  for (let i = 0; i < PROCESSES.at(-1); i++) hitters.push(await startHitter(config))
  for (const [i, child] of hitters.entries()) await ask(child, { order: 'fill', count: 1000, isStored: i > 0 })
  const contestants = PROCESSES.map((count) => ({
    name: `${count} process${count === 1 ? '' : 'es'}`,
    measured: ['redisCpuMicros'],
    against: '1 process',
    measure: hitsOf(hitters.slice(0, count), CONCURRENCY),
  }))
  await suite.run('Redis hits of several processes on one core, 50 B objects', contestants, taking())
}

/** How hits by processes of their own are measured. */
function hitsOf(hitters, concurrency) {
  return async (ms) => {
    const redisBefore = cpuSeconds(server.pid)
    const startedAt = performance.now()
    const answers = await Promise.all(hitters.map((child) => ask(child, { order: 'hit', concurrency, ms })))
    const seconds = (performance.now() - startedAt) / 1000
    const sum = (field) => answers.reduce((total, it) => total + it[field], 0)
    const operations = sum('operations')
    const redisCpuMicros = ((cpuSeconds(server.pid) - redisBefore) * 1e6) / operations
    return { operations, seconds, cpuMicros: sum('cpuMicros'), redisCpuMicros }
  }
}

/** The processes that take part. */
function taking() {
  return { pids: [server.pid, ...children.map(({ pid }) => pid)] }
}

/** Another process invalidates tags that the entries do not have. */
async function invalidations() {
  const contestants = []
  for (const place of ['memory in front of Redis', 'Redis']) {
    const keyPrefix = `stirred${place.length}:`
    const cache = openCache(place, { keyPrefix, count: 1000 })
    await store(cache, { count: 1000, make: record })
    const child = await startHitter({ redis: address, cache: { keyPrefix } })
    pinProcess(FEEDING_CORE, child.pid)
    for (const perSecond of RATES) {
      const against = `${place}, ${RATES[0]} per second`
      const it = contestant(`${place}, ${perSecond} per second`, cache, { count: 1000, against })
      const measure = async (ms) => {
        await ask(child, { order: 'invalidate', perSecond })
        const sample = await it.measure(ms)
        await ask(child, { order: 'invalidate', perSecond: 0 })
        return sample
      }
      contestants.push({ ...it, measure })
    }
  }
  await suite.run('hits as invalidations by another process become more, 1 KB objects', contestants, taking())
}

/** A cache of so many entries, how it is measured, and what an entry takes. */
async function grown(place, title, { count, make, tagsOf, against }) {
  const keyPrefix = `${title.replaceAll(/\W/g, '')}${place.length}:`
  const heapBefore = await heapBytes()
  const redisBefore = await redisBytes()
  const cache = openCache(place, { keyPrefix, count })
  await store(cache, { count, make, tagsOf })
  // Memory in front of Redis holds what was read.
  if (place !== 'Redis') for (let i = 0; i < count; i++) await cache.get(`item_${i}`)
  const facts = place === 'Redis' ? {} : { heapBytes: ((await heapBytes()) - heapBefore) / count }
  if (place !== 'memory') facts.redisBytes = ((await redisBytes()) - redisBefore) / count
  return contestant(`${place}, ${title}`, cache, { count, facts, against })
}

function contestant(name, cache, { count: stored, ...more }) {
  const names = askedNames(stored)
  const get = async (i) => {
    if ((await cache.get(names[i % names.length])) === undefined) expect(false, `${name}: ${names[i % names.length]}`)
  }
  const hits = async (count) => {
    for (let i = 0; i < count; i++) await get(i)
    await turn()
  }
  if (name.startsWith('memory')) return { name, measure: timed(BATCH, hits), ...more }
  const asked = (count, latencies) => callers(CONCURRENCY, count, get, latencies)
  const measure = timed(Math.min(BATCH, 5 * names.length), asked, { redisPid: server.pid })
  return { name, measure, measured: MEASURED, ...more }
}

async function readByHand(name, { count, make, size }) {
  for (const key of askedNames(count)) await plain.set(`${size}${key}`, JSON.stringify(make()))
  const cache = { get: async (key) => JSON.parse(await plain.get(`${size}${key}`)) }
  return contestant(name, cache, { count })
}

function openCache(place, { keyPrefix, count }) {
  const redis = place === 'memory' ? false : address
  const memory = { maxEntries: count, maxBytes: '4gb' }
  const cache = createCache({ redis, logger: quiet, cache: { keyPrefix, memory, l1: place.includes(' in front of ') } })
  open.push(cache)
  return cache
}

/** A value whose JSON has about so many bytes: a list of short texts. */
function textsOf(size) {
  const text = 'a text of usual length, as lists of names and titles hold it '
  const length = Math.max(1, Math.round(size / (text.length + 3)))
  const texts = Array.from({ length }, (_, i) => `${text}${i}`.slice(-text.length))
  // Strings of their own, not views of longer ones.
  return JSON.parse(JSON.stringify(texts))
}

async function redisBytes() {
  return Number(/used_memory:(\d+)/.exec(await server.admin.info('memory'))[1])
}

async function startHitter(config) {
  const path = fileURLToPath(new URL('hitter.mjs', import.meta.url))
  const child = fork(path, [JSON.stringify(config)], { execArgv: ['--expose-gc'] })
  children.push(child)
  await once(child, 'message')
  return child
}

async function ask(child, order) {
  child.send(order)
  const [answer] = await once(child, 'message')
  return answer
}
