/** Hits, misses and bytes on Redis, against what ioredis does when a program calls it by hand. */
import { Redis } from 'ioredis'
import { createCache } from 'tidemark'
import { callers, timed } from '../harness/loop.mjs'
import { MEASURED_CORE, pinSelf } from '../harness/machine.mjs'
import { itemPage, record } from '../harness/payloads.mjs'
import { ratioAtLeast } from '../harness/report.mjs'
import { commandsOf, startRedisServer } from '../harness/redis-server.mjs'
import { expect, Suite } from '../harness/suite.mjs'

const HOUR_MS = '3600000'
const OPTIONS = { ttl: '1h' }

pinSelf(MEASURED_CORE)
const suite = new Suite('redis')
const KEYS = suite.form.isShort ? 100 : 1000
const server = await startRedisServer()
const plain = new Redis(server.address)
const pipelined = new Redis({ ...server.address, enableAutoPipelining: true })
const users = openCache()
const names = Array.from({ length: KEYS }, (_, i) => `user_${i}`)
const running = { pids: [server.pid] }
const redisPid = server.pid
const fail = () => expect(false, 'a hit does not load')

try {
  for (const concurrency of [1, 64]) await hits(concurrency)
  for (const concurrency of [1, 64]) await bytes(concurrency)
  await taggedHits(64)
  for (const concurrency of [1, 64]) await misses(concurrency)
  await sizes()
  await suite.end(server.version)
} finally {
  await users.close()
  plain.disconnect()
  pipelined.disconnect()
  await server.stop()
}

function openCache() {
  return createCache({ redis: { host: server.host, port: server.port } }).namespace('users')
}

function batchOf(concurrency) {
  if (suite.form.isShort) return concurrency === 1 ? 50 : 640
  return concurrency === 1 ? 500 : 6400
}

/** A contestant that is timed together with the Redis server's own CPU time. */
function contestant(name, concurrency, operate, more = {}) {
  const run = (count) => callers(concurrency, count, operate)
  return { name, measure: timed(batchOf(concurrency), run, { redisPid }), measured: ['redisCpuMicros'], ...more }
}

async function hits(concurrency) {
  await server.admin.flushall()
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
  const commands = await commandsOf(server, () => get(1))
  expect(commands.length === 1, `one command per hit, got ${commands}`)
  const contestants = [
    contestant('ioredis get + JSON.parse', concurrency, parsed(plain), { isLimit: true }),
    contestant('ioredis auto-pipelined get + JSON.parse', concurrency, parsed(pipelined), { isLimit: true }),
    contestant('get', concurrency, get, { target: ratioAtLeast(0.9), facts: { commands } }),
    contestant('getOrSet', concurrency, getOrSet, { target: ratioAtLeast(0.9) }),
  ]
  await suite.run(`Redis hit, 1 KB object, ${callersText(concurrency)}`, contestants, running)
}

async function bytes(concurrency) {
  await server.admin.flushall()
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
  await server.admin.flushall()
  const tags = Array.from({ length: 10 }, (_, i) => `team:${i}`)
  const caches = { calm: openCache(), stirred: createCache(stirredConfig()).namespace('users') }
  for (const cache of Object.values(caches)) {
    for (let i = 0; i < KEYS; i++) {
      for (const n of [0, 2, 10]) await cache.set(`${n}_${names[i]}`, record(i), { ttl: '1h', tags: tags.slice(0, n) })
    }
  }
  await caches.stirred.invalidateTags('team:elsewhere')
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
  ]
  await suite.run(`Redis hit with tags, 1 KB object, ${callersText(concurrency)}`, contestants, running)
  for (const cache of Object.values(caches)) await cache.close()
}

/** Another prefix: an invalidation under it does not touch what the others measure. */
function stirredConfig() {
  return { redis: { host: server.host, port: server.port }, cache: { keyPrefix: 'stirred:' } }
}

async function misses(concurrency) {
  await server.admin.flushall()
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
  const filled = (operate) => async (count) => {
    await callers(concurrency, count, operate)
    const last = `new_${made - 1}`
    while ((await users.get(last)) === undefined) await users.ping()
  }
  const fresh = (measure) => async (ms) => {
    // Else the keys of all rounds pile up.
    await server.admin.flushall()
    return measure(ms)
  }
  const batch = batchOf(concurrency)
  const contestants = [
    contestant('ioredis GET + SET, unfenced', concurrency, byHand(plain), { isLimit: true }),
    contestant('ioredis auto-pipelined GET + SET, unfenced', concurrency, byHand(pipelined), { isLimit: true }),
    {
      name: 'getOrSet, fenced and leased',
      measure: timed(batch, filled(getOrSet), { redisPid }),
      measured: ['redisCpuMicros'],
      target: ratioAtLeast(concurrency === 1 ? 0.79 : 0.56),
      facts: { commands: commands.slice(0, -1) },
    },
  ].map((it) => ({ ...it, measure: fresh(it.measure) }))
  await suite.run(`Redis miss + fill, 1 KB object, ${callersText(concurrency)}`, contestants, running)
}

/** What an entry of 1 KB takes in Redis, beside a plain string under a name of the same length. */
async function sizes() {
  await server.admin.flushall()
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
