/**
 * `policy: 'rfc9111'` in a reverse proxy: one route of all methods in front of an origin that answers as it is told to.
 * Each case is a rule of RFC 9111 (or 5861, 9110, 9213), asked over real sockets.
 */
import { describe, expect, test } from 'vitest'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { makeCachedApp } from './harness.ts'
import { fresh, playing, Proxy, settle, type Step } from './reverse-proxy.ts'
import type { Scripted } from './scripted-origin.ts'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)
  const play = playing(caches)

  describe('freshness (RFC 9111 §4.2)', () => {
    test.each<[string, Record<string, string>, 'cache' | 'origin']>([
      ['nothing said', {}, 'origin'],
      ['max-age', { 'cache-control': 'max-age=3600' }, 'cache'],
      ['max-age=0', { 'cache-control': 'max-age=0' }, 'origin'],
      ['max-age, quoted', { 'cache-control': 'max-age="3600"' }, 'cache'],
      ['max-age in capitals', { 'cache-control': 'MaX-aGe=3600' }, 'cache'],
      ['a max-age that is no number', { 'cache-control': 'max-age=abc' }, 'origin'],
      ['a max-age with a fraction', { 'cache-control': 'max-age=3600.5' }, 'origin'],
      ['a negative max-age', { 'cache-control': 'max-age=-3600' }, 'origin'],
      ['a max-age beyond 2^31', { 'cache-control': 'max-age=99999999999' }, 'cache'],
      ['max-age twice, contradicting', { 'cache-control': 'max-age=0, max-age=3600' }, 'origin'],
      ['s-maxage over max-age', { 'cache-control': 'max-age=0, s-maxage=3600' }, 'cache'],
      ['max-age over s-maxage=0', { 'cache-control': 'max-age=3600, s-maxage=0' }, 'origin'],
      [
        'max-age over an old Expires',
        { 'cache-control': 'max-age=3600', expires: 'Thu, 01 Jan 1970 00:00:00 GMT' },
        'cache',
      ],
      ['an extension between', { 'cache-control': 'foo="a, max-age=0", max-age=3600' }, 'cache'],
      ['Expires: 0', { expires: '0' }, 'origin'],
      ['an Expires that is no date', { expires: 'soon' }, 'origin'],
      ['an Age beyond it', { 'cache-control': 'max-age=3600', age: '7200' }, 'origin'],
      ['an Age within it', { 'cache-control': 'max-age=3600', age: '1800' }, 'cache'],
      ['an Age that is no number', { 'cache-control': 'max-age=3600', age: 'old' }, 'cache'],
      ['a list of Ages: the first counts', { 'cache-control': 'max-age=3600', age: '0, 7200' }, 'cache'],
      ['no-store', { 'cache-control': 'max-age=3600, No-StOrE' }, 'origin'],
      ['private', { 'cache-control': 'private, max-age=3600' }, 'origin'],
      ['must-understand over no-store', { 'cache-control': 'must-understand, no-store, max-age=3600' }, 'cache'],
      [
        'our own field over no-store',
        { 'cache-control': 'no-store', 'tidemark-cache-control': 'max-age=3600' },
        'cache',
      ],
      [
        'our own field over max-age',
        { 'cache-control': 'max-age=3600', 'tidemark-cache-control': 'max-age=0' },
        'origin',
      ],
      [
        'our own field, which does not parse',
        { 'cache-control': 'max-age=3600', 'tidemark-cache-control': 'max-age=,' },
        'cache',
      ],
      [
        "the CDNs' field, unless it is asked for",
        { 'cache-control': 'max-age=0', 'cdn-cache-control': 'max-age=3600' },
        'origin',
      ],
      ['Set-Cookie', { 'cache-control': 'max-age=3600', 'set-cookie': 'a=b' }, 'origin'],
      ['Vary: *', { 'cache-control': 'max-age=3600', vary: '*' }, 'origin'],
      ['Vary: a, *', { 'cache-control': 'max-age=3600', vary: 'a, *' }, 'origin'],
    ])('%s', async (_what, headers, by) => {
      await play([
        { origin: { headers }, by: 'origin' },
        { origin: {}, after: 1, by },
      ])
    })

    test('Expires counts from Date, and is over when it is over', async () => {
      await play((proxy) => [
        { origin: { headers: { expires: proxy.date(100), date: proxy.date() } }, by: 'origin' },
        { after: 99, by: 'cache' },
        { after: 2, by: 'origin' },
      ])
    })

    test('what was old when it came is older than it says (§4.2.3)', async () => {
      await play((proxy) => [
        { origin: { headers: { 'cache-control': 'max-age=100', date: proxy.date(-60) } }, by: 'origin' },
        { after: 39, by: 'cache', expected: { age: /^(99|100)$/ } },
        { after: 2, by: 'origin' },
      ])
    })

    test('Age goes on from what came, and Date stays', async () => {
      await play((proxy) => [
        { origin: { headers: { 'cache-control': 'max-age=600', age: '30', date: proxy.date() } }, by: 'origin' },
        { after: 10, by: 'cache', expected: { age: '40', date: proxy.date() } },
      ])
    })

    test.each([200, 203, 204, 300, 301, 308, 404, 405, 410, 414])(
      'a guess for %d: a tenth of the time since',
      async (status) => {
        await play((proxy) => [
          { origin: { status, headers: { 'last-modified': proxy.date(-1000), date: proxy.date() } }, by: 'origin' },
          { after: 90, by: 'cache', status },
          { after: 20, by: 'confirmation' },
        ])
      },
    )

    test.each([201, 302, 307, 400, 403, 406])('no guess for %d', async (status) => {
      await play((proxy) => [
        { origin: { status, headers: { 'last-modified': proxy.date(-1000), date: proxy.date() } }, by: 'origin' },
        { by: 'origin' },
      ])
    })

    test.each([200, 201, 302, 400, 403, 451])('%d with a max-age is stored (§3)', async (status) => {
      await play([
        { origin: { status, ...fresh() }, by: 'origin' },
        { by: 'cache', status },
      ])
    })

    test.each([206, 428, 429, 431, 500, 503, 599])('%d never is (RFC 6585 §4 among others)', async (status) => {
      await play([
        { origin: { status, ...fresh() }, by: 'origin' },
        { origin: fresh(), by: 'origin' },
      ])
    })
  })

  describe("a client's directives (§5.2.1)", () => {
    test.each<[string, Record<string, string>, Step['by']]>([
      ['no-cache', { 'cache-control': 'no-cache' }, 'confirmation'],
      ['Pragma: no-cache', { pragma: 'no-cache' }, 'confirmation'],
      ['Pragma beside Cache-Control', { pragma: 'no-cache', 'cache-control': 'max-age=600' }, 'cache'],
      ['max-age, too low', { 'cache-control': 'max-age=5' }, 'confirmation'],
      ['max-age, high enough', { 'cache-control': 'max-age=50' }, 'cache'],
      ['min-fresh, too high', { 'cache-control': 'min-fresh=95' }, 'confirmation'],
      ['min-fresh, low enough', { 'cache-control': 'min-fresh=50' }, 'cache'],
      ['no-store', { 'cache-control': 'no-store' }, 'origin'],
      ['only-if-cached', { 'cache-control': 'only-if-cached' }, 'cache'],
    ])('%s', async (_what, headers, by) => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=100', etag: '"a"' } }, by: 'origin' },
        { after: 10, headers, origin: { headers: { 'cache-control': 'max-age=100', etag: '"b"' } }, by },
      ])
    })

    test('max-stale takes what is over for so long, and nothing that forbids it', async () => {
      const step = { headers: { 'cache-control': 'max-stale=30' } }
      await play([
        { origin: { headers: { 'cache-control': 'max-age=100', etag: '"a"' } }, by: 'origin' },
        { ...step, after: 120, by: 'cache', expected: { 'x-cache': 'STALE' } },
        { ...step, after: 20, by: 'confirmation' },
      ])
      await play([
        { origin: { headers: { 'cache-control': 'max-age=100, must-revalidate', etag: '"a"' } }, by: 'origin' },
        { ...step, after: 120, by: 'confirmation' },
      ])
    })

    test('only-if-cached is answered 504 where nothing is', async () => {
      await play([{ headers: { 'cache-control': 'only-if-cached' }, by: 'nobody', status: 504 }])
    })
  })

  describe('Vary (§4.1)', () => {
    test('each value has its own, and what was learnt is known to another process', async () => {
      const foo = (value: string): Record<string, string> => ({ foo: value })
      await play([
        { headers: foo('1'), origin: fresh({ vary: 'Foo' }), by: 'origin', body: 'answer 1' },
        { headers: foo('1'), by: 'cache', body: 'answer 1' },
        { headers: foo('2'), origin: fresh({ vary: 'Foo' }), by: 'origin', body: 'answer 2' },
        { headers: foo('2'), by: 'cache', body: 'answer 2' },
        { headers: foo('1'), by: 'cache', body: 'answer 1' },
        { origin: fresh({ vary: 'foo' }), by: 'origin' },
        { by: 'cache', body: 'answer 3' },
        { headers: foo(''), origin: fresh({ vary: 'foo' }), by: 'origin' },
      ])
    })

    test('names that come later count too', async () => {
      await play([
        { headers: { a: '1', b: '1' }, origin: fresh({ vary: 'a' }), by: 'origin' },
        { headers: { a: '2', b: '1' }, origin: fresh({ vary: 'a, b' }), by: 'origin' },
        { headers: { a: '2', b: '2' }, origin: fresh({ vary: 'b' }), by: 'origin', body: 'answer 3' },
        { headers: { a: '2', b: '1' }, by: 'cache', body: 'answer 2' },
        { headers: { a: '2', b: '2' }, by: 'cache', body: 'answer 3' },
      ])
    })

    test('a target has sixteen variants at most', async () => {
      const values = Array.from({ length: 20 }, (_, i) => ({ 'accept-language': `x-${i}` }))
      await play([
        ...values.map((headers): Step => ({ headers, origin: fresh({ vary: 'accept-language' }), by: 'origin' })),
        ...values.slice(0, 16).map((headers): Step => ({ headers, by: 'cache' })),
        {
          headers: values[18],
          origin: fresh({ vary: 'accept-language' }),
          by: 'origin',
          expected: { 'cache-status': /detail=variants/ },
        },
      ])
    })

    test('by what the client sent, whatever the handler makes of it before it asks on', async () => {
      const cache = caches.create()
      const app = makeCachedApp(cache)
      let runs = 0
      app.get('/', { config: { cache: { policy: 'rfc9111' } } }, async (request, reply) => {
        delete request.headers['accept-language']
        reply.headers({ 'cache-control': 'max-age=60', vary: 'accept-language' })
        return `run ${++runs}`
      })
      const inLanguage = async (language: string): Promise<string> => {
        const answer = await app.inject({ url: '/', headers: { 'accept-language': language } })
        await settle()
        return answer.body
      }
      expect([await inLanguage('de'), await inLanguage('fr'), await inLanguage('de'), await inLanguage('fr')]).toEqual([
        'run 1',
        'run 2',
        'run 1',
        'run 2',
      ])
    })

    test('those who wait for one variant are not handed another', async () => {
      const proxy = new Proxy(caches)
      await proxy.start()
      const path = '/test/together'
      proxy.origin.script(
        path,
        Array.from({ length: 4 }, () => fresh({ vary: 'cookie' })),
      )
      const people = ['alice', 'bob', 'carol', 'dave']
      const answers = await Promise.all(people.map((cookie) => proxy.ask({ path, headers: { cookie }, by: 'origin' })))
      expect(new Set(answers.map(({ body }) => body)).size).toBe(4)
      expect(
        proxy.origin.asked
          .get(path)
          ?.map(({ headers }) => headers.cookie)
          .toSorted(),
      ).toEqual(people)
    })
  })

  describe('Authorization (§3.5)', () => {
    const as = (user: string): Record<string, string> => ({ authorization: `Bearer ${user}` })

    test('an answer to a request that bears one is nobody else’s, with or without one', async () => {
      await play([
        { headers: as('alice'), origin: fresh(), by: 'origin', body: 'answer 1' },
        { headers: as('bob'), origin: fresh(), by: 'origin', body: 'answer 2' },
        { headers: as('alice'), origin: fresh(), by: 'origin', body: 'answer 3' },
        { origin: fresh(), by: 'origin', body: 'answer 4' },
        { by: 'cache', body: 'answer 4' },
        { headers: as('bob'), origin: fresh(), by: 'origin', body: 'answer 5' },
      ])
    })

    test.each(['public, max-age=60', 's-maxage=60', 'max-age=60, must-revalidate'])(
      'unless it says %s',
      async (field) => {
        await play([
          { headers: as('alice'), origin: { headers: { 'cache-control': field } }, by: 'origin', body: 'answer 1' },
          { headers: as('bob'), by: 'cache', body: 'answer 1' },
          { by: 'cache', body: 'answer 1' },
        ])
      },
    )
  })

  describe('confirmation (§4.3)', () => {
    const stale: Scripted = { headers: { 'cache-control': 'max-age=10', etag: '"a"', 'x-old': '1', 'x-both': 'old' } }

    test('a 304 makes it fresh again, with the fields it brings; the bytes stay', async () => {
      await play([
        { origin: stale, by: 'origin' },
        {
          after: 20,
          origin: {
            status: 304,
            headers: { 'cache-control': 'max-age=100', etag: '"a"', 'x-both': 'new', 'content-length': '0' },
          },
          by: 'confirmation',
          status: 200,
          body: 'answer 1',
          expected: { 'x-old': '1', 'x-both': 'new', 'cache-status': /fwd=stale; fwd-status=304; stored/ },
        },
        { after: 50, by: 'cache', body: 'answer 1', expected: { 'x-old': '1', 'x-both': 'new', age: '50' } },
      ])
    })

    test('by Last-Modified too, and another answer takes its place', async () => {
      await play((proxy) => {
        const headers = { 'cache-control': 'max-age=10', 'last-modified': proxy.date(-86_400) }
        return [
          { origin: { headers }, by: 'origin' },
          { after: 20, origin: { status: 304, headers }, by: 'confirmation', status: 200, body: 'answer 1' },
          { after: 20, origin: fresh(), by: 'confirmation', body: 'answer 3' },
          { by: 'cache', body: 'answer 3' },
        ]
      })
    })

    test('a client that has it is told so, by the 304 and by what it made fresh', async () => {
      const headers = { 'if-none-match': '"a"' }
      await play([
        { origin: stale, by: 'origin' },
        {
          after: 20,
          headers,
          origin: { status: 304, headers: { 'cache-control': 'max-age=100' } },
          by: 'confirmation',
          status: 304,
        },
        { headers, by: 'cache', status: 304, expected: { etag: '"a"' } },
        { by: 'cache', status: 200, body: 'answer 1' },
      ])
    })

    test('a 304 about what only the client has passes, and nothing is stored', async () => {
      await play([
        {
          headers: { 'if-none-match': '"z"' },
          origin: { status: 304, headers: { etag: '"z"' } },
          by: 'confirmation',
          status: 304,
        },
        { origin: fresh(), by: 'origin' },
      ])
    })

    test('no-cache is stored and confirmed each time (§5.2.2.4)', async () => {
      const headers = { 'cache-control': 'max-age=1000, no-cache', etag: '"a"' }
      await play([
        { origin: { headers }, by: 'origin' },
        { origin: { status: 304, headers }, by: 'confirmation', body: 'answer 1' },
        { origin: { headers: { ...headers, etag: '"b"' } }, by: 'confirmation', body: 'answer 3' },
      ])
    })

    test('must-revalidate: past its time it is never sent unconfirmed', async () => {
      const headers = { 'cache-control': 'max-age=10, must-revalidate', etag: '"a"' }
      await play(
        [
          { origin: { headers }, by: 'origin' },
          { by: 'cache' },
          { after: 20, origin: { breaks: 'at once' }, by: 'confirmation', status: 500 },
        ],
        3600,
      )
    })
  })

  describe('what is stored of the fields (§3.1)', () => {
    test('not those of the connection, nor those it lists, nor those of no-cache', async () => {
      await play([
        {
          origin: {
            headers: {
              'cache-control': 'max-age=100',
              connection: 'a, b',
              a: '1',
              b: '2',
              c: '3',
              'proxy-authenticate': 'x',
            },
          },
          by: 'origin',
        },
        { by: 'cache', expected: { a: undefined, b: undefined, c: '3', 'proxy-authenticate': undefined } },
      ])
      await play([
        {
          origin: { headers: { 'cache-control': 'max-age=100, no-cache="a, b"', a: '1', b: '2', c: '3' } },
          by: 'origin',
        },
        { by: 'cache', expected: { a: undefined, b: undefined, c: '3' } },
      ])
    })

    test('our own field goes no further', async () => {
      await play([
        {
          origin: fresh({ 'tidemark-cache-control': 'max-age=100' }),
          by: 'origin',
          expected: { 'tidemark-cache-control': undefined },
        },
        { by: 'cache', expected: { 'tidemark-cache-control': undefined } },
      ])
    })

    test('nor does it where the cache has no part in it', async () => {
      const origin = fresh({ 'tidemark-cache-control': 'max-age=100' })
      const expected = { 'tidemark-cache-control': undefined }
      await play([
        { method: 'HEAD', origin, by: 'origin', expected },
        { method: 'POST', origin, by: 'origin', expected },
        { headers: { range: 'bytes=0-1' }, origin, by: 'origin', expected },
        { headers: { 'cache-control': 'no-store' }, origin, by: 'origin', expected },
      ])
    })

    test('and is in force until another takes its place, also where a 304 says nothing of it', async () => {
      const headers = { 'tidemark-cache-control': 'max-age=10', 'cache-control': 'no-store', etag: '"a"' }
      await play([
        { origin: { headers }, by: 'origin' },
        { after: 20, origin: { status: 304, headers: { etag: '"a"' } }, by: 'confirmation', body: 'answer 1' },
        { after: 5, by: 'cache', body: 'answer 1', expected: { 'cache-control': 'no-store' } },
        {
          after: 10,
          origin: { status: 304, headers: { etag: '"a"', 'tidemark-cache-control': 'max-age=100' } },
          by: 'confirmation',
        },
        { after: 50, by: 'cache', body: 'answer 1' },
      ])
    })

    test('several lines of one name stay several', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=100', link: ['<a>', '<b>'] } }, by: 'origin' },
        { by: 'cache', expected: { link: '<a>, <b>' } },
      ])
    })
  })

  describe('unsafe methods (§4.4)', () => {
    const methods = ['POST', 'PUT', 'PATCH', 'DELETE', 'M-SEARCH']
    const all = methods.flatMap((method) => [200, 201, 302].map((status) => [method, status] as const))

    test.each(all)('a %s that succeeds with %d', async (method, status) => {
      await play([
        { origin: fresh(), by: 'origin' },
        { by: 'cache' },
        { method, origin: { status, headers: {} }, by: 'origin' },
        { origin: fresh(), by: 'origin' },
      ])
    })

    test.each(methods)('a %s that fails does not', async (method) => {
      await play([
        { origin: fresh(), by: 'origin' },
        { method, origin: { status: 500, headers: {} }, by: 'origin' },
        { by: 'cache' },
      ])
    })

    test.each(['location', 'content-location'])(
      'the place that %s names, if it is of the same origin',
      async (field) => {
        const path = `/test/named-${field}`
        const other = `/test/other-${field}`
        await play([
          { path, origin: fresh(), by: 'origin' },
          { path: other, origin: fresh(), by: 'origin' },
          { method: 'POST', origin: { headers: { [field]: path } }, by: 'origin' },
          { path, origin: fresh(), by: 'origin' },
          { method: 'POST', origin: { headers: { [field]: `http://elsewhere.example${other}` } }, by: 'origin' },
          { path: other, by: 'cache' },
        ])
      },
    )

    test.each(['OPTIONS', 'TRACE'])('%s changes nothing, and is not stored', async (method) => {
      await play([
        { origin: fresh(), by: 'origin' },
        { method, origin: fresh(), by: 'origin' },
        { method, origin: fresh(), by: 'origin' },
        { by: 'cache' },
      ])
    })

    test('HEAD is answered from what GET stored, and stores nothing', async () => {
      await play([
        { method: 'HEAD', origin: fresh(), by: 'origin' },
        { origin: fresh(), by: 'origin' },
        { method: 'HEAD', by: 'cache', expected: { 'content-length': '8' }, body: '' },
      ])
    })
  })

  describe('stale answers (§4.2.4, RFC 5861)', () => {
    test.each<Scripted>([{ breaks: 'at once' }, { status: 503, headers: {} }, { status: 500, headers: {} }])(
      'stand in for %j within grace',
      async (failure) => {
        await play(
          [
            { origin: { headers: { 'cache-control': 'max-age=10' } }, by: 'origin' },
            {
              after: 20,
              origin: failure,
              by: 'origin',
              status: 200,
              body: 'answer 1',
              expected: { 'x-cache': 'STALE' },
            },
            { after: 4000, origin: { status: 503, headers: {} }, by: 'origin', status: 503 },
          ],
          3600,
        )
      },
    )

    test.each(['must-revalidate', 'proxy-revalidate', 's-maxage=10', 'no-cache'])(
      'never with %s',
      async (directive) => {
        await play(
          [
            { origin: { headers: { 'cache-control': `max-age=10, ${directive}` } }, by: 'origin' },
            { after: 20, origin: { breaks: 'at once' }, by: 'origin', status: 500 },
          ],
          3600,
        )
      },
    )

    test("the origin's own stale-if-error counts before the route's grace", async () => {
      await play(
        [
          { origin: { headers: { 'cache-control': 'max-age=10, stale-if-error=5' } }, by: 'origin' },
          { after: 12, origin: { status: 503, headers: {} }, by: 'origin', status: 200 },
          { after: 10, origin: { status: 503, headers: {} }, by: 'origin', status: 503 },
        ],
        3600,
      )
    })

    test('stale-while-revalidate: at once, and refreshed behind', async () => {
      const proxy = new Proxy(caches)
      await proxy.start()
      const path = '/test/swr'
      const first = { headers: { 'cache-control': 'max-age=10, stale-while-revalidate=100' } }
      proxy.origin.script(path, [first, fresh()])
      await proxy.ask({ path, by: 'origin' })
      await settle()
      proxy.clock.advance(20)
      expect(await proxy.ask({ path, by: 'cache' })).toMatchObject({
        body: 'answer 1',
        headers: { 'x-cache': 'STALE' },
      })
      await expect.poll(async () => (await proxy.ask({ path, by: 'cache' })).body).toBe('answer 2')
    })
  })

  test('what breaks off in the middle is not stored, nor what comes after an early hint lost', async () => {
    const proxy = new Proxy(caches)
    await proxy.start()
    proxy.origin.script('/test/broken', [
      { ...fresh(), breaks: 'in mid-body' },
      { ...fresh(), isHinted: true },
    ])
    await proxy.ask({ path: '/test/broken', by: 'origin' }).catch(() => undefined)
    await settle()
    expect((await proxy.ask({ path: '/test/broken', by: 'origin' })).body).toBe('answer 2')
    await settle()
    expect((await proxy.ask({ path: '/test/broken', by: 'cache' })).headers['x-cache']).toBe('HIT')
  })
})
