/** Bodies that flow: over real connections, cut in the middle, endless, too large, slowly read. */
import { once } from 'node:events'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { cached } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inMemory, inTurn, listen, makeCachedApp, makeGate, summary } from './harness.ts'

const MEGABYTE = 1024 * 1024

/** A request over a connection of its own. */
async function ask(origin: string, path = '/'): Promise<IncomingMessage> {
  const request = httpGet(`${origin}${path}`, { agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.on('error', () => undefined)
  return response
}

/** `X-Cache` and the body. */
async function said(origin: string): Promise<string> {
  const response = await ask(origin)
  return `${String(response.headers['x-cache'])} ${await text(response)}`
}

async function joined(cache: CacheManager, count: number): Promise<void> {
  await expect.poll(() => cache.getStatistics().coalesced, { interval: 2 }).toBeGreaterThanOrEqual(count)
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  function start(
    handler: () => unknown,
    options: { maxBodyBytes?: number } = {},
  ): { app: FastifyInstance; cache: CacheManager } {
    const cache = caches.create()
    const app = makeCachedApp(cache, { forceCloseConnections: true })
    app.get('/', cached(cache, { ttl: 60, ...options }), async () => handler())
    return { app, cache }
  }

  /** The first stream is the test's to end; those after it are whole. */
  function startWith(
    first: unknown,
    options: { maxBodyBytes?: number } = {},
  ): { app: FastifyInstance; cache: CacheManager } {
    let runs = 0
    return start(() => (++runs === 1 ? first : Readable.from([`run ${runs}`])), options)
  }

  test('a stream that ends is stored, and those who waited get it', async () => {
    const stream = new PassThrough()
    const { app, cache } = startWith(stream)
    const origin = await listen(app)
    const asked = [ask(origin), ask(origin), ask(origin)]
    await joined(cache, 2)
    stream.write('a')
    stream.end('b')
    const bodies = (await Promise.all(asked)).map((response) => text(response))
    expect(await Promise.all(bodies)).toEqual(['ab', 'ab', 'ab'])
    expect(await said(origin)).toBe('HIT ab')
  })

  test('a stream that fails in the middle is cut, not stored, and those who waited run the handler', async () => {
    const stream = new PassThrough()
    const { app, cache } = startWith(stream)
    const origin = await listen(app)
    const first = ask(origin)
    await expect.poll(() => cache.getStatistics().loads).toBe(1)
    const second = ask(origin)
    await joined(cache, 1)
    stream.write('half')
    const answer = await first
    stream.destroy(new Error('out of order'))
    await expect(text(answer)).rejects.toThrow('aborted')
    expect(await text(await second)).toBe('run 2')
  })

  test('a web stream that fails in the middle likewise', async () => {
    let controller: ReadableStreamDefaultController | undefined
    const { app } = startWith(new ReadableStream({ start: (given) => void (controller = given) }))
    const origin = await listen(app)
    const asked = ask(origin)
    await expect.poll(() => controller).toBeDefined()
    controller!.enqueue(Buffer.from('half'))
    const answer = await asked
    controller!.error(new Error('out of order'))
    await expect(text(answer)).rejects.toThrow('aborted')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 2', 'HIT run 2'])
  })

  test('a stream that fails before its first byte is an error as it is without a cache, which does not claim to have stored it', async () => {
    const { app } = startWith(
      new Readable({
        read() {
          this.destroy(new Error('no such file'))
        },
      }),
    )
    const answer = await get(app, '/')
    expect([answer.statusCode, answer.json()]).toEqual([500, expect.objectContaining({ message: 'no such file' })])
    expect(answer.headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=status-500')
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS run 2', 'HIT run 2'])
  })

  test('when the client is gone in the middle nothing is stored, the source is closed, and one of those who wait leads', async () => {
    const stream = new PassThrough()
    const { app, cache } = startWith(stream)
    const origin = await listen(app)
    const first = ask(origin)
    await expect.poll(() => cache.getStatistics().loads).toBe(1)
    const others = [ask(origin), ask(origin)]
    await joined(cache, 2)
    stream.write('half')
    ;(await first).destroy()
    expect(await Promise.all((await Promise.all(others)).map((other) => text(other)))).toEqual(['run 2', 'run 2'])
    expect(stream.destroyed).toBe(true)
    expect(await said(origin)).toBe('HIT run 2')
  })

  test('when the client is gone before the handler has answered, one of those who wait leads', async () => {
    const gate = makeGate()
    let runs = 0
    const { app, cache } = start(async () => {
      if (++runs === 1) await gate.opened
      return `run ${runs}`
    })
    const origin = await listen(app)
    const request = httpGet(origin, { agent: false }).on('error', () => undefined)
    await expect.poll(() => runs).toBe(1)
    const other = ask(origin)
    await joined(cache, 1)
    request.destroy()
    expect(await text(await other)).toBe('run 2')
    gate.open()
    expect(await said(origin)).toBe('HIT run 2')
  })

  test('when the client is gone while the cache is asked nobody hangs', async () => {
    const { app } = start(() => 'hello')
    const origin = await listen(app)
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect(Number(new URL(origin).port), '127.0.0.1')
      socket
        .on('error', () => undefined)
        .on('connect', () => {
          socket.write('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n', () => socket.destroy())
        })
      return once(socket, 'close')
    })
    await Promise.all(sockets)
    expect(summary(await get(app, '/', { host: 'app.test' }))).toMatch(/ hello$/)
  })

  test('a stream that is too large goes through whole, is not stored, and lets those who wait go as soon as it is', async () => {
    const stream = new PassThrough()
    const { app, cache } = startWith(stream, { maxBodyBytes: 8 })
    const origin = await listen(app)
    const first = ask(origin)
    await expect.poll(() => cache.getStatistics().loads).toBe(1)
    const second = ask(origin)
    await joined(cache, 1)
    stream.write('123456789')
    expect(await text(await second)).toBe('run 2')
    stream.end('0')
    expect(await text(await first)).toBe('1234567890')
  })

  test('a stream of exactly the largest size is stored', async () => {
    const { app } = start(() => Readable.from(['1234', '5678']), { maxBodyBytes: 8 })
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS 12345678', 'HIT 12345678'])
  })

  test.each([
    ['too short', '3'],
    ['too long', '30'],
  ])('a Content-Length that is %s keeps a stream out', async (_, length) => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('content-length', length).send(Readable.from(['hello'])),
    )
    expect((await get(app, '/')).headers['x-cache']).toBe('MISS')
    expect((await get(app, '/')).headers['x-cache']).toBe('MISS')
  })

  test('a declared length beyond the largest size lets those who wait go at once', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, maxBodyBytes: 3 }), (_request, reply) =>
      reply.header('content-length', 5).send(Readable.from(['hello'])),
    )
    expect((await get(app, '/')).headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=too-large')
  })

  describe('an event stream', () => {
    test('flows as it comes, is not stored, and keeps nobody waiting', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache, { forceCloseConnections: true })
      const gate = makeGate()
      const streams: PassThrough[] = []
      app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => {
        await gate.opened
        const stream = new PassThrough()
        streams.push(stream)
        return reply.type('Text/Event-Stream; charset=utf-8').send(stream)
      })
      const origin = await listen(app)
      const asked = [ask(origin), ask(origin)]
      await joined(cache, 1)
      gate.open()
      await expect.poll(() => streams.length).toBe(2)
      for (const stream of streams) stream.write('data: 1\n\n')
      const answers = await Promise.all(asked)
      for (const answer of answers) {
        expect(answer.headers['cache-status']).toMatch(/detail=event-stream$/)
        expect(String((await once(answer, 'data'))[0])).toBe('data: 1\n\n')
      }
    })

    test('of a hijacked reply likewise', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache, { forceCloseConnections: true })
      const gate = makeGate()
      app.get('/', cached(cache, { ttl: 60 }), async (_request, reply) => {
        await gate.opened
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      })
      const origin = await listen(app)
      const asked = [ask(origin), ask(origin)]
      await joined(cache, 1)
      gate.open()
      for (const answer of await Promise.all(asked)) expect(String((await once(answer, 'data'))[0])).toBe('data: 1\n\n')
    })
  })
})

test('a client that reads slowly holds up nobody else', async () => {
  // More than what two kernels' buffers take in.
  const size = 24 * MEGABYTE
  const cache = inMemory()
  const app = makeCachedApp(cache, { forceCloseConnections: true })
  const chunk = Buffer.alloc(MEGABYTE)
  let runs = 0
  app.get('/', cached(cache, { ttl: 60, maxBodyBytes: size }), () => {
    runs++
    return Readable.from(Array.from({ length: size / MEGABYTE }, () => chunk))
  })
  const origin = await listen(app)
  const { port } = new URL(origin)
  const slow = connect(Number(port), '127.0.0.1').pause()
  onTestFinished(() => void slow.destroy())
  slow.write(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  await expect.poll(() => runs).toBe(1)
  expect((await text(await ask(origin))).length).toBe(size)
  expect(runs).toBe(1)
})
