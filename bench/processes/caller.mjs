/**
 * One of several processes with a cache: on an order, so many callers ask for a key at once.
 *
 * `caller.mjs <config>`, or `caller.mjs <setup> <name>` for another cache on Redis.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createCache } from 'tidemark'

const [text, peer] = process.argv.slice(2)
/** What a load of the order does. */
let loading
const getOrSet = peer === undefined ? await openOurs(JSON.parse(text)) : await openPeer(JSON.parse(text), peer)

process.on('message', async ({ key, callers, loadMs }) => {
  const loads = []
  const load = async () => {
    const beganAt = now()
    process.send({ event: 'loading' })
    await sleep(loadMs)
    loads.push({ beganAt, endedAt: now() })
    return { id: key }
  }
  loading = load
  const answeredAt = []
  const call = async () => {
    const value = await getOrSet(key)
    if (value.id !== key) throw new Error(`wrong answer: ${key}`)
    answeredAt.push(now())
  }
  await Promise.all(Array.from({ length: callers }, call))
  process.send({ report: { loads, answeredAt } })
})
process.on('disconnect', () => process.exit())
process.send({ event: 'up' })

async function openOurs(config) {
  const cache = createCache(config)
  await cache.ping()
  return (key) => cache.getOrSet(key, () => loading(), { ttl: '1h' })
}

async function openPeer(redis, name) {
  const { PEERS } = await import('../peers/measured.mjs')
  const { read } = await PEERS.redis.find((it) => it.name === name).open({ redis, load: () => loading() })
  return read
}

/** Milliseconds of the clock that all processes share. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6
}
