/** A hit in memory in front of Redis, against a Map behind a promise, and other caches of two tiers. */
import { setImmediate as turn } from 'node:timers/promises'
import { createCache } from 'tidemark'
import { timed } from '../harness/loop.mjs'
import { MEASURED_CORE, pinSelf } from '../harness/machine.mjs'
import { record } from '../harness/payloads.mjs'
import { commandsOf, startRedisServer } from '../harness/redis-server.mjs'
import { cpuMicrosAtMost, ratioAtLeast } from '../harness/report.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { PEERS } from '../peers/measured.mjs'

const BATCH = 1000
const TAGS = ['team:1', 'role:2']
const UNTAGGED = 'getOrSet, no tags'

pinSelf(MEASURED_CORE)
const suite = new Suite('l1')
const KEYS = suite.form.isShort ? 100 : 1000
const names = Array.from({ length: KEYS }, (_, i) => `user_${i}`)
const numbers = new Map(names.map((name, i) => [name, i]))
const load = async (name) => record(numbers.get(name))
const server = await startRedisServer()
const opened = []

try {
  const map = new Map(names.map((name, i) => [name, record(i)]))
  await suite.run('hit in memory in front of Redis, 1 KB object, 1 caller', [
    await contestant('Map + promise', { open: async () => ({ read: async (name) => map.get(name) }), isLimit: true }),
    await contestant('get, no tags', { open: ours((cache, name) => cache.get(name)), target: cpuMicrosAtMost(0.6) }),
    await contestant(UNTAGGED, { open: ours(getOrSet), target: cpuMicrosAtMost(0.6) }),
    await contestant('getOrSet, 2 tags', { open: ours(getOrSet), tags: TAGS, ...comparedWithNoTags() }),
    ...(await peers('no tags', undefined)),
    ...(await peers('2 tags', TAGS)),
  ])
  await suite.end(server.version)
} finally {
  for (const { close } of opened) await close?.()
  await server.stop()
}

function comparedWithNoTags() {
  return { against: UNTAGGED, target: { ...ratioAtLeast(0.83), text: '>= 0.83 x no tags' } }
}

/** How tidemark is opened: `read(cache, name, tags)` is one call of it. */
function ours(read) {
  return async ({ redis, tags }) => {
    const manager = createCache({ redis: { host: redis.host, port: redis.port, db: redis.db }, cache: { l1: true } })
    const cache = manager.namespace('users')
    for (const name of names) await cache.set(name, await load(name), { ttl: '1h', tags })
    return { read: (name) => read(cache, name, tags), close: () => manager.close() }
  }
}

function getOrSet(cache, name, tags) {
  return cache.getOrSet(name, () => expect(false, 'a hit does not load'), { ttl: '1h', tags })
}

async function peers(title, tags) {
  const wanted = PEERS.tiered.filter((it) => suite.takes({ isPeer: true }) && (tags === undefined || it.hasTags))
  const made = []
  for (const { name, open } of wanted) made.push(await contestant(`${name}, ${title}`, { open, tags, isPeer: true }))
  return made
}

/** Opens a cache on a database of its own, sees that a hit sends no command, and tells how it is measured. */
async function contestant(name, { open, tags, ...more }) {
  const redis = { ...server.address, db: opened.length }
  const cache = await open({ redis, load, tags })
  opened.push(cache)
  for (let again = 0; again < 2; again++) {
    for (const [i, key] of names.entries()) expect((await cache.read(key)).id === i, `${name}: ${key}`)
  }
  // Whatever the cache does besides, at its own times, is none of a hit.
  const commands = await commandsOf(server, () => cache.read(names[1]))
  const reads = commands.filter((command) => /get|eval/.test(command))
  if (!more.isPeer) expect(reads.length === 0, `${name}: no command for a hit, got ${reads}`)
  const run = async (count) => {
    for (let i = 0; i < count; i++) if ((await cache.read(names[i % KEYS])) === undefined) expect(false, name)
    // What other processes say is heard here, as in an application.
    await turn()
  }
  return { name, measure: timed(BATCH, run), facts: { commandsPerHit: reads.length }, ...more }
}
