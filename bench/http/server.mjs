/**
 * One contestant of the HTTP benchmark, in a process of its own: `server.mjs <name> [redis port]`.
 *
 * All send the same bytes with the same header fields. The generator asks for /pages/000, /pages/001, ...
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'
import compress from '@fastify/compress'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { cached, setupCache } from 'tidemark/fastify'
import { LoopDelay } from '../harness/delays.mjs'
import { itemPage } from '../harness/payloads.mjs'
import { queriedPages } from './database.mjs'
import { finishedPages, hitFields, JSON_TYPE, pageNumber, PAGES, sendHit } from './pages.mjs'

const quiet = { info() {}, warn: console.warn, error: console.error }

/** Routes of a Fastify application. */
const ROUTES = {
  /** The limit: finished bytes, and the header fields of a hit. */
  'static Buffer': (app) => {
    const pages = finishedPages()
    app.get('/pages/:page', (request, reply) => void sendHit(request, reply, pages[pageNumber(request)]))
  },
  'static Buffer, no cache headers': (app) => {
    const pages = finishedPages()
    const answer = (request, reply) => void reply.type(JSON_TYPE).send(pages[pageNumber(request)])
    app.get('/pages/:page', answer)
  },
  'static Buffer beside tidemark': (app) => {
    const cache = setupCache(app, { redis: false, logger: quiet })
    app.get('/cached', cached(cache, { ttl: '1h' }), async () => itemPage(0))
    ROUTES['static Buffer'](app)
  },
  '304 of a hook': (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      if (request.headers['if-none-match'] === undefined) done()
      else void reply.code(304).header('x-cache', 'HIT').send()
    })
    ROUTES['static Buffer'](app)
  },
  'no cache, object serialized': (app) => {
    const pages = Array.from({ length: PAGES }, (_, i) => itemPage(i))
    app.get('/pages/:page', async (request) => pages[pageNumber(request)])
  },
  'no cache, a query': async (app) => {
    const query = await queriedPages()
    app.get('/pages/:page', async (request) => query(pageNumber(request)))
  },
  'tidemark, memory hit': (app) => {
    const cache = setupCache(app, { redis: false, logger: quiet, cache: { memory: { maxBytes: '256mb' } } })
    cachedPages(app, cache)
  },
  'tidemark, L1 hit': (app, port) => {
    const config = { l1: true, memory: { maxBytes: '256mb' }, keyPrefix: 'l1:' }
    cachedPages(app, setupCache(app, { redis: { host: '127.0.0.1', port }, logger: quiet, cache: config }))
  },
  'static gzip Buffer': (app) => {
    const pages = finishedPages().map((page) => gzipSync(page))
    app.get('/pages/:page', (request, reply) => {
      reply.header('content-encoding', 'gzip').header('vary', 'accept-encoding')
      sendHit(request, reply, pages[pageNumber(request)])
    })
  },
  'tidemark and @fastify/compress, memory hit': async (app) => {
    await app.register(compress)
    ROUTES['tidemark, memory hit'](app)
  },
  'tidemark, Redis hit': (app, port) => {
    cachedPages(app, setupCache(app, { redis: { host: '127.0.0.1', port }, logger: quiet }))
  },
  'ioredis getBuffer by hand': async (app, port) => byHand(app, new Redis({ port, host: '127.0.0.1' })),
  'ioredis getBuffer by hand, auto-pipelined': async (app, port) =>
    byHand(app, new Redis({ port, host: '127.0.0.1', enableAutoPipelining: true })),
}

/** What is no Fastify application. */
const LISTENERS = {
  'node:http, static Buffer': async () => {
    const pages = finishedPages()
    return (request, response) => {
      const page = Number(request.url.slice('/pages/'.length))
      const body = pages[page]
      response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': body.length, ...hitFields(page) })
      response.end(body)
    }
  },
  'Express and apicache, memory': async () =>
    (await import('../peers/apicache.mjs')).apicacheServer((page) => itemPage(page)),
}

function cachedPages(app, cache) {
  app.get('/pages/:page', cached(cache, { ttl: '1h', namespace: 'pages' }), async (request) =>
    itemPage(pageNumber(request)),
  )
}

/** What a careful programmer writes who wants no cache library: bytes in, bytes out. */
async function byHand(app, redis) {
  for (const [i, page] of finishedPages().entries()) await redis.set(`page:${i}`, page, 'PX', 3_600_000)
  app.get('/pages/:page', async (request, reply) => {
    const bytes = await redis.getBuffer(`page:${pageNumber(request)}`)
    if (bytes === null) throw new Error('expected a page')
    return sendHit(request, reply, bytes)
  })
}

async function listen(name, redisPort) {
  if (Object.hasOwn(LISTENERS, name)) {
    const server = createServer(await LISTENERS[name]()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return server
  }
  const app = Fastify()
  if (Object.hasOwn(ROUTES, name)) await ROUTES[name](app, redisPort)
  else await (await import('./peers.mjs')).peerRoute(app, redisPort, name)
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app.server
}

const [name, redisPort] = process.argv.slice(2)
const server = await listen(name, Number(redisPort))
let delay
process.on('message', ({ begins }) => {
  if (begins) delay = new LoopDelay()
  process.send({ cpu: process.cpuUsage(), ...(begins ? {} : delay.outcome()) })
})
process.on('disconnect', () => process.exit())
process.send({ port: server.address().port })
