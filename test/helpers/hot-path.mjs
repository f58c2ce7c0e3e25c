/**
 * Which functions of the built library a hit runs: `hot-path.mjs <road> [redis port]`, a road of test/hot-path.test.ts.
 * Prints `{ calls, functions: { file: [name, ...] } }` as JSON. It runs where `tidemark` is a built package.
 *
 * V8 counts the calls of every function itself (precise coverage), so nothing is timed. What the library does besides, at
 * its own times, is left out: a function counts if each of several hits has called it.
 */
import { Session } from 'node:inspector'
import { setImmediate as turn } from 'node:timers/promises'

const HITS = 20
const WARM_UP = 5

const [road, port] = process.argv.slice(2)
const inspector = new Session()
inspector.connect()
post('Profiler.enable')
post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })

const { hit, close } = await openRoad()
for (let i = 0; i < WARM_UP; i++) await hit()
const seen = []
for (let i = 0; i < HITS; i++) seen.push(await callsOf(hit))
await close()
console.log(JSON.stringify(summary()))

async function openRoad() {
  const [place, way] = road.split(', ')
  const redis = place === 'memory' ? false : { host: '127.0.0.1', port: Number(port) }
  const config = { redis, cache: { l1: place === 'memory in front of Redis' } }
  return way === 'route' ? openRoute(config) : openGetOrSet(config)
}

async function openGetOrSet(config) {
  const { createCache } = await import('tidemark')
  const cache = createCache(config)
  await cache.set('user_1', { id: 1 }, { ttl: '1h' })
  const fail = () => {
    throw new Error('a hit does not load')
  }
  const hit = async () => {
    const { id } = await cache.getOrSet('user_1', fail, { ttl: '1h' })
    if (id !== 1) throw new Error('expected what was stored')
  }
  return { hit, close: () => cache.close() }
}

async function openRoute(config) {
  const { default: Fastify } = await import('fastify')
  const { cached, setupCache } = await import('tidemark/fastify')
  const app = Fastify()
  const cache = setupCache(app, config)
  let runs = 0
  app.get('/users/:id', cached(cache, { ttl: '1h' }), async () => ({ runs: ++runs }))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const hit = async () => {
    const response = await fetch(`${url}/users/1`)
    if ((await response.text()) !== '{"runs":1}') throw new Error('expected what was stored')
    // What the server does when the response is out belongs to it.
    await turn()
  }
  // The fill goes on behind the response: from then on all are hits.
  await hit()
  while ((await fetch(`${url}/users/1`)).headers.get('x-cache') !== 'HIT') await turn()
  return { hit, close: () => app.close() }
}

/** How often each function of the library is called meanwhile: a Map of `file function` to numbers. */
async function callsOf(operation) {
  post('Profiler.takePreciseCoverage')
  await operation()
  const calls = new Map()
  for (const { url, functions } of post('Profiler.takePreciseCoverage').result) {
    const at = url.indexOf('/dist/')
    if (at === -1 || url.includes('/node_modules/')) continue
    for (const { functionName, ranges } of functions) {
      const name = `${url.slice(at + '/dist/'.length)} ${functionName || '(no name)'}`
      if (ranges[0].count > 0) calls.set(name, (calls.get(name) ?? 0) + ranges[0].count)
    }
  }
  return calls
}

function summary() {
  const names = [...seen[0].keys()]
    .filter((name) => seen.every((calls) => calls.has(name)))
    .toSorted((a, b) => (a < b ? -1 : 1))
  const functions = {}
  for (const name of names) {
    const [file, text] = name.split(/ (.*)/)
    functions[file] = [...(functions[file] ?? []), text]
  }
  const calls = names.reduce((sum, name) => sum + Math.min(...seen.map((each) => each.get(name))), 0)
  return { calls, functions }
}

/** The inspector answers at once. */
function post(method, parameters) {
  let answer
  inspector.post(method, parameters, (error, result) => {
    if (error) throw new Error(error.message)
    answer = result
  })
  return answer
}
