/** Nobody is handed what was made for somebody else. */
import type { FastifyInstance, FastifyReply, FastifyRequest, LightMyRequestResponse } from 'fastify'
import { describe, expect, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { cached, setupCache, type CacheRouteOptions } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inTurn, makeApp, makeCachedApp, makeGate, summary } from './harness.ts'

const bearer = (user: string): Record<string, string> => ({ authorization: `Bearer ${user}` })

/** Answers with whom it was asked by. */
const whoAmI = async ({ headers }: FastifyRequest): Promise<string> => `for ${headers.authorization ?? 'anyone'}`

function statusesOf(answers: readonly LightMyRequestResponse[]): number[] {
  return answers.map(({ statusCode }) => statusCode)
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  function start(
    options: Partial<CacheRouteOptions>,
    handler: (r: FastifyRequest, reply: FastifyReply) => unknown,
  ): FastifyInstance {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.get('/', cached(cache, { ttl: 60, ...options }), handler as () => unknown)
    return app
  }

  describe('Authorization', () => {
    test('what Alice fills Bob does not get, nor anybody without one', async () => {
      const app = start({}, whoAmI)
      const answers = [await get(app, '/', bearer('alice')), await get(app, '/', bearer('bob')), await get(app, '/')]
      expect(answers.map(({ body }) => body)).toEqual(['for Bearer alice', 'for Bearer bob', 'for anyone'])
      expect(answers[0]!.headers).toMatchObject({
        'x-cache': 'BYPASS',
        'cache-status': 'tidemark; fwd=bypass; detail=authorization',
      })
      expect(summary(await get(app, '/'))).toBe('HIT for anyone')
      expect((await get(app, '/', bearer('alice'))).body).toBe('for Bearer alice')
    })

    test('those who ask at once do not share', async () => {
      const gate = makeGate()
      const app = start({}, async (request) => {
        await gate.opened
        return whoAmI(request)
      })
      const users = Array.from({ length: 20 }, (_, i) => `user${i}`)
      const answers = users.map((user) => get(app, '/', bearer(user)))
      gate.open()
      expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(users.map((user) => `for Bearer ${user}`))
    })

    test.each(['public', 's-maxage=60', 'must-revalidate'])('is shared by a response that says %s', async (field) => {
      const app = start({}, (_request, reply) => reply.header('cache-control', field).send('hello'))
      expect(summary(await get(app, '/', bearer('alice')))).toBe('MISS hello')
      expect(summary(await get(app, '/', bearer('bob')))).toBe('HIT hello')
      expect(summary(await get(app, '/'))).toBe('HIT hello')
    })

    test('is shared where the route says that it does not matter, behind the hooks that look at it', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      let runs = 0
      app.addHook('onRequest', async ({ headers }, reply) =>
        headers.authorization === 'Bearer eve' ? reply.code(403).send('no') : undefined,
      )
      app.get('/', cached(cache, { ttl: 60, auth: 'shared' }), () => `run ${++runs}`)
      expect(summary(await get(app, '/', bearer('alice')))).toBe('MISS run 1')
      expect(summary(await get(app, '/', bearer('bob')))).toBe('HIT run 1')
      expect(await inTurn(app, ['/'])).toEqual(['HIT run 1'])
      expect((await get(app, '/', bearer('eve'))).statusCode).toBe(403)
    })

    test('in any case of its name is one', async () => {
      const app = start({}, whoAmI)
      expect((await get(app, '/', { AUTHORIZATION: 'Bearer alice' })).body).toBe('for Bearer alice')
      expect((await get(app, '/')).body).toBe('for anyone')
    })

    test('and empty is one', async () => {
      const app = start({}, whoAmI)
      expect((await get(app, '/', { authorization: '' })).headers['x-cache']).toBe('BYPASS')
    })
  })

  describe('user', () => {
    const byUser = { user: (request: FastifyRequest) => request.headers['x-user'] as string | undefined }

    test('two users at once, and one after the other, each get their own', async () => {
      const gate = makeGate()
      const app = start(byUser, async (request) => {
        await gate.opened
        return `for ${String(request.headers['x-user'])}`
      })
      const ask = (user: string): Promise<LightMyRequestResponse> => get(app, '/', { 'x-user': user })
      const users = ['alice', 'bob', 'alice', 'bob', 'a', 'alice ', 'Alice', '1:a', '=alice', '-']
      const asked = users.map(ask)
      gate.open()
      expect((await Promise.all(asked)).map(({ body }) => body)).toEqual(users.map((user) => `for ${user}`))
      for (const user of users) expect(summary(await ask(user))).toBe(`HIT for ${user}`)
    })

    test('a request with Authorization is stored for its user, and for nobody if it has none', async () => {
      const app = start(byUser, whoAmI)
      const alice = { ...bearer('alice'), 'x-user': 'alice' }
      expect(summary(await get(app, '/', alice))).toBe('MISS for Bearer alice')
      expect(summary(await get(app, '/', alice))).toBe('HIT for Bearer alice')
      expect(summary(await get(app, '/', bearer('eve')))).toBe('BYPASS for Bearer eve')
      expect(summary(await get(app, '/'))).toBe('MISS for anyone')
    })

    test.each([
      ['an object', () => ({ id: 1 })],
      ['a promise', async () => 'alice'],
      ['a boolean', () => true],
      ['NaN', () => Number.NaN],
      ['a list', () => ['alice']],
    ])('%s would be everybody: who it is said of is answered without the cache', async (_, user) => {
      const app = start({ user: user as never }, whoAmI)
      for (const name of ['alice', 'bob']) {
        const answer = await get(app, '/', bearer(name))
        expect(summary(answer)).toBe(`BYPASS for Bearer ${name}`)
        expect(answer.headers['cache-status']).toBe('tidemark; fwd=bypass; detail=user')
      }
    })

    test('an empty one is nobody', async () => {
      const app = start({ user: () => '' }, whoAmI)
      expect(summary(await get(app, '/', bearer('alice')))).toBe('BYPASS for Bearer alice')
    })

    test('a number is one', async () => {
      const app = start(
        { user: ((request: FastifyRequest) => Number(request.headers['x-user'])) as never },
        () => 'mine',
      )
      expect(summary(await get(app, '/', { 'x-user': '7' }))).toBe('MISS mine')
      expect(summary(await get(app, '/', { 'x-user': '8' }))).toBe('MISS mine')
      expect(summary(await get(app, '/', { 'x-user': '7' }))).toBe('HIT mine')
    })
  })

  test('a host that the route does not name passes by, and fills nothing', async () => {
    const app = start({ hosts: ['App.test'] }, ({ host }) => `for ${host}`)
    for (const host of ['app.test', 'APP.TEST:80'])
      expect(summary(await get(app, '/', { host }))).toBe(`MISS for ${host}`)
    expect(summary(await get(app, '/', { host: 'app.test' }))).toBe('HIT for app.test')
    for (let i = 0; i < 2; i++) {
      const answer = await get(app, '/', { host: 'evil.test' })
      expect(summary(answer)).toBe('BYPASS for evil.test')
      expect(answer.headers['cache-status']).toBe('tidemark; fwd=bypass; detail=host')
    }
  })

  describe('cookies', () => {
    test('fifty requests at once get fifty distinct ones, and nothing is stored', async () => {
      let session = 0
      const gate = makeGate()
      const app = start({}, async (_request, reply) => {
        reply.header('set-cookie', `session=${++session}`)
        await gate.opened
        return 'hello'
      })
      const asked = Array.from({ length: 50 }, () => get(app, '/'))
      await expect.poll(() => session).toBe(1)
      gate.open()
      const cookies = (await Promise.all(asked)).map(({ headers }) => headers['set-cookie'])
      expect(new Set(cookies).size).toBe(50)
      const after = await get(app, '/')
      expect(after.headers).toMatchObject({ 'x-cache': 'MISS', 'set-cookie': 'session=51' })
      expect(after.headers['cache-status']).toBe('tidemark; fwd=uri-miss; detail=set-cookie')
    })

    test('set before the handler, behind it, on the raw response, in a Response: none is stored', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      const options = cached(cache, { ttl: 60 })
      const onRequest = async (_request: FastifyRequest, reply: FastifyReply): Promise<void> =>
        void reply.header('set-cookie', 'a=1')
      app.get('/before', { ...options, onRequest }, () => 'hello')
      app.get('/raw', options, (_request, reply) => {
        reply.raw.setHeader('Set-Cookie', 'a=1')
        return 'hello'
      })
      app.get('/response', options, () => new Response('hello', { headers: { 'set-cookie': 'a=1' } }))
      void app.register(async (part) => {
        part.addHook('onSend', onRequest)
        part.get('/behind', options, () => 'hello')
      })
      for (const url of ['/before', '/raw', '/response', '/behind']) {
        for (let i = 0; i < 2; i++)
          expect((await get(app, url)).headers).toMatchObject({ 'x-cache': 'MISS', 'set-cookie': 'a=1' })
      }
    })
  })

  test.each([
    'private',
    'no-store',
    'no-cache',
    'PRIVATE',
    'No-Store',
    'max-age=60, private',
    'private="x-user"',
    'no-cache="x-user"',
    'max-age=60; private',
    'max-age="60, private',
    'public,private',
    '\tprivate ,',
    'max-age=60 no-store',
  ])('nothing is stored of a response that says %s', async (field) => {
    const app = start({}, (_request, reply) => reply.header('cache-control', field).send('hello'))
    expect(await inTurn(app, ['/', '/'])).toEqual(['MISS hello', 'MISS hello'])
  })

  test('nothing is stored of a response that says so in a second line, or from before the handler', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    app.addHook('onRequest', async (request, reply) => {
      if (request.url === '/before') reply.header('cache-control', 'private')
    })
    app.get('/before', cached(cache, { ttl: 60 }), () => 'hello')
    app.get('/lines', cached(cache, { ttl: 60 }), (_request, reply) =>
      reply.header('cache-control', ['max-age=60', 'private']).send('hello'),
    )
    expect(await inTurn(app, ['/before', '/before', '/lines', '/lines'])).toEqual(Array(4).fill('MISS hello'))
  })

  test.each(['*', 'Cookie', 'accept-language, *', 'Accept-Language'])(
    'nothing is stored of a response that varies by %s',
    async (vary) => {
      const app = start({}, (_request, reply) => reply.header('vary', vary).send('hello'))
      expect(await inTurn(app, ['/', '/'])).toEqual(['MISS hello', 'MISS hello'])
    },
  )

  test('what the route varies by tells responses apart', async () => {
    const app = start({ vary: ['Accept-Language'] }, ({ headers }, reply) =>
      reply.header('vary', 'accept-language').send(`in ${headers['accept-language'] ?? 'none'}`),
    )
    for (const language of ['de', 'fr'])
      expect(summary(await get(app, '/', { 'accept-language': language }))).toBe(`MISS in ${language}`)
    for (const language of ['de', 'fr'])
      expect(summary(await get(app, '/', { 'accept-language': language }))).toBe(`HIT in ${language}`)
    expect(await inTurn(app, ['/'])).toEqual(['MISS in none'])
  })

  describe('authentication', () => {
    const tokens = new Set<string>()
    const authenticate = async ({ headers }: FastifyRequest, reply: FastifyReply): Promise<unknown> =>
      tokens.has(headers['x-token'] as string) ? undefined : reply.code(401).send('who are you?')
    const stages = ['onRequest', 'preValidation', 'preHandler'] as const

    function protect(stage: (typeof stages)[number], place: string): FastifyInstance {
      const cache = caches.create()
      const app = makeApp()
      if (place === 'global, before the cache') app.addHook(stage, authenticate)
      setupCache(app, cache)
      if (place === 'global') app.addHook(stage, authenticate)
      const options = cached(cache, { ttl: 60 })
      void app.register(async (part) => {
        if (place === 'of the plugin') part.addHook(stage, authenticate)
        if (place === 'by onRoute, pushed') addByOnRoute(part, stage, 'push')
        if (place === 'by onRoute, assigned') addByOnRoute(part, stage, 'assign')
        part.get('/', { ...options, ...(place === 'of the route' && { [stage]: authenticate }) }, () => 'secret')
        if (place === 'of the plugin, behind the route') part.addHook(stage, authenticate)
      })
      return app
    }

    /** As plugins for authorization do that read options of routes. */
    function addByOnRoute(app: FastifyInstance, stage: (typeof stages)[number], how: 'push' | 'assign'): void {
      app.addHook('onRoute', (route) => {
        const hooks = [route[stage] ?? []].flat() as unknown[]
        if (how === 'push' && Array.isArray(route[stage])) route[stage].push(authenticate)
        else route[stage] = [...hooks, authenticate] as never
      })
    }

    const places = [
      'global',
      'global, before the cache',
      'of the plugin',
      'of the plugin, behind the route',
      'of the route',
      'by onRoute, pushed',
      'by onRoute, assigned',
    ]

    test.each(places.flatMap((place) => stages.map((stage) => [stage, place] as const)))(
      'in %s, %s: after a fill an anonymous request gets 401, and so does a token that was revoked',
      async (stage, place) => {
        const app = protect(stage, place)
        tokens.add('good')
        expect(summary(await get(app, '/', { 'x-token': 'good' }))).toBe('MISS secret')
        expect(summary(await get(app, '/', { 'x-token': 'good' }))).toBe('HIT secret')
        const heads = [
          await app.inject({ method: 'HEAD', url: '/' }),
          await get(app, '/'),
          await get(app, '/', { 'x-token': 'bad' }),
        ]
        tokens.delete('good')
        const revoked = await get(app, '/', { 'x-token': 'good' })
        expect(statusesOf([...heads, revoked])).toEqual([401, 401, 401, 401])
        for (const { body, headers } of [...heads, revoked]) {
          expect(body).not.toContain('secret')
          expect(headers).not.toHaveProperty('x-cache')
        }
      },
    )

    test('what it answers those it turns away is not stored', async () => {
      const app = protect('preHandler', 'of the route')
      expect((await get(app, '/')).statusCode).toBe(401)
      tokens.add('good')
      expect(summary(await get(app, '/', { 'x-token': 'good' }))).toBe('MISS secret')
      tokens.delete('good')
    })

    test('hooks that two routes share are not given to each other', async () => {
      const cache: CacheManager = caches.create()
      const app = makeCachedApp(cache)
      const preHandler = [async (): Promise<void> => undefined]
      app.get('/cached', { ...cached(cache, { ttl: 60 }), preHandler }, () => 'hello')
      app.get('/plain', { preHandler }, () => 'hello')
      await get(app, '/cached')
      expect((await get(app, '/plain')).headers).not.toHaveProperty('x-cache')
      expect(preHandler).toHaveLength(1)
    })
  })
})
