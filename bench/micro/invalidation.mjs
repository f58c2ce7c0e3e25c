/** Invalidating a tag and clearing a namespace, with more and more entries behind them: they must cost what a PING costs. */
import { Redis } from 'ioredis'
import { createCache } from 'tidemark'
import { callers, timed } from '../harness/loop.mjs'
import { MEASURED_CORE, pinSelf } from '../harness/machine.mjs'
import { microsOverLimitAtMost } from '../harness/report.mjs'
import { commandsOf, startRedisServer } from '../harness/redis-server.mjs'
import { expect, Suite } from '../harness/suite.mjs'

const POPULATE_CALLERS = 256

pinSelf(MEASURED_CORE)
const suite = new Suite('invalidation')
const counts = suite.form.isShort ? [100, 1000] : [100, 10_000, 1_000_000]
const batch = suite.form.isShort ? 20 : 200

for (const count of counts) {
  const server = await startRedisServer()
  try {
    await invalidate(server, count)
    if (count === counts.at(-1)) await suite.end(server.version)
  } finally {
    await server.stop()
  }
}

async function invalidate(server, count) {
  const redis = new Redis(server.address)
  const cache = createCache({ redis: { host: server.host, port: server.port } })
  const items = cache.namespace('items')
  const others = cache.namespace('others')
  await others.set('kept', 1, { ttl: '1h' })
  await callers(POPULATE_CALLERS, count, (i) => items.set(`item_${i}`, { id: i }, { ttl: '1h', tags: ['items'] }))
  await check(items, others, count)

  const once = (operate) =>
    timed(batch, async (n) => {
      for (let i = 0; i < n; i++) await operate()
    })
  const serverMicros = (name, operate) => serverMicrosOf(redis, name, operate)
  const tag = () => items.invalidateTags('items')
  const clear = () => items.clear()
  const contestants = [
    { name: 'ioredis PING', isLimit: true, measure: once(() => redis.ping()) },
    { name: 'ping', measure: once(() => items.ping()) },
    {
      name: 'invalidateTags of one tag',
      measure: once(tag),
      target: microsOverLimitAtMost(300),
      facts: { commands: await commandsOf(server, tag), serverMicros: await serverMicros('evalsha', tag) },
    },
    {
      name: 'clear of a namespace',
      measure: once(clear),
      target: microsOverLimitAtMost(1000),
      facts: { commands: await commandsOf(server, clear), serverMicros: await serverMicros('evalsha', clear) },
    },
  ]
  const options = { pids: [server.pid], facts: { entries: count } }
  await suite.run(`invalidation of ${count} entries, 1 caller`, contestants, options)
  await cache.close()
  redis.disconnect()
}

/** All of them are there, one command takes them, nobody else's entry goes with them, and new ones can be stored. */
async function check(items, others, count) {
  const last = `item_${count - 1}`
  expect((await items.get(last))?.id === count - 1, 'populated')
  await items.invalidateTags('items')
  expect((await items.get(last)) === undefined, 'invalidated by its tag')
  await items.set(last, { id: count - 1 }, { ttl: '1h', tags: ['items'] })
  expect((await items.get(last))?.id === count - 1, 'stored anew')
  await items.clear()
  expect((await items.get(last)) === undefined, 'cleared')
  expect((await others.get('kept')) === 1, 'the entry of another namespace is left')
}

/** How long one such command keeps the server from everybody else, by its own count. */
async function serverMicrosOf(redis, command, operate) {
  const total = async () => {
    const info = await redis.info('commandstats')
    const [, calls, micros] = new RegExp(`cmdstat_${command}:calls=(\\d+),usec=(\\d+)`).exec(info) ?? [0, 0, 0]
    return { calls: Number(calls), micros: Number(micros) }
  }
  const before = await total()
  for (let i = 0; i < 100; i++) await operate()
  const after = await total()
  return (after.micros - before.micros) / (after.calls - before.calls)
}
