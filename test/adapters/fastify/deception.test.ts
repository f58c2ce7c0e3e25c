/**
 * Paths and names that are made to look like others: an address that a victim is lured to, so that her answer is stored
 * where anybody may ask for it, or a name that is to reach what belongs to another.
 */
import { connect } from 'node:net'
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import { describe, expect, test } from 'vitest'
import { cached } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { nextFill } from '../../http/facts.ts'
import { get, listen, makeCachedApp, summary } from './harness.ts'

/** What makes other caches take a page for a file that anybody may have. */
const LURES = [
  '/account',
  '/account/',
  '//account',
  '/account//',
  '/account/x.css',
  '/account/x.js',
  '/account.css',
  '/account;.css',
  '/account;a=1/x.css',
  '/account%2Fx.css',
  '/account%3Bx.css',
  '/account%00.css',
  '/account%0A.css',
  '/account%23.css',
  '/account%3F.css',
  '/account?.css',
  '/account/..%2Fstatic%2Fx.css',
  '/static/..%2Faccount',
  '/static/%2e%2e/account',
  '/ACCOUNT',
  '/%61ccount',
]

/** Ways in which a router may take two paths for one. */
const ROUTERS: readonly (readonly [string, FastifyServerOptions])[] = [
  ['as it comes', {}],
  [
    'that takes many paths for one',
    {
      routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, caseSensitive: false },
      useSemicolonDelimiter: true,
    },
  ],
]

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  async function ask(origin: string, path: string, token?: string): Promise<string> {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1')
    const authorization = token === undefined ? '' : `X-Token: ${token}\r\n`
    socket.write(`GET ${path} HTTP/1.1\r\nHost: app.test\r\n${authorization}Connection: close\r\n\r\n`)
    return Buffer.concat(await socket.toArray()).toString()
  }

  describe.each(ROUTERS)('a router %s', (_, server) => {
    function start(options: object): FastifyInstance {
      const cache = caches.create()
      const app = makeCachedApp(cache, server)
      const token = ({ headers }: FastifyRequest): string | undefined => headers['x-token'] as string | undefined
      app.addHook('preHandler', async (request, reply) =>
        token(request) === undefined ? reply.code(401).send('who are you?') : undefined,
      )
      app.get('/*', cached(cache, { ttl: 60, ...options }), (request, reply) =>
        // As an application that has its own idea of what is a file.
        reply.type(request.url.includes('.css') ? 'text/css' : 'text/html').send(`secret of ${token(request)}`),
      )
      return app
    }

    test('what Alice was lured to, whatever its path, neither a stranger gets nor Bob', async () => {
      const app = start({ user: ({ headers }: FastifyRequest) => headers['x-token'] as string | undefined })
      const origin = await listen(app)
      for (const path of LURES) {
        expect(await ask(origin, path, 'alice'), path).toContain('secret of alice')
        const stranger = await ask(origin, path)
        expect(stranger, path).toMatch(/^HTTP\/1\.1 401 /)
        expect(stranger, path).not.toContain('secret')
        expect(await ask(origin, path, 'bob'), path).toContain('secret of bob')
      }
    })

    test('without a user it is stored, and a stranger is turned away before it all the same', async () => {
      const app = start({})
      const origin = await listen(app)
      for (const path of LURES) {
        await ask(origin, path, 'alice')
        const stranger = await ask(origin, path)
        expect(stranger, path).toMatch(/^HTTP\/1\.1 401 /)
        expect(stranger, path).not.toContain('secret')
      }
    })
  })

  const NAMES = [
    'a',
    'a:b',
    'a:b:c',
    'a|b',
    'a\0',
    'a\0b',
    'a\n',
    'a\r\nb',
    'a*',
    '*',
    '{}',
    '{a}',
    'a%00',
    '%61',
    'caf\u00e9',
    'cafe\u0301',
    '__proto__',
    'constructor',
    'x',
    'x-d',
    'l'.repeat(100_000),
    `${'l'.repeat(99_999)}m`,
    'k:a',
    'v::a',
    '0:',
    '1:a',
  ]

  test.each(['key', 'path'] as const)(
    'names of all kinds are distinct, and invalidating one leaves all others, by %s',
    async (by) => {
      const cache = caches.create()
      const app = makeCachedApp(cache, { routerOptions: { maxParamLength: 500_000 } })
      const options = by === 'key' ? { key: ({ params }: FastifyRequest) => (params as { id: string }).id } : {}
      app.get('/:id', cached(cache, { ttl: 60, ...options }), ({ params }) => params)
      const urls = NAMES.map((name) => `/${encodeURIComponent(name).replaceAll('*', '%2A')}`)
      const outcomes = async (): Promise<unknown[]> => {
        const found: unknown[] = []
        for (const [i, url] of urls.entries()) {
          // Not stored by those who look.
          const { statusCode, headers, body } = await app.inject({ method: 'HEAD', url })
          expect([statusCode, body]).toEqual([200, ''])
          found.push(headers['x-cache'] === 'HIT' ? NAMES[i] : undefined)
        }
        return found
      }
      for (const [i, url] of urls.entries()) {
        const filled = nextFill(cache)
        expect((await get(app, url)).json()).toEqual({ id: NAMES[i] })
        await filled
      }
      expect(await outcomes()).toEqual(NAMES)
      for (const [i, name] of NAMES.entries()) {
        await cache.delete(by === 'key' ? name : urls[i]!)
        expect(await outcomes()).toEqual(NAMES.map((each, at) => (at <= i ? undefined : each)))
      }
    },
  )

  test('a namespace and a name that meet in a colon are not each other', async () => {
    const cache = caches.create()
    const app = makeCachedApp(cache)
    const pairs = [
      ['a:b', 'c'],
      ['a', 'b:c'],
      ['', 'a:b:c'],
      ['a%3Ab', 'c'],
    ] as const
    for (const [i, [namespace, key]] of pairs.entries()) {
      app.get(`/${i}`, cached(cache, { ttl: 60, namespace, key: () => key }), () => `answer ${i}`)
    }
    for (let i = 0; i < pairs.length; i++) expect(summary(await get(app, `/${i}`))).toBe(`MISS answer ${i}`)
    for (let i = 0; i < pairs.length; i++) expect(summary(await get(app, `/${i}`))).toBe(`HIT answer ${i}`)
    await cache.delete('c', { namespace: 'a:b' })
    expect(summary(await get(app, '/1'))).toBe('HIT answer 1')
    expect(summary(await get(app, '/2'))).toBe('HIT answer 2')
    expect(summary(await get(app, '/3'))).toBe('HIT answer 3')
    expect(summary(await get(app, '/0'))).toBe('MISS answer 0')
  })
})
