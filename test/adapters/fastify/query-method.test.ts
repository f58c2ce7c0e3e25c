/** QUERY (RFC 10008): safe, with a body, which is part of the key. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest, LightMyRequestResponse } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cached, type CacheRouteOptions } from 'tidemark/fastify'
import { ManualClock } from 'tidemark/testing'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, listen, makeCachedApp, summary } from './harness.ts'

interface Asked {
  readonly url?: string
  readonly payload?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

function query(app: FastifyInstance, { url = '/', payload, headers }: Asked): Promise<LightMyRequestResponse> {
  const content = payload === undefined ? {} : { payload, headers: { 'content-type': 'application/json', ...headers } }
  return app.inject({ method: 'QUERY' as never, url, ...(headers && { headers }), ...content })
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  function start(options: Partial<CacheRouteOptions> = {}): FastifyInstance {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    )
    app.addContentTypeParser('application/x-stream', (_request, payload, done) => done(null, payload))
    app.addContentTypeParser('application/x-left', (_request, payload, done) => {
      payload.resume()
      done(null)
    })
    let runs = 0
    app.route({
      method: ['GET', 'QUERY'],
      url: '/',
      ...cached(cache, { ttl: 60, methods: ['GET', 'HEAD', 'QUERY'], ...options }),
      handler: async ({ body }: FastifyRequest) => {
        if (body instanceof Readable) body.resume()
        return `run ${++runs}`
      },
    })
    return app
  }

  async function inTurn(app: FastifyInstance, asked: readonly Asked[]): Promise<string[]> {
    const found: string[] = []
    for (const one of asked) found.push(summary(await query(app, one)))
    return found
  }

  test('the body tells answers apart, in whatever way its JSON was written', async () => {
    const app = start()
    const asked = ['{"a":1}', '{"a":2}', '{ "a" : 1 }', '{"a":"1"}', 'null', '[]'].map((payload) => ({ payload }))
    const expected = ['MISS run 1', 'MISS run 2', 'HIT run 1', 'MISS run 3', 'MISS run 4', 'MISS run 5']
    expect(await inTurn(app, asked)).toEqual(expected)
  })

  test('so do its type and its encoding', async () => {
    const app = start()
    const headers = { 'content-type': 'text/plain' }
    const asked: Asked[] = [
      { payload: '"a"' },
      { payload: '"a"', headers },
      { payload: 'a', headers },
      { payload: 'a', headers: { 'content-type': 'application/octet-stream' } },
      { payload: 'a', headers: { ...headers, 'content-encoding': 'identity' } },
    ]
    expect(await inTurn(app, asked)).toEqual(asked.map((_, i) => `MISS run ${i + 1}`))
    expect(await inTurn(app, asked)).toEqual(asked.map((_, i) => `HIT run ${i + 1}`))
  })

  test('so do the query, and GET from QUERY', async () => {
    const app = start()
    const payload = '{}'
    expect(await inTurn(app, [{ payload }, { payload, url: '/?a=1' }])).toEqual(['MISS run 1', 'MISS run 2'])
    expect(summary(await get(app, '/'))).toBe('MISS run 3')
    expect(await inTurn(app, [{ payload }])).toEqual(['HIT run 1'])
  })

  test('a `key` function does not speak for the body', async () => {
    const app = start({ key: () => 'search' })
    expect(await inTurn(app, [{ payload: '{"a":1}' }, { payload: '{"a":2}' }])).toEqual(['MISS run 1', 'MISS run 2'])
  })

  test.each(['application/x-stream', 'application/x-left'])(
    'a body that cannot be told apart passes by: %s',
    async (type) => {
      const app = start()
      for (const payload of ['a', 'b']) {
        const answer = await query(app, { payload, headers: { 'content-type': type } })
        expect(answer.headers['cache-status']).toBe('tidemark; fwd=bypass; detail=request-body')
      }
    },
  )

  test('without the option QUERY passes by', async () => {
    const app = start({ methods: ['GET'] })
    expect((await query(app, { payload: '{}' })).headers['cache-status']).toBe('tidemark; fwd=method')
  })

  test('past its ttl it is loaded anew, not refreshed behind', async () => {
    const clock = new ManualClock()
    const cache = caches.create({ clock })
    const app = makeCachedApp(cache)
    let runs = 0
    const options = cached(cache, { ttl: 60, swr: 60, methods: ['QUERY'] })
    app.route({ method: 'QUERY', url: '/', ...options, handler: async () => `run ${++runs}` })
    expect(await inTurn(app, [{ payload: '{}' }])).toEqual(['MISS run 1'])
    clock.advance(70)
    expect(await inTurn(app, [{ payload: '{}' }])).toEqual(['MISS run 2'])
  })

  test('over a connection', async () => {
    const app = start()
    const origin = await listen(app)
    const ask = async (): Promise<string> => {
      const headers = { 'content-type': 'application/json', connection: 'close' }
      const response = await fetch(origin, { method: 'QUERY', body: '{"a":1}', headers })
      return `${response.headers.get('x-cache')} ${await response.text()}`
    }
    expect([await ask(), await ask()]).toEqual(['MISS run 1', 'HIT run 1'])
  })
})
