/**
 * One contestant of the HTTP benchmark, in a process of its own: `server.mjs <name> [redis port]`.
 *
 * All send the same bytes with the same header fields. The generator asks for /pages/000, /pages/001, ...
 */
import { gzipSync } from 'node:zlib'
import compress from '@fastify/compress'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { cached, setupCache } from 'tidemark/fastify'
import { LoopDelay } from '../harness/delays.mjs'
import { itemPage } from '../harness/payloads.mjs'

const PAGES = 512
const JSON_TYPE = 'application/json; charset=utf-8'
const quiet = { info() {}, warn: console.warn, error: console.error }

const CONTESTANTS = {
  /** The limit: finished bytes, and the header fields of a hit. */
  'static Buffer': (app) => {
    const pages = finishedPages()
    app.get('/pages/:page', (request, reply) => void sendHit(reply, pages[Number(request.params.page)]))
  },
  'static Buffer, no cache headers': (app) => {
    const pages = finishedPages()
    const answer = (request, reply) => void reply.type(JSON_TYPE).send(pages[Number(request.params.page)])
    app.get('/pages/:page', answer)
  },
  'static Buffer beside tidemark': (app) => {
    const cache = setupCache(app, { redis: false, logger: quiet })
    app.get('/cached', cached(cache, { ttl: '1h' }), async () => itemPage(0))
    CONTESTANTS['static Buffer'](app)
  },
  'no cache, object serialized': (app) => {
    const pages = Array.from({ length: PAGES }, (_, i) => itemPage(i))
    app.get('/pages/:page', async (request) => pages[Number(request.params.page)])
  },
  'tidemark, memory hit': (app) => {
    const cache = setupCache(app, { redis: false, logger: quiet, cache: { memory: { maxBytes: '256mb' } } })
    cachedPages(app, cache)
  },
  'static gzip Buffer': (app) => {
    const pages = finishedPages().map((page) => gzipSync(page))
    app.get('/pages/:page', (request, reply) => {
      reply.header('content-encoding', 'gzip').header('vary', 'accept-encoding')
      sendHit(reply, pages[Number(request.params.page)])
    })
  },
  'tidemark and @fastify/compress, memory hit': async (app) => {
    await app.register(compress)
    CONTESTANTS['tidemark, memory hit'](app)
  },
  'tidemark, Redis hit': (app, port) => {
    cachedPages(app, setupCache(app, { redis: { host: '127.0.0.1', port }, logger: quiet }))
  },
  'ioredis getBuffer by hand': async (app, port) => byHand(app, new Redis({ port, host: '127.0.0.1' })),
  'ioredis getBuffer by hand, auto-pipelined': async (app, port) =>
    byHand(app, new Redis({ port, host: '127.0.0.1', enableAutoPipelining: true })),
}

function finishedPages() {
  return Array.from({ length: PAGES }, (_, i) => Buffer.from(JSON.stringify(itemPage(i))))
}

function sendHit(reply, bytes) {
  reply.header('content-type', JSON_TYPE)
  reply.header('age', 0)
  reply.header('x-cache', 'HIT')
  reply.header('cache-status', 'tidemark; hit; ttl=3600')
  return reply.send(bytes)
}

function cachedPages(app, cache) {
  app.get('/pages/:page', cached(cache, { ttl: '1h', namespace: 'pages' }), async (request) =>
    itemPage(Number(request.params.page)),
  )
}

/** What a careful programmer writes who wants no cache library: bytes in, bytes out. */
async function byHand(app, redis) {
  for (const [i, page] of finishedPages().entries()) await redis.set(`page:${i}`, page, 'PX', 3_600_000)
  app.get('/pages/:page', async (request, reply) => {
    const bytes = await redis.getBuffer(`page:${Number(request.params.page)}`)
    if (bytes === null) throw new Error('expected a page')
    return sendHit(reply, bytes)
  })
}

const [name, redisPort] = process.argv.slice(2)
const app = Fastify()
await CONTESTANTS[name](app, Number(redisPort))
await app.listen({ host: '127.0.0.1', port: 0 })
let delay
process.on('message', ({ begins }) => {
  if (begins) delay = new LoopDelay()
  process.send({ cpu: process.cpuUsage(), ...(begins ? {} : delay.outcome()) })
})
process.on('disconnect', () => process.exit())
process.send({ port: app.server.address().port })
