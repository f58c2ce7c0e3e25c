/** One of several processes with a cache: on an order, so many callers ask for a key at once. `caller.mjs <config>` */
import { setTimeout as sleep } from 'node:timers/promises'
import { createCache } from 'tidemark'

const cache = createCache(JSON.parse(process.argv[2]))
await cache.ping()

process.on('message', async ({ key, callers, loadMs }) => {
  const loads = []
  const load = async () => {
    const beganAt = now()
    process.send({ event: 'loading' })
    await sleep(loadMs)
    loads.push({ beganAt, endedAt: now() })
    return { id: key }
  }
  const answeredAt = []
  const call = async () => {
    const value = await cache.getOrSet(key, load, { ttl: '1h' })
    if (value.id !== key) throw new Error(`wrong answer: ${key}`)
    answeredAt.push(now())
  }
  await Promise.all(Array.from({ length: callers }, call))
  process.send({ report: { loads, answeredAt } })
})
process.on('disconnect', () => process.exit())
process.send({ event: 'up' })

/** Milliseconds of the clock that all processes share. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6
}
