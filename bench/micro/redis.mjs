/** Hits, misses and bytes on Redis, against what ioredis does when a program calls it by hand, and other caches. */
import { Redis } from 'ioredis'
import { createCache } from 'tidemark'
import { DELAYS } from '../harness/delays.mjs'
import { callers, timed } from '../harness/loop.mjs'
import { MEASURED_CORE, pinSelf } from '../harness/machine.mjs'
import { itemPage, record } from '../harness/payloads.mjs'
import { ratioAtLeast } from '../harness/report.mjs'
import { commandsOf, startRedisServer } from '../harness/redis-server.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { PEERS } from '../peers/measured.mjs'

const HOUR_MS = '3600000'
const MEASURED = ['redisCpuMicros', ...DELAYS]
const OPTIONS = { ttl: '1h' }
/** Keys of one `getMany`. */
const PAGE = 50

pinSelf(MEASURED_CORE)
const suite = new Suite('redis')
const CALLERS = suite.form.isShort ? [1, 64] : [1, 64, 256]
const KEYS = suite.form.isShort ? 100 : 1000
const server = await startRedisServer()
const plain = new Redis(server.address)
const pipelined = new Redis({ ...server.address, enableAutoPipelining: true })
let users = openCache()
const names = Array.from({ length: KEYS }, (_, i) => `user_${i}`)
const janitor = new Redis(server.address)
const running = { pids: [server.pid] }
const redisPid = server.pid
const fail = () => expect(false, 'a hit does not load')

try {
  for (const concurrency of CALLERS) await hits(concurrency)
  for (const concurrency of [1, 64]) await bytes(concurrency)
  await taggedHits(64)
  await many()
  for (const concurrency of CALLERS) await misses(concurrency)
  await sizes()
  await suite.end(server.version)
} finally {
  await users.close()
  plain.disconnect()
  pipelined.disconnect()
  janitor.disconnect()
  await server.stop()
}

/** Redis is empty. A cache that saw it full would distrust what it stores, until it has seen that Redis lost all. */
async function empty() {
  await users.close()
  await server.admin.flushall()
  users = openCache()
  await users.ping()
}

function openCache() {
  return createCache({ redis: { host: server.host, port: server.port } }).namespace('users')
}

function batchOf(concurrency) {
  if (suite.form.isShort) return concurrency === 1 ? 20 : 256
  return concurrency === 1 ? 500 : 6400
}

/** A contestant that is timed together with the Redis server's own CPU time. */
function contestant(name, concurrency, operate, more = {}) {
  const run = (count, latencies) => callers(concurrency, count, operate, latencies)
  return { name, measure: timed(batchOf(concurrency), run, { redisPid }), measured: MEASURED, ...more }
}

async function hits(concurrency) {
  await empty()
  for (let i = 0; i < KEYS; i++) {
    await plain.set(names[i], JSON.stringify(record(i)), 'PX', HOUR_MS)
    await users.set(names[i], record(i), OPTIONS)
  }
  const parsed = (redis) => async (i) => {
    const value = JSON.parse(await redis.get(names[i % KEYS]))
    if (value.id !== i % KEYS) expect(false, names[i % KEYS])
  }
  const get = async (i) => {
    const value = await users.get(names[i % KEYS])
    if (value.id !== i % KEYS) expect(false, names[i % KEYS])
  }
  const getOrSet = async (i) => {
    const value = await users.getOrSet(names[i % KEYS], fail, OPTIONS)
    if (value.id !== i % KEYS) expect(false, names[i % KEYS])
  }
  const peers = await openPeers(() => true)
  const commands = await commandsOf(server, () => get(1))
  expect(commands.length === 1, `one command per hit, got ${commands}`)
  const contestants = [
    contestant('ioredis get + JSON.parse', concurrency, parsed(plain), { isLimit: true }),
    contestant('ioredis auto-pipelined get + JSON.parse', concurrency, parsed(pipelined), { isLimit: true }),
    contestant('get', concurrency, get, { target: ratioAtLeast(0.9), facts: { commands } }),
    contestant('getOrSet', concurrency, getOrSet, { target: ratioAtLeast(0.9) }),
    ...peers.map(({ name, read }) => contestant(name, concurrency, readPeer(read), { isPeer: true })),
  ]
  await suite.run(`Redis hit, 1 KB object, ${callersText(concurrency)}`, contestants, running)
  await closeAll(peers)
}

/** Other caches of those that are `wanted`: each in a database of its own, for their keys are alike. */
async function openEmptyPeers(wanted, setup) {
  const opened = []
  for (const [i, peer] of PEERS.redis.entries()) {
    if (!suite.takes({ isPeer: true }) || !wanted(peer)) continue
    const cache = await peer.open({ redis: { ...server.address, db: i + 1 }, ...setup })
    opened.push({ ...cache, name: peer.name })
  }
  return opened
}

/** Other caches that hold the records, each with `tags`. */
async function openPeers(wanted, tags) {
  const numbers = new Map(names.map((name, i) => [name, i]))
  const load = async (key) => record(numbers.get(key))
  const peers = await openEmptyPeers(wanted, { tags, load })
  for (const { name, read } of peers) {
    for (const [i, key] of names.entries()) expect((await read(key)).id === i, `${name}: ${key}`)
  }
  return peers
}

function readPeer(read) {
  return async (i) => {
    const value = await read(names[i % KEYS])
    if (value.id !== i % KEYS) expect(false, names[i % KEYS])
  }
}

async function closeAll(caches) {
  for (const cache of caches) await cache.close()
}

async function bytes(concurrency) {
  await empty()
  const page = (i) => Buffer.from(JSON.stringify(itemPage(i)))
  for (let i = 0; i < KEYS; i++) {
    await plain.set(names[i], page(i), 'PX', HOUR_MS)
    await users.set(names[i], page(i), OPTIONS)
  }
  const { length } = page(0)
  const read = (get) => async (i) => {
    const value = await get(names[i % KEYS])
    if (value.length !== length) expect(false, names[i % KEYS])
  }
  const first = await users.get(names[7])
  expect(first.equals(page(7)), 'the bytes that were stored')
  const contestants = [
    contestant(
      'ioredis getBuffer',
      concurrency,
      read((name) => plain.getBuffer(name)),
      { isLimit: true },
    ),
    contestant(
      'ioredis auto-pipelined getBuffer',
      concurrency,
      read((name) => pipelined.getBuffer(name)),
      {
        isLimit: true,
      },
    ),
    contestant(
      'get',
      concurrency,
      read((name) => users.get(name)),
      {
        target: ratioAtLeast(concurrency === 1 ? 0.84 : 0.73),
      },
    ),
  ]
  await suite.run(`Redis hit, 20 KB Buffer, ${callersText(concurrency)}`, contestants, running)
}

/** What tags cost a hit: nothing is asked of Redis for them, before and after somebody else's tag was invalidated. */
async function taggedHits(concurrency) {
  await empty()
  const tags = Array.from({ length: 10 }, (_, i) => `team:${i}`)
  const caches = { calm: openCache(), stirred: createCache(stirredConfig()).namespace('users') }
  for (const cache of Object.values(caches)) {
    for (let i = 0; i < KEYS; i++) {
      for (const n of [0, 2, 10]) await cache.set(`${n}_${names[i]}`, record(i), { ttl: '1h', tags: tags.slice(0, n) })
    }
  }
  await caches.stirred.invalidateTags('team:elsewhere')
  const peers = await openPeers(({ hasTags }) => hasTags, tags.slice(0, 2))
  const read = (cache, n) => async (i) => {
    const value = await cache.get(`${n}_${names[i % KEYS]}`)
    if (value?.id !== i % KEYS) expect(false, names[i % KEYS])
  }
  const reader = (name, cache, n, more = { target: ratioAtLeast(0.87) }) =>
    contestant(name, concurrency, read(cache, n), more)
  const contestants = [
    reader('no tags', caches.calm, 0, { isLimit: true }),
    reader('2 tags', caches.calm, 2),
    reader('10 tags', caches.calm, 10),
    reader('no tags, after an invalidation', caches.stirred, 0, {}),
    reader('2 tags, after an invalidation', caches.stirred, 2, {}),
    reader('10 tags, after an invalidation', caches.stirred, 10, {}),
    ...peers.map(({ name, read: readIt }) =>
      contestant(`${name}, 2 tags`, concurrency, readPeer(readIt), { isPeer: true }),
    ),
  ]
  await suite.run(`Redis hit with tags, 1 KB object, ${callersText(concurrency)}`, contestants, running)
  await closeAll([...Object.values(caches), ...peers])
}

/** A page of keys at once. */
async function many() {
  await empty()
  for (let i = 0; i < KEYS; i++) {
    await plain.set(names[i], JSON.stringify(record(i)), 'PX', HOUR_MS)
    await users.set(names[i], record(i), OPTIONS)
  }
  const peers = await openPeers(({ hasMany }) => hasMany)
  const pages = Array.from({ length: KEYS / PAGE }, (_, i) => names.slice(i * PAGE, (i + 1) * PAGE))
  const reader = (name, readMany, more) => {
    const operate = async (i) => {
      const page = i % pages.length
      const values = await readMany(pages[page])
      if (values.length !== PAGE || values.at(-1).id !== (page + 1) * PAGE - 1) expect(false, `${name}: page ${page}`)
    }
    const run = (count, latencies) => callers(1, count, operate, latencies)
    return { name, measure: timed(10, run, { redisPid }), measured: MEASURED, ...more }
  }
  const byHand = async (keys) => (await plain.mget(keys)).map((text) => JSON.parse(text))
  const contestants = [
    reader('ioredis MGET + JSON.parse', byHand, { isLimit: true }),
    reader('getMany', (keys) => users.getMany(keys)),
    ...peers.map(({ name, readMany }) => reader(name, readMany, { isPeer: true })),
  ]
  await suite.run(`Redis hits of ${PAGE} keys at once, 1 KB objects, 1 caller`, contestants, running)
  await closeAll(peers)
}

/** Another prefix: an invalidation under it does not touch what the others measure. */
function stirredConfig() {
  return { redis: { host: server.host, port: server.port }, cache: { keyPrefix: 'stirred:' } }
}

async function misses(concurrency) {
  await empty()
  let made = 0
  const value = record(1)
  const byHand = (redis) => async () => {
    const name = `new_${made++}`
    if ((await redis.get(name)) !== null) expect(false, `${name} is new`)
    await redis.set(name, JSON.stringify(value), 'PX', HOUR_MS)
  }
  const getOrSet = async () => {
    const loaded = await users.getOrSet(`new_${made++}`, () => value, OPTIONS)
    if (loaded.id !== 1) expect(false, 'what was loaded')
  }
  await getOrSet()
  const commands = await commandsOf(server, async () => {
    await getOrSet()
    // The fill goes on behind the caller's back.
    await users.get(`new_${made - 1}`)
  })
  // What `getOrSet` resolves with is not yet stored: it is part of the work, so the run waits for it.
  const filled = (operate) => async (count, latencies) => {
    await callers(concurrency, count, operate, latencies)
    const last = `new_${made - 1}`
    while ((await users.get(last)) === undefined) await users.ping()
  }
  const fresh = (measure) => async (ms) => {
    // Else the keys of all rounds pile up.
    await forgetNew()
    return measure(ms)
  }
  const batch = batchOf(concurrency)
  const peers = await openEmptyPeers(() => true, { load: async () => value })
  const isPeer = { isPeer: true }
  const contestants = [
    contestant('ioredis GET + SET, unfenced', concurrency, byHand(plain), { isLimit: true }),
    contestant('ioredis auto-pipelined GET + SET, unfenced', concurrency, byHand(pipelined), { isLimit: true }),
    {
      name: 'getOrSet, fenced and leased',
      measure: timed(batch, filled(getOrSet), { redisPid }),
      measured: MEASURED,
      target: ratioAtLeast(concurrency === 1 ? 0.79 : 0.56),
      facts: { commands: commands.slice(0, -1) },
    },
    ...peers.map(({ name, read }) => contestant(`${name}, unfenced`, concurrency, () => read(`new_${made++}`), isPeer)),
  ].map((it) => ({ ...it, measure: fresh(it.measure) }))
  await suite.run(`Redis miss + fill, 1 KB object, ${callersText(concurrency)}`, contestants, running)
  await closeAll(peers)
}

/** Takes all keys of the misses; what the caches know of themselves stays. */
async function forgetNew() {
  for (let db = 0; db <= PEERS.redis.length; db++) {
    await janitor.select(db)
    for await (const keys of janitor.scanStream({ match: '*new_*', count: 10_000 })) {
      if (keys.length > 0) await janitor.unlink(keys)
    }
  }
}

/** What an entry of 1 KB takes in Redis, beside a plain string under a name of the same length. */
async function sizes() {
  await empty()
  await users.set('user_1', record(1), OPTIONS)
  await users.set('user_2', record(1), { ...OPTIONS, tags: ['team:1', 'role:2'] })
  const keys = await server.admin.keys('*user_*')
  const of = (name) => keys.find((key) => key.endsWith(name))
  await server.admin.set('x'.repeat(of('user_1').length), JSON.stringify(record(1)), 'PX', HOUR_MS)
  const usage = (key) => server.admin.memory('USAGE', key, 'SAMPLES', 0)
  suite.note('memory of Redis per 1 KB object', {
    unit: 'bytes, by MEMORY USAGE',
    'plain SET': await usage('x'.repeat(of('user_1').length)),
    'set, no tags': await usage(of('user_1')),
    'set, 2 tags': await usage(of('user_2')),
    'stored length, no tags': await server.admin.strlen(of('user_1')),
    'stored length, 2 tags': await server.admin.strlen(of('user_2')),
  })
}

function callersText(concurrency) {
  return concurrency === 1 ? '1 caller' : `${concurrency} callers`
}
