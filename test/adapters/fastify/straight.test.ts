/** A hit that goes straight to Node's response is, byte for byte, what Fastify would have made of it. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import compress from '@fastify/compress'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createCache, type CacheManager } from '../../../src/index.ts'
import { cached, setupCache } from '../../../src/adapters/fastify/index.ts'
import { ManualClock } from '../../../src/testing/index.ts'

let cache: CacheManager
const apps: FastifyInstance[] = []

beforeEach(() => {
  cache = createCache({ redis: false, clock: new ManualClock() })
})
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
  await cache.close()
})

/** An application whose hits go straight, or, for a hook that sees them, do not. */
async function start(extend: (app: FastifyInstance) => unknown = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  apps.push(app)
  setupCache(app, cache, { name: 'app' })
  await extend(app)
  app.get('/json', cached(cache, { ttl: 60 }), () => ({ text: 'ä', n: [1, 2, 3] }))
  app.get('/bytes', cached(cache, { ttl: 60 }), () => Buffer.from([0, 1, 2, 255]))
  app.get('/empty', cached(cache, { ttl: 60 }), (_request, reply) => reply.code(204).send())
  app.get('/nothing', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('etag', '"e"').send(''))
  app.get('/lost', cached(cache, { ttl: 60 }), (_request, reply) => reply.code(404).send('not here'))
  app.get('/long', cached(cache, { ttl: 60 }), () => ({ text: 'long '.repeat(1000) }))
  app.get('/varied', cached(cache, { ttl: 60, vary: 'accept-language' }), (_request, reply) =>
    reply.header('vary', 'Accept-Language').send({ text: 'long '.repeat(1000) }),
  )
  app.get('/fields', cached(cache, { ttl: 60 }), (_request, reply) =>
    reply
      .header('link', ['<a>', '<b>'])
      .header('vary', 'accept-encoding')
      .header('last-modified', 'Wed, 31 Dec 2025 23:59:59 GMT')
      .header('cache-control', 'max-age=5')
      .type('text/plain')
      .send('é'),
  )
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app
}

interface Answered {
  readonly status: number | undefined
  readonly fields: readonly string[]
  readonly body: string
}

/** Over a socket: every field as often as it is on the wire. */
function ask(
  app: FastifyInstance,
  path: string,
  headers: http.OutgoingHttpHeaders = {},
  method = 'GET',
): Promise<Answered> {
  const { port } = app.server.address() as AddressInfo
  return new Promise((resolve, reject) => {
    // One name for both applications: the host is part of the key.
    const options = { host: '127.0.0.1', port, path, method, headers: { host: 'app.test', ...headers }, agent: false }
    const request = http.request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { rawHeaders: raw, statusCode: status } = response
        const fields = raw.flatMap((name, i) => (i % 2 === 0 ? [`${name.toLowerCase()}: ${raw[i + 1]}`] : []))
        // What is not stored has the time of day for a Date.
        const told = status === 416 ? fields.filter((field) => !field.startsWith('date:')) : fields
        resolve({ status, fields: told.toSorted(), body: Buffer.concat(chunks).toString('hex') })
      })
    })
    request.on('error', reject).end()
  })
}

interface Asked {
  readonly path: string
  readonly headers?: http.OutgoingHttpHeaders
  readonly method?: string
}

const REQUESTS: readonly Asked[] = [
  { path: '/json' },
  { path: '/json?a=1' },
  { path: '/json', headers: { 'if-none-match': '*' } },
  { path: '/json', headers: { 'if-none-match': '"other"' } },
  { path: '/json', headers: { range: 'bytes=2-4' } },
  { path: '/json', headers: { range: 'bytes=200-' } },
  { path: '/json', method: 'HEAD' },
  { path: '/json', headers: { 'accept-encoding': 'gzip' } },
  { path: '/bytes' },
  { path: '/empty' },
  { path: '/nothing' },
  { path: '/nothing', headers: { 'if-none-match': '"e"' } },
  { path: '/lost' },
  { path: '/fields' },
  { path: '/fields', headers: { 'if-modified-since': 'Wed, 31 Dec 2025 23:59:59 GMT' } },
]

test.each(REQUESTS)('%j', async ({ path, headers, method }) => {
  let seen = 0
  const straight = await start()
  const seenByOthers = await start((app) => {
    app.addHook('onSend', async () => void seen++)
  })
  await ask(straight, path)
  const hit = await ask(straight, path, headers, method)
  expect(hit.fields).toContain('x-cache: HIT')
  expect(hit).toEqual(await ask(seenByOthers, path, headers, method))
  expect(seen).toBe(1)
})

test('what was set before the handler goes out with it', async () => {
  const app = await start((it) => {
    it.addHook('onRequest', (_request, reply, done) => {
      reply.header('access-control-allow-origin', 'https://a.test')
      reply.raw.setHeader('x-raw', '1')
      done()
    })
  })
  await ask(app, '/json')
  const { fields } = await ask(app, '/json')
  expect(fields).toEqual(
    expect.arrayContaining(['x-cache: HIT', 'access-control-allow-origin: https://a.test', 'x-raw: 1']),
  )
})

test('onResponse runs, and knows the status and how long it took', async () => {
  const told: unknown[] = []
  const app = await start((it) => {
    it.addHook(
      'onResponse',
      async (_request, reply) => void told.push(reply.statusCode, reply.elapsedTime > 0, reply.sent),
    )
  })
  await ask(app, '/lost')
  await ask(app, '/lost')
  expect(told).toEqual([404, true, true, 404, true, true])
})

test('a request is logged when it is answered', async () => {
  const lines: { readonly msg: string; readonly res?: { readonly statusCode: number } }[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(JSON.parse(line)) } } })
  apps.push(app)
  setupCache(app, cache)
  app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
  await app.inject('/')
  lines.length = 0
  expect((await app.inject('/')).headers['x-cache']).toBe('HIT')
  expect(lines.map(({ msg }) => msg)).toEqual(['incoming request', 'request completed'])
  expect(lines[1]!.res!.statusCode).toBe(200)
})

test('middleware that patches the response to be told of its head is', async () => {
  const app = await start((it) => {
    it.addHook('onRequest', (_request, reply, done) => {
      const { raw } = reply
      const writeHead = raw.writeHead.bind(raw)
      Object.assign(raw, {
        writeHead: (status: number, headers: http.OutgoingHttpHeaders) => {
          if (Array.isArray(headers)) throw new TypeError('expected an object, as Fastify gives')
          return writeHead(status, { ...headers, 'x-time': '1' })
        },
      })
      done()
    })
  })
  await ask(app, '/json')
  expect((await ask(app, '/json')).fields).toEqual(expect.arrayContaining(['x-cache: HIT', 'x-time: 1']))
})

test.each(['invalidate', 'capture', 'seal', 'headRouteOnSendHandler'])(
  'a hook of somebody else that is called %s sees every hit',
  async (name) => {
    let seen = 0
    const hook = async (): Promise<void> => void seen++
    Object.defineProperty(hook, 'name', { value: name })
    const app = await start((it) => void it.addHook('onSend', hook))
    for (let i = 0; i < 3; i++) await ask(app, '/json')
    expect(seen).toBe(3)
  },
)

test('onResponse finds the header fields in the reply', async () => {
  const told: unknown[] = []
  const app = await start((it) => {
    it.addHook('onResponse', async (_request, reply) => void told.push(reply.getHeader('x-cache')))
  })
  for (let i = 0; i < 2; i++) await ask(app, '/json')
  expect(told).toEqual(['MISS', 'HIT'])
})

test('trailers that a hook has asked for follow', async () => {
  const app = await start((it) => {
    it.addHook('onRequest', (_request, reply, done) => {
      reply.trailer('x-after', async () => 'told')
      done()
    })
  })
  await ask(app, '/json')
  expect((await ask(app, '/json')).fields).toEqual(expect.arrayContaining(['x-cache: HIT', 'trailer: x-after']))
})

describe('with @fastify/compress', () => {
  const gzip = { 'accept-encoding': 'gzip' }

  test.each<Asked>([
    { path: '/long' },
    { path: '/long', headers: gzip },
    { path: '/long', headers: { 'accept-encoding': 'br;q=0.5, gzip;q=0.1' } },
    { path: '/long', headers: { ...gzip, 'x-no-compression': '1' } },
    { path: '/long', headers: { ...gzip, 'if-none-match': '*' } },
    { path: '/long', headers: { ...gzip, range: 'bytes=2-4' } },
    { path: '/long', headers: gzip, method: 'HEAD' },
    { path: '/varied', headers: gzip },
    { path: '/varied', headers: { ...gzip, 'if-none-match': '*' } },
    { path: '/bytes', headers: gzip },
  ])('%j', async ({ path, headers, method }) => {
    let seen = 0
    const alone = await start((app) => app.register(compress))
    const seenByOthers = await start((app) => {
      app.addHook('onSend', async () => void seen++)
      return app.register(compress)
    })
    await ask(alone, path)
    const hit = await ask(alone, path, headers, method)
    expect(hit.fields).toContain('x-cache: HIT')
    expect(hit).toEqual(await ask(seenByOthers, path, headers, method))
    expect(seen).toBe(1)
  })

  test.each(['before', 'after'])(
    'registered %s the cache: what is encoded goes straight, identity past the plugin',
    async (order) => {
      const app = Fastify()
      apps.push(app)
      if (order === 'before') await app.register(compress)
      setupCache(app, cache)
      if (order === 'after') await app.register(compress)
      app.get('/long', cached(cache, { ttl: 60 }), () => ({ text: 'long '.repeat(1000) }))
      await app.listen({ host: '127.0.0.1', port: 0 })
      await ask(app, '/long')
      const writeHead = vi.spyOn(http.ServerResponse.prototype, 'writeHead')
      await ask(app, '/long', gzip)
      await ask(app, '/long')
      expect(writeHead.mock.calls.map(([, fields]) => Array.isArray(fields))).toEqual([true, false])
    },
  )

  test('a hook of the route that is called as the plugin calls its own sees every hit', async () => {
    const app = Fastify()
    apps.push(app)
    setupCache(app, cache)
    await app.register(compress)
    let seen = 0
    const onSend = async (): Promise<void> => void seen++
    app.get('/long', { onSend, ...cached(cache, { ttl: 60 }) }, () => ({ text: 'long '.repeat(1000) }))
    for (let i = 0; i < 3; i++) await app.inject({ url: '/long', headers: gzip })
    expect(seen).toBe(3)
  })
})
