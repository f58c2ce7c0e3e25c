/** Parts of what is stored. */
import compress from '@fastify/compress'
import { describe, expect, test } from 'vitest'
import { cached, setupCache } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, listen, makeApp, makeCachedApp } from './harness.ts'

const TEXT = '0123456789'
const MODIFIED = 'Wed, 31 Dec 2025 00:00:00 GMT'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  async function start(): Promise<ReturnType<typeof makeApp>> {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('last-modified', MODIFIED).send(TEXT))
    app.get('/none', cached(cache, { ttl: 60 }), (_request, reply) => reply.header('accept-ranges', 'none').send(TEXT))
    app.get('/missing', cached(cache, { ttl: 60 }), (_request, reply) => reply.code(404).send(TEXT))
    for (const url of ['/', '/none', '/missing']) {
      const filled = nextFill(cache)
      await get(app, url)
      await filled
    }
    return app
  }

  test('a hit says that it has ranges, unless the handler says otherwise', async () => {
    const app = await start()
    expect((await get(app, '/')).headers['accept-ranges']).toBe('bytes')
    expect((await get(app, '/none')).headers['accept-ranges']).toBe('none')
    expect((await get(app, '/missing')).headers).not.toHaveProperty('accept-ranges')
  })

  test.each([
    ['bytes=2-4', 'bytes 2-4/10', '234'],
    ['bytes=8-', 'bytes 8-9/10', '89'],
    ['bytes=-3', 'bytes 7-9/10', '789'],
    ['bytes=0-99', 'bytes 0-9/10', TEXT],
  ])('%s is a 206 with %s (RFC 9110 §15.3.7)', async (range, contentRange, body) => {
    const app = await start()
    const answer = await get(app, '/', { range })
    expect([answer.statusCode, answer.body]).toEqual([206, body])
    expect(answer.headers).toMatchObject({
      'x-cache': 'HIT',
      'content-range': contentRange,
      'content-length': String(body.length),
      'content-type': 'text/plain; charset=utf-8',
      'last-modified': MODIFIED,
      etag: expect.stringMatching(/^"/),
    })
  })

  test('what lies beyond the end is a 416 that says where that is (RFC 9110 §15.5.17)', async () => {
    const app = await start()
    const answer = await get(app, '/', { range: 'bytes=10-' })
    expect([answer.statusCode, answer.body]).toEqual([416, ''])
    expect(answer.headers).toMatchObject({ 'x-cache': 'HIT', 'content-range': 'bytes */10', 'content-length': '0' })
    expect(answer.headers).not.toHaveProperty('etag')
    expect((await get(app, '/')).body).toBe(TEXT)
  })

  // Attack 27: no request gets more than the body.
  test.each(['bytes=0-0,1-1', `bytes=${'0-,'.repeat(1000)}0-`, 'bytes=5-2', 'items=0-1', 'bytes=', 'x'])(
    '%.30s gets the whole body, once',
    async (range) => {
      const app = await start()
      const answer = await get(app, '/', { range })
      expect([answer.statusCode, answer.body]).toEqual([200, TEXT])
      expect(answer.headers).not.toHaveProperty('content-range')
    },
  )

  test('of a 404, of a HEAD, of a handler that has no ranges there are none', async () => {
    const app = await start()
    const headers = { range: 'bytes=0-1' }
    expect((await get(app, '/missing', headers)).statusCode).toBe(404)
    expect((await get(app, '/none', headers)).body).toBe(TEXT)
    const head = await app.inject({ method: 'HEAD', url: '/', headers })
    expect([head.statusCode, head.headers['content-length']]).toEqual([200, '10'])
  })

  test('If-Range gets a part of the very response, or all of another one (RFC 9110 §13.1.5)', async () => {
    const app = await start()
    const tag = String((await get(app, '/')).headers.etag)
    for (const [condition, status] of [
      [tag, 206],
      [MODIFIED, 206],
      [`W/${tag}`, 200],
      ['"other"', 200],
      ['Thu, 01 Jan 2026 00:00:00 GMT', 200],
    ] as const) {
      const answer = await get(app, '/', { range: 'bytes=0-1', 'if-range': condition })
      expect([condition, answer.statusCode]).toEqual([condition, status])
    }
  })

  test.each([
    ['@fastify/compress', false],
    ['what is stored compressed', true],
  ])('with %s a part is one of the identity bytes, and is sent so', async (_, compressionEnabled) => {
    const cache = caches.create({ cache: { compressionEnabled } })
    const app = makeApp()
    if (!compressionEnabled) await app.register(compress, { threshold: 0 })
    setupCache(app, cache)
    const body = TEXT.repeat(1000)
    app.get('/', cached(cache, { ttl: 60 }), () => body)
    const origin = await listen(app)
    await (await fetch(origin)).text()
    await expect.poll(async () => (await fetch(origin)).headers.get('x-cache')).toBe('HIT')
    const headers = { 'accept-encoding': 'gzip', range: 'bytes=9990-' }
    const answer = await fetch(origin, { headers })
    expect([answer.status, answer.headers.get('content-encoding')]).toEqual([206, null])
    expect(answer.headers.get('content-range')).toBe('bytes 9990-9999/10000')
    expect(await answer.text()).toBe(TEXT)
  })
})
