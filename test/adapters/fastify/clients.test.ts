/** What people ask with: each client stack over real connections, and one connection that many answers go over. */
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import compress from '@fastify/compress'
import type { FastifyInstance } from 'fastify'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { cached, setupCache } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { CLIENTS, keepingAlive, pipelining, type Answer, type Client } from './clients.ts'
import { listen, makeApp, makeGate } from './harness.ts'

const TEXT = Array.from({ length: 500 }, (_, i) => `item ${i}`).join()

function summary({ status, headers, body }: Answer): string {
  return `${status} ${headers['x-cache']} ${body}`
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  describe.each(CLIENTS)('$name', ({ server, make, missing }) => {
    beforeEach(async ({ skip }) => {
      const why = await missing()
      if (why !== undefined) skip(why)
    })

    interface Started {
      readonly app: FastifyInstance
      readonly cache: CacheManager
      readonly clock: ManualClock
      /** To be called when the routes are there. */
      client(): Promise<Client>
    }

    function start(): Started {
      const clock = new ManualClock()
      const cache = caches.create({ clock })
      const app = makeApp({ forceCloseConnections: true, ...server })
      setupCache(app, cache)
      return { app, cache, clock, client: async () => make(await listen(app)) }
    }

    test('a miss, then hits with the same tag, a Date that stays, and an Age', async () => {
      const { app, cache, clock, client } = start()
      let runs = 0
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
        reply.header('cache-control', 'max-age=60').send({ runs: ++runs }),
      )
      const { ask } = await client()
      const filled = nextFill(cache)
      const miss = await ask('/')
      await filled
      clock.advance(20)
      const hit = await ask('/')
      expect([miss, hit].map(summary)).toEqual(['200 MISS {"runs":1}', '200 HIT {"runs":1}'])
      expect(hit.headers).toMatchObject({
        etag: miss.headers['etag'],
        age: '20',
        date: 'Thu, 01 Jan 2026 00:00:00 GMT',
        'cache-control': 'max-age=60',
        'cache-status': 'tidemark; hit; ttl=40',
        'content-type': miss.headers['content-type'],
      })
    })

    test('a 304 for what the client has, of a miss too, and the connection is of use after it', async () => {
      const { app, cache, client } = start()
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('etag', '"v1"').send('hello'))
      const { ask } = await client()
      const headers = { 'if-none-match': '"v1"' }
      for (const xCache of ['MISS', 'HIT', 'HIT']) {
        const answer = await ask('/', { headers })
        expect(summary(answer)).toBe(`304 ${xCache} `)
        expect(answer.headers).toMatchObject({ etag: '"v1"' })
      }
      expect(summary(await ask('/', { headers: { 'if-none-match': '"v0"' } }))).toBe('200 HIT hello')
    })

    test('a HEAD has the fields of the GET and no body, and the connection is of use after it', async () => {
      const { app, cache, client } = start()
      app.get('/', cached(cache, { ttl: 60 }), () => 'hello')
      const { ask } = await client()
      expect(summary(await ask('/', { method: 'HEAD' }))).toBe('200 BYPASS ')
      expect(summary(await ask('/'))).toBe('200 MISS hello')
      const head = await ask('/', { method: 'HEAD' })
      expect(summary(head)).toBe('200 HIT ')
      expect(head.headers).toMatchObject({ 'content-length': '5' })
      expect(summary(await ask('/'))).toBe('200 HIT hello')
    })

    test('a part, a part that is not there, and what would be several parts', async () => {
      const { app, cache, client } = start()
      app.get('/', cached(cache, { ttl: 60 }), () => '0123456789')
      const { ask } = await client()
      await ask('/')
      const part = await ask('/', { headers: { range: 'bytes=2-4' } })
      expect(summary(part)).toBe('206 HIT 234')
      expect(part.headers).toMatchObject({ 'content-range': 'bytes 2-4/10', 'content-length': '3' })
      const beyond = await ask('/', { headers: { range: 'bytes=10-' } })
      expect(beyond).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */10' }, body: '' })
      expect(summary(await ask('/', { headers: { range: 'bytes=0-0,2-2' } }))).toBe('200 HIT 0123456789')
    })

    test('gzip to whom reads it, and identity to whom does not', async () => {
      const { app, cache, client } = start()
      await app.register(compress, { threshold: 100 })
      app.get('/', cached(cache, { ttl: 60 }), () => TEXT)
      const { ask } = await client()
      const zipped = { headers: { 'accept-encoding': 'gzip' } }
      const plain = { headers: { 'accept-encoding': 'identity' } }
      const [miss, hit, other] = [await ask('/', plain), await ask('/', zipped), await ask('/', plain)]
      expect([miss, hit, other].map(({ body }) => body)).toEqual([TEXT, TEXT, TEXT])
      expect([miss, hit, other].map(({ headers }) => headers['x-cache'])).toEqual(['MISS', 'HIT', 'HIT'])
      expect(hit.headers).toMatchObject({
        'content-encoding': 'gzip',
        vary: 'accept-encoding',
        etag: `W/${miss.headers['etag']}`,
      })
      expect(other.headers).toMatchObject({ etag: miss.headers['etag'] })
      expect(other.headers).not.toHaveProperty('content-encoding')
    })

    test('a stale answer at once, while one refresh runs behind', async () => {
      const { app, cache, clock, client } = start()
      let runs = 0
      app.get('/', cached(cache, { ttl: 60, swr: 60 }), () => `run ${++runs}`)
      const { ask } = await client()
      let filled = nextFill(cache)
      await ask('/')
      await filled
      clock.advance(90)
      filled = nextFill(cache)
      const stale = await ask('/')
      expect(summary(stale)).toBe('200 STALE run 1')
      expect(stale.headers).toMatchObject({ age: '90', 'cache-status': 'tidemark; hit; ttl=-30' })
      await filled
      expect(summary(await ask('/'))).toBe('200 HIT run 2')
    })

    test('fifty who ask at once for what is not there are answered by one run of the handler', async () => {
      const { app, cache, client } = start()
      const gate = makeGate()
      let runs = 0
      app.get('/', cached(cache, { ttl: 60 }), async () => {
        runs++
        await gate.opened
        return 'hello'
      })
      const { ask } = await client()
      const asked = Array.from({ length: 50 }, () => ask('/'))
      await expect.poll(() => cache.getStatistics().coalesced, { timeout: 15_000 }).toBe(49)
      gate.open()
      const answers = (await Promise.all(asked)).map(summary)
      expect(answers.toSorted()).toEqual([...Array<string>(49).fill('200 HIT hello'), '200 MISS hello'])
      expect(runs).toBe(1)
    })

    test('one who goes away in the middle leaves nothing behind, and the next gets it whole', async () => {
      const { app, cache, client } = start()
      const first = new PassThrough()
      let runs = 0
      app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => {
        if (++runs > 1) return reply.send(`run ${runs}`)
        first.write('half')
        return reply.send(first)
      })
      const { ask, begin } = await client()
      const leave = await begin('/')
      leave()
      await expect.poll(() => first.destroyed).toBe(true)
      expect(summary(await ask('/'))).toBe('200 MISS run 2')
      expect(summary(await ask('/'))).toBe('200 HIT run 2')
    })
  })

  describe('over one connection', () => {
    test('hits, misses, 304s, parts and heads follow each other', async () => {
      const cache = caches.create()
      const app = makeApp({ forceCloseConnections: true })
      setupCache(app, cache)
      app.get('/:id', cached(cache, { ttl: 60 }), ({ params }, reply) => {
        const { id } = params as { id: string }
        return reply.header('etag', `"${id}"`).send(`item ${id}`)
      })
      let connections = 0
      app.server.on('connection', () => connections++)
      const client = keepingAlive(await listen(app), 1)
      const found: string[] = []
      for (const id of ['a', 'a', 'b', 'a', 'c', 'b']) {
        found.push(summary(await client.ask(`/${id}`)))
        found.push(summary(await client.ask(`/${id}`, { headers: { 'if-none-match': `"${id}"` } })))
        found.push(summary(await client.ask(`/${id}`, { method: 'HEAD' })))
        found.push(summary(await client.ask(`/${id}`, { headers: { range: 'bytes=-1' } })))
      }
      const each = (id: string, xCache: string): string[] => [
        `200 ${xCache} item ${id}`,
        '304 HIT ',
        '200 HIT ',
        `206 HIT ${id}`,
      ]
      const first = [each('a', 'MISS'), each('a', 'HIT'), each('b', 'MISS')]
      const then = [each('a', 'HIT'), each('c', 'MISS'), each('b', 'HIT')]
      expect(found).toEqual([first, then].flat(2))
      expect(connections).toBe(1)
    })

    test('undici gets each answer where it belongs, of requests that are all on their way at once', async () => {
      const cache = caches.create()
      const app = makeApp({ forceCloseConnections: true })
      setupCache(app, cache)
      const gate = makeGate()
      let asked = 0
      app.addHook('onRequest', async () => void asked++)
      app.get('/:id', cached(cache, { ttl: 60 }), async ({ params }, reply) => {
        const { id } = params as { id: string }
        if (id === 'slow') await gate.opened
        return reply.header('etag', `"${id}"`).send(`item ${id}`)
      })
      let connections = 0
      app.server.on('connection', () => connections++)
      const { ask } = pipelining(await listen(app), 10)
      expect(summary(await ask('/a'))).toBe('200 MISS item a')
      const tagged = { headers: { 'if-none-match': '"a"' } }
      const part = { headers: { range: 'bytes=0-3' } }
      const answers = [ask('/slow'), ask('/a'), ask('/a', tagged), ask('/a', part), ask('/b'), ask('/slow'), ask('/a')]
      // All of them are there before the first is answered.
      await expect.poll(() => asked).toBe(1 + answers.length)
      gate.open()
      expect((await Promise.all(answers)).map(summary)).toEqual([
        '200 MISS item slow',
        '200 HIT item a',
        '304 HIT ',
        '206 HIT item',
        '200 MISS item b',
        '200 HIT item slow',
        '200 HIT item a',
      ])
      expect(connections).toBe(1)
    })

    /** What is answered to requests that are sent in one go. */
    async function pipelined(origin: string, paths: readonly string[]): Promise<string[]> {
      const socket = connect(Number(new URL(origin).port), '127.0.0.1')
      onTestFinished(() => void socket.destroy())
      const requests = paths.map((path, i) => {
        const last = i === paths.length - 1 ? 'Connection: close\r\n' : ''
        return `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${last}\r\n`
      })
      socket.write(requests.join(''))
      const text = Buffer.concat(await socket.toArray()).toString()
      return text.split(/(?=HTTP\/1\.1 )/).map((answer) => {
        const [head = '', body = ''] = answer.split('\r\n\r\n')
        return `${/^x-cache: (.*)$/m.exec(head)?.[1]?.trim()} ${body}`
      })
    }

    test('pipelined requests are answered in their order, each with its own', async () => {
      const cache = caches.create()
      const app = makeApp({ forceCloseConnections: true })
      setupCache(app, cache)
      const gate = makeGate()
      app.get('/:id', cached(cache, { ttl: 60 }), async ({ params }) => {
        const { id } = params as { id: string }
        if (id === 'slow') await gate.opened
        if (id === 'last') gate.open()
        return id
      })
      const origin = await listen(app)
      expect(await pipelined(origin, ['/warm'])).toEqual(['MISS warm'])
      // The slow one is let go by the last.
      expect(await pipelined(origin, ['/slow', '/warm', '/a', '/warm', '/last'])).toEqual([
        'MISS slow',
        'HIT warm',
        'MISS a',
        'HIT warm',
        'MISS last',
      ])
    })

    test('what has to wait its turn in a pipeline does not keep those waiting who ask for it elsewhere', async () => {
      const cache = caches.create()
      const app = makeApp({ forceCloseConnections: true })
      setupCache(app, cache)
      const [slow, made] = [makeGate(), makeGate()]
      const size = 300_000
      app.get('/slow', cached(cache, { ttl: 60 }), () => slow.opened.then(() => 'slow'))
      app.get('/large', cached(cache, { ttl: 60 }), async (_request, reply) => {
        await made.opened
        const stream = new PassThrough()
        stream.end('a'.repeat(size))
        return reply.send(stream)
      })
      const origin = await listen(app)
      const turns = pipelined(origin, ['/slow', '/large'])
      await expect.poll(() => cache.getStatistics().loads).toBe(2)
      const other = pipelined(origin, ['/large'])
      await expect.poll(() => cache.getStatistics().coalesced).toBe(1)
      made.open()
      expect((await other)[0]!.length).toBe('HIT '.length + size)
      slow.open()
      expect((await turns).map((answer) => answer.slice(0, 10))).toEqual(['MISS slow', expect.stringMatching(/^MISS /)])
    })
  })
})
