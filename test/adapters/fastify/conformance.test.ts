/**
 * What suites for HTTP caches ask of one, beyond `reverse-proxy.test.ts`: odd spellings of fields, and which fields are
 * stored, sent, and replaced by a 304. Where RFC 9111 leaves a choice, the case says so (`optional`) and holds ours.
 */
import { describe, expect, test } from 'vitest'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { fresh, playing, Proxy, settle, type Step } from './reverse-proxy.ts'
import type { Scripted } from './scripted-origin.ts'

type Fields = Readonly<Record<string, string | readonly string[]>>

const LONG_AGO = 'Thu, 01 Jan 1970 00:00:00 GMT'

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)
  const play = playing(caches)

  /** A response with these fields is answered from the cache the second time, or is not. */
  async function isReused(fields: Fields | ((proxy: Proxy) => Fields), by: 'cache' | 'origin'): Promise<void> {
    await play((proxy) => [
      { origin: { headers: typeof fields === 'function' ? fields(proxy) : fields }, by: 'origin' },
      { origin: {}, after: 1, by },
    ])
  }

  describe('Cache-Control, as it may be spelled (§5.2)', () => {
    test.each<[string, Fields, 'cache' | 'origin']>([
      ['leading zeros', { 'cache-control': 'max-age=003600' }, 'cache'],
      ['a max-age beyond 2^63', { 'cache-control': 'max-age=99999999999999999999' }, 'cache'],
      ['optional: single quotes', { 'cache-control': "max-age='3600'" }, 'origin'],
      ['letters behind the number', { 'cache-control': 'max-age=3600a' }, 'origin'],
      ['letters before the number', { 'cache-control': 'max-age=a3600' }, 'origin'],
      ['no value', { 'cache-control': 'max-age' }, 'origin'],
      ['an empty value', { 'cache-control': 'max-age=' }, 'origin'],
      ['a fraction of s-maxage', { 'cache-control': 's-maxage=3600.0, max-age=3600' }, 'origin'],
      ['an s-maxage that is no number', { 'cache-control': 's-maxage=abc, max-age=3600' }, 'origin'],
      ['s-maxage in capitals', { 'cache-control': 'S-MAXAGE=3600' }, 'cache'],
      ['s-maxage, quoted', { 'cache-control': 's-maxage="3600"' }, 'cache'],
      ['white space without end', { 'cache-control': `${' '.repeat(99)}max-age=3600\t ,\t` }, 'cache'],
      ['optional: white space around =', { 'cache-control': 'max-age = 3600' }, 'cache'],
      ['commas without members', { 'cache-control': ',, ,max-age=3600,,' }, 'cache'],
      ['a directive nobody knows', { 'cache-control': 'foo, bar=baz, max-age=3600, x="y, z"' }, 'cache'],
      ['a quote in quotes', { 'cache-control': 'x="\\", max-age=0", max-age=3600' }, 'cache'],
      ['a max-age that is only quoted', { 'cache-control': 'x="max-age=3600"' }, 'origin'],
      ['a name that ends like max-age', { 'cache-control': 'x-max-age=3600' }, 'origin'],
      ['two lines', { 'cache-control': ['foo', 'max-age=3600'] }, 'cache'],
      ['no-store in the second line', { 'cache-control': ['max-age=3600', 'no-store'] }, 'origin'],
      ['two lines that contradict each other', { 'cache-control': ['max-age=3600', 'max-age=0'] }, 'origin'],
      ['the same twice', { 'cache-control': 'max-age=3600, max-age=3600' }, 'cache'],
      ['private with names', { 'cache-control': 'max-age=3600, private="set-cookie"' }, 'origin'],
      ['private in capitals', { 'cache-control': 'PRIVATE, max-age=3600' }, 'origin'],
      ['no-cache in capitals', { 'cache-control': 'NO-CACHE, max-age=3600' }, 'origin'],
      ['no-store before an s-maxage', { 'cache-control': 'no-store, s-maxage=3600' }, 'origin'],
      ['must-revalidate, while it is fresh', { 'cache-control': 'must-revalidate, max-age=3600' }, 'cache'],
      ['proxy-revalidate, while it is fresh', { 'cache-control': 'proxy-revalidate, max-age=3600' }, 'cache'],
      ['immutable', { 'cache-control': 'immutable, max-age=3600' }, 'cache'],
      ['only what a request may say', { 'cache-control': 'only-if-cached, max-stale=3600' }, 'origin'],
      ['Pragma of a response', { 'cache-control': 'max-age=3600', pragma: 'no-cache' }, 'cache'],
      ['Surrogate-Control, which is not for us', { 'surrogate-control': 'max-age=3600' }, 'origin'],
      [
        'CDN-Cache-Control, which is not for us',
        { 'cdn-cache-control': 'no-store', 'cache-control': 'max-age=60' },
        'cache',
      ],
      ['Content-Disposition', { 'cache-control': 'max-age=3600', 'content-disposition': 'attachment' }, 'cache'],
    ])('%s', async (_what, fields, by) => {
      await isReused(fields, by)
    })
  })

  describe('Expires, as it may be spelled (§5.3)', () => {
    const formats: readonly (readonly [string, (date: string) => string | readonly string[], 'cache' | 'origin'])[] = [
      ['a date', (date) => date, 'cache'],
      ['in capitals', (date) => date.toUpperCase(), 'cache'],
      ['in small letters', (date) => date.toLowerCase(), 'cache'],
      [
        'as asctime writes it',
        (date) => date.replace(/^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/, '$1 $3 $2 $5 $4'),
        'cache',
      ],
      ['with a day of one digit', (date) => date.replace(/, \d+ /, ', 1 '), 'origin'],
      ['with a year of two digits', (date) => date.replace(/ 20(\d\d) /, ' $1 '), 'origin'],
      ['in UTC', (date) => date.replace('GMT', 'UTC'), 'origin'],
      ['in another zone', (date) => date.replace('GMT', 'PST'), 'origin'],
      ['with dots in its time', (date) => date.replaceAll(':', '.'), 'origin'],
      ['in quotes', (date) => `"${date}"`, 'origin'],
      ['without a day of the week', (date) => date.slice(5), 'origin'],
      ['without commas', (date) => date.replace(',', ''), 'origin'],
      ['with more white space', (date) => date.replace(', ', ',  '), 'origin'],
      ['0', () => '0', 'origin'],
      ['-1', () => '-1', 'origin'],
      ['a number of seconds', () => '3600', 'origin'],
      ['twice', (date) => [date, date], 'origin'],
    ]

    test.each(formats)('%s', async (_what, format, by) => {
      await isReused((proxy) => ({ date: proxy.date(), expires: format(proxy.date(3600)) }), by)
    })

    test('far ahead', async () => {
      await isReused({ expires: 'Fri, 31 Dec 9999 23:59:59 GMT' }, 'cache')
    })

    test('without a Date it counts from now', async () => {
      await play((proxy) => [
        { origin: { headers: { expires: proxy.date(100) } }, by: 'origin' },
        { after: 99, by: 'cache' },
        { after: 2, by: 'origin' },
      ])
    })

    test('as much in the past as its Date: what is left counts', async () => {
      await play((proxy) => [
        { origin: { headers: { date: proxy.date(-50), expires: proxy.date(50) } }, by: 'origin' },
        { after: 49, by: 'cache' },
        { after: 2, by: 'origin' },
      ])
    })

    test.each(['max-age=0', 's-maxage=0', 'max-age=abc'])('nothing against %s', async (directive) => {
      await isReused((proxy) => ({ 'cache-control': directive, expires: proxy.date(3600) }), 'origin')
    })

    test('a directive nobody knows leaves it in force', async () => {
      await isReused((proxy) => ({ 'cache-control': 'foo=bar', expires: proxy.date(3600) }), 'cache')
    })

    test('one in the past leaves nothing to be guessed: what can be confirmed is', async () => {
      const headers = { expires: LONG_AGO, 'last-modified': LONG_AGO }
      await play([
        { origin: { headers }, by: 'origin' },
        { origin: { status: 304, headers }, by: 'confirmation', status: 200, body: 'answer 1' },
      ])
    })
  })

  describe('Age, as it may be spelled (§5.1)', () => {
    test.each<[string, string | readonly string[], 'cache' | 'origin']>([
      ['a list: the first counts', '7200, 0', 'origin'],
      ['two lines: the first counts', ['7200', '0'], 'origin'],
      ['two lines, the other way round', ['0', '7200'], 'cache'],
      ['optional: negative', '-7200', 'cache'],
      ['optional: a fraction', '7200.0', 'cache'],
      ['optional: letters before', 'a7200', 'cache'],
      ['optional: a parameter behind', '7200;foo=bar', 'cache'],
      ['beyond 2^31', '2147483649', 'origin'],
      ['beyond 2^64', '99999999999999999999999', 'origin'],
      ['as old as it may be', '3600', 'origin'],
      ['nearly so', '3598', 'cache'],
      ['white space', ' 7200 ', 'origin'],
    ])('%s', async (_what, age, by) => {
      await isReused({ 'cache-control': 'max-age=3600', age }, by)
    })
  })

  describe('statuses (§3, §4.2.2)', () => {
    test.each([203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 418, 501])(
      '%d is no longer sent when it is stale',
      async (status) => {
        await play([
          { origin: { status, headers: { 'cache-control': 'max-age=10' } }, by: 'origin', status },
          { after: 11, origin: { status, headers: {} }, by: 'origin', status },
        ])
      },
    )

    test.each([200, 204, 301, 404, 410])('%d that may be understood is stored over no-store', async (status) => {
      await play([
        { origin: { status, headers: { 'cache-control': 'max-age=60, no-store, must-understand' } }, by: 'origin' },
        { by: 'cache', status },
      ])
    })

    test.each([201, 418, 499])('%d that is not understood is not', async (status) => {
      await play([
        { origin: { status, headers: { 'cache-control': 'max-age=60, must-understand' } }, by: 'origin' },
        { origin: { status, headers: {} }, by: 'origin' },
      ])
    })

    test.each([201, 302, 403])('public lets it guess for %d', async (status) => {
      await play((proxy) => [
        {
          origin: { status, headers: { 'cache-control': 'public', 'last-modified': proxy.date(-10_000) } },
          by: 'origin',
        },
        { after: 5, by: 'cache', status },
      ])
    })
  })

  describe('Vary, as it may be spelled (§4.1, RFC 9110 §12.5.5)', () => {
    test.each<string | (readonly string[] & string[])>([', *', '*, foo', 'foo, *', '*, *', ['foo', '*']])(
      '%j matches nothing',
      async (vary) => {
        await play([
          { headers: { foo: '1' }, origin: fresh({ vary }), by: 'origin' },
          { headers: { foo: '1' }, origin: fresh(), by: 'origin' },
        ])
      },
    )

    const matching: readonly (readonly [string, string | readonly string[], Fields, Fields, 'cache' | 'origin'])[] = [
      ['in capitals', 'FOO', { foo: '1' }, { foo: '1' }, 'cache'],
      ['two lines', ['foo', 'bar'], { foo: '1', bar: '2' }, { foo: '1', bar: '2' }, 'cache'],
      ['two lines, the second differs', ['foo', 'bar'], { foo: '1', bar: '2' }, { foo: '1', bar: '3' }, 'origin'],
      ['commas without members', ', foo,, ', { foo: '1' }, { foo: '2' }, 'origin'],
      ['empty', '', { foo: '1' }, { foo: '2' }, 'cache'],
      ['names in another order', 'bar, foo', { foo: '1', bar: '2' }, { bar: '2', foo: '1' }, 'cache'],
      ['what was there is missing', 'foo', { foo: '1' }, {}, 'origin'],
      ['what was missing is there', 'foo', {}, { foo: '1' }, 'origin'],
      ['missing in both', 'foo', {}, {}, 'cache'],
      ['a value that begins alike', 'foo', { foo: '1' }, { foo: '12' }, 'origin'],
      ['optional: a value in other letters', 'foo', { foo: 'a' }, { foo: 'A' }, 'origin'],
      ['optional: members in another order', 'foo', { foo: 'a, b' }, { foo: 'b, a' }, 'origin'],
      ['white space around members', 'foo', { foo: 'a,  b' }, { foo: 'a,b' }, 'cache'],
      ['two lines of a request are one', 'foo', { foo: ['a', 'b'] }, { foo: 'a, b' }, 'cache'],
      ['a field that it does not name', 'foo', { foo: '1', bar: '1' }, { foo: '1', bar: '2' }, 'cache'],
    ]

    test.each(matching)('%s', async (_what, vary, first, second, by) => {
      await play([
        { headers: first, origin: fresh({ vary }), by: 'origin' },
        { headers: second, origin: fresh({ vary }), by },
      ])
    })

    test('who asks for the same when the answer is there is answered from the cache', async () => {
      const proxy = new Proxy(caches)
      await proxy.start()
      const bodies: string[] = []
      for (let i = 0; i < 50; i++) {
        const asked: Step = { path: `/test/at-once/${i}`, headers: { foo: '1' }, by: 'cache' }
        proxy.origin.script(asked.path!, [fresh({ vary: 'foo' }), fresh({ vary: 'foo' })])
        await proxy.ask(asked)
        bodies.push((await proxy.ask(asked)).body)
      }
      expect(bodies).toEqual(Array(50).fill('answer 1'))
    })

    test('a 304 freshens the variant it was asked for, and no other', async () => {
      const of = (foo: string, etag: string): Step => ({
        headers: { foo },
        origin: { headers: { 'cache-control': 'max-age=10', vary: 'foo', etag } },
        by: 'origin',
      })
      await play([
        of('1', '"a"'),
        of('2', '"b"'),
        {
          after: 20,
          headers: { foo: '1' },
          origin: { status: 304, headers: { 'cache-control': 'max-age=100', vary: 'foo', etag: '"a"' } },
          by: 'confirmation',
          body: 'answer 1',
        },
        { headers: { foo: '1' }, by: 'cache', body: 'answer 1' },
        { headers: { foo: '2' }, origin: fresh({ vary: 'foo', etag: '"c"' }), by: 'confirmation', body: 'answer 4' },
      ])
    })
  })

  describe('conditions of a client (§4.3.2)', () => {
    const asked = (etag: string, condition: string, status: number): readonly Step[] => [
      { origin: fresh({ etag }), by: 'origin' },
      { headers: { 'if-none-match': condition }, by: 'cache', status, expected: { etag } },
    ]

    test.each<[string, string, number]>([
      ['"a"', '"a"', 304],
      ['W/"a"', 'W/"a"', 304],
      ['W/"a"', '"a"', 304],
      ['"a"', 'W/"a"', 304],
      ['"a"', '"b"', 200],
      ['"a"', '"b", "a"', 304],
      ['"a"', '"b","c" , W/"a"', 304],
      ['"a,b"', '"c", "a,b"', 304],
      ['"a"', '*', 304],
      ['"a"', 'a', 200],
      ['"a"', 'w/"a"', 200],
      ['"a"', 'W\\"a"', 200],
      ['"a"', 'W"a"', 200],
      ['"A"', '"a"', 200],
      ['a', 'a', 304],
      ['a', '"a"', 200],
    ])('a response with the tag %s, asked for with %s: %d', async (etag, condition, status) => {
      await play(asked(etag, condition, status))
    })

    test.each<[string, number, number]>([
      ['the same time', -1000, 304],
      ['a later time', -10, 304],
      ['an earlier time', -2000, 200],
    ])('If-Modified-Since with %s', async (_what, seconds, status) => {
      await play((proxy) => [
        { origin: fresh({ 'last-modified': proxy.date(-1000) }), by: 'origin' },
        { headers: { 'if-modified-since': proxy.date(seconds) }, by: 'cache', status },
      ])
    })

    test('If-Modified-Since of a response without Last-Modified counts against its Date', async () => {
      await play((proxy) => [
        { origin: fresh({ date: proxy.date(-10) }), by: 'origin' },
        { headers: { 'if-modified-since': proxy.date(-10) }, by: 'cache', status: 304 },
        { headers: { 'if-modified-since': proxy.date(-20) }, by: 'cache', status: 200 },
      ])
    })

    test('If-None-Match speaks alone beside If-Modified-Since', async () => {
      await play((proxy) => [
        { origin: fresh({ etag: '"a"', 'last-modified': proxy.date(-1000) }), by: 'origin' },
        { headers: { 'if-none-match': '"b"', 'if-modified-since': proxy.date() }, by: 'cache', status: 200 },
        { headers: { 'if-none-match': '"a"', 'if-modified-since': proxy.date(-9999) }, by: 'cache', status: 304 },
      ])
    })

    test('what is stale is asked for with its own validators, in the place of the client’s', async () => {
      const proxy = new Proxy(caches)
      await proxy.start()
      const path = '/test/validators'
      const modified = proxy.date(-1000)
      const first = { headers: { 'cache-control': 'max-age=10', etag: 'W/"a"', 'last-modified': modified } }
      proxy.origin.script(path, [first, { status: 304, headers: { 'cache-control': 'max-age=10', etag: 'W/"a"' } }])
      await proxy.ask({ path, by: 'origin' })
      await settle()
      proxy.clock.advance(20)
      const answer = await proxy.ask({ path, headers: { 'if-none-match': '"z"' }, by: 'confirmation' })
      expect(proxy.origin.asked.get(path)?.at(-1)?.headers).toMatchObject({
        'if-none-match': 'W/"a"',
        'if-modified-since': modified,
      })
      expect(answer).toMatchObject({ status: 200, body: 'answer 1' })
    })
  })

  describe('fields (§3.1, §3.2)', () => {
    const KEPT = [
      'test-header',
      'x-test-header',
      'content-foo',
      'x-content-foo',
      'content-location',
      'content-language',
      'content-md5',
      'content-security-policy',
      'content-disposition',
      'content-type',
      'link',
      'p3p',
      'server',
      'strict-transport-security',
      'www-authenticate',
      'x-frame-options',
      'x-xss-protection',
    ]
    const NOT_STORED = [
      'connection',
      'keep-alive',
      'proxy-authenticate',
      'proxy-authentication-info',
      'proxy-authorization',
      'proxy-connection',
      'te',
      'upgrade',
    ]

    test.each(KEPT)('%s is stored, and replaced by a 304', async (name) => {
      const [old, news] = name === 'content-type' ? ['text/plain', 'text/html'] : ['/old', '/new']
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10', etag: '"a"', [name]: old } }, by: 'origin' },
        { by: 'cache', expected: { [name]: old } },
        {
          after: 20,
          origin: { status: 304, headers: { 'cache-control': 'max-age=10', etag: '"a"', [name]: news } },
          by: 'confirmation',
          status: 200,
          expected: { [name]: news },
        },
        { by: 'cache', expected: { [name]: news } },
      ])
    })

    test.each(['content-encoding', 'content-range', 'content-length'])(
      '%s is about the bytes, and no 304 changes it',
      async (name) => {
        const [old, other] = name === 'content-length' ? ['8', '36'] : ['old', 'new']
        await play([
          { origin: { headers: { 'cache-control': 'max-age=10', etag: '"a"', [name]: old } }, by: 'origin' },
          {
            after: 20,
            origin: { status: 304, headers: { 'cache-control': 'max-age=10', etag: '"a"', [name]: other } },
            by: 'confirmation',
            status: 200,
            expected: { [name]: old },
            body: 'answer 1',
          },
          { by: 'cache', expected: { [name]: old }, body: 'answer 1' },
        ])
      },
    )

    test.each(NOT_STORED)('%s is not stored', async (name) => {
      const value = name === 'connection' ? 'x-listed' : 'x'
      await play([
        { origin: fresh({ [name]: value, 'x-listed': '1' }), by: 'origin' },
        { by: 'cache', expected: { [name]: name === 'connection' || name === 'keep-alive' ? /^(?!x)/ : undefined } },
      ])
    })

    test('nor what Connection lists, in any letters, in several lines', async () => {
      await play([
        { origin: fresh({ connection: ['A', 'b , C'], a: '1', b: '1', c: '1', d: '1' }), by: 'origin' },
        { by: 'cache', expected: { a: undefined, b: undefined, c: undefined, d: '1' } },
      ])
    })

    test('nor does a 304 bring what it lists, or a cookie', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10', etag: '"a"', a: 'old' } }, by: 'origin' },
        {
          after: 20,
          origin: {
            status: 304,
            headers: { 'cache-control': 'max-age=10', etag: '"a"', connection: 'b', b: '1', 'proxy-authenticate': 'x' },
          },
          by: 'confirmation',
          status: 200,
          expected: { a: 'old', b: undefined, 'proxy-authenticate': undefined },
        },
        { by: 'cache', expected: { a: 'old', b: undefined, 'proxy-authenticate': undefined } },
      ])
    })

    test('a 304 without them leaves Date and Age to count from it', async () => {
      await play((proxy) => [
        {
          origin: { headers: { 'cache-control': 'max-age=10', etag: '"a"', date: proxy.date(), age: '5' } },
          by: 'origin',
        },
        { after: 20, origin: { status: 304, headers: { etag: '"a"' } }, by: 'confirmation', expected: { age: '0' } },
        { after: 9, by: 'cache', expected: { age: '9' } },
        { after: 2, origin: { status: 304, headers: { etag: '"a"' } }, by: 'confirmation' },
      ])
    })

    test('a 304 for a tag that is not the stored one freshens nothing', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10', etag: '"a"', x: 'old' } }, by: 'origin' },
        {
          after: 20,
          headers: { 'if-none-match': '"b"' },
          origin: { status: 304, headers: { 'cache-control': 'max-age=100', etag: '"b"', x: 'new' } },
          by: 'confirmation',
          status: 304,
        },
        { origin: fresh({ etag: '"c"' }), by: 'confirmation', body: 'answer 3' },
      ])
    })

    test('a hit has an Age, also of 0, and a response that comes now has its own or none', async () => {
      await play([
        { origin: fresh(), by: 'origin', expected: { age: undefined } },
        { by: 'cache', expected: { age: '0' } },
        { after: 7, by: 'cache', expected: { age: '7' } },
      ])
    })

    test('the Date of a hit is that of its making, also where a client has had it confirmed by us', async () => {
      await play((proxy) => {
        const date = proxy.date(-5)
        return [
          { origin: fresh({ date, etag: '"a"' }), by: 'origin', expected: { date } },
          { after: 10, by: 'cache', expected: { date } },
          { headers: { 'if-none-match': '"a"' }, by: 'cache', status: 304, expected: { date, age: /^1[05]$/ } },
        ]
      })
    })
  })

  describe('requests', () => {
    test('queries: the same is one, others are not, and an empty one is not none', async () => {
      const at = (search: string, by: 'cache' | 'origin'): Step => ({ path: `/test/q${search}`, origin: fresh(), by })
      await play([
        at('?a=1', 'origin'),
        at('?a=1', 'cache'),
        at('?a=2', 'origin'),
        at('?a=1&b=', 'origin'),
        at('?A=1', 'origin'),
        at('', 'origin'),
        at('', 'cache'),
      ])
    })

    test.each([{ cookie: 'a=b' }, { accept: 'text/html' }, { 'user-agent': 'x' }, { pragma: 'foo' }])(
      '%j asks for the same',
      async (headers) => {
        await play([
          { origin: fresh(), by: 'origin' },
          { headers, by: 'cache' },
        ])
      },
    )

    test.each<[string, Step['by'], number | undefined]>([
      ['no-cache', 'confirmation', 304],
      ['max-age=0', 'confirmation', 304],
      ['NO-CACHE', 'confirmation', 304],
      ['max-age=abc', 'confirmation', 304],
      ['min-fresh=9999', 'confirmation', 304],
      ['foo=bar', 'cache', undefined],
      ['max-stale', 'cache', undefined],
    ])('%s of a client, and what is confirmed for it', async (control, by, status) => {
      await play([
        { origin: fresh({ etag: '"a"' }), by: 'origin' },
        {
          after: 2,
          headers: { 'cache-control': control },
          origin: { status: status ?? 200, headers: { 'cache-control': 'max-age=3600', etag: '"a"' } },
          by,
          status: 200,
          body: 'answer 1',
        },
        { by: 'cache', body: 'answer 1' },
      ])
    })

    test('no-store of a client is answered by the origin, and leaves what is stored', async () => {
      await play([
        { headers: { 'cache-control': 'no-store' }, origin: fresh(), by: 'origin', body: 'answer 1' },
        { origin: fresh(), by: 'origin', body: 'answer 2' },
        { headers: { 'cache-control': 'no-store' }, origin: fresh(), by: 'origin', body: 'answer 3' },
        { by: 'cache', body: 'answer 2' },
      ])
    })

    test('a POST is not stored, though it may say how long it is fresh', async () => {
      const origin = fresh()
      await play([
        { method: 'POST', origin, by: 'origin', body: 'answer 1' },
        { method: 'POST', origin, by: 'origin', body: 'answer 2' },
        { origin, by: 'origin', body: 'answer 3' },
      ])
    })

    test('a HEAD changes nothing of what GET has stored', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10', x: 'get' } }, by: 'origin' },
        { after: 20, method: 'HEAD', origin: fresh({ x: 'head' }), by: 'origin', expected: { x: 'head' } },
        { origin: fresh({ x: 'again' }), by: 'origin', body: 'answer 3', expected: { x: 'again' } },
      ])
    })

    test('a part of what is stored whole: from its beginning, its middle, its end', async () => {
      const part = (range: string, body: string, of: string): Step => ({
        headers: { range },
        by: 'cache',
        status: 206,
        body,
        expected: { 'content-range': `bytes ${of}/8`, x: '1' },
      })
      await play([
        { origin: fresh({ x: '1' }), by: 'origin', body: 'answer 1' },
        part('bytes=0-2', 'ans', '0-2'),
        part('bytes=2-3', 'sw', '2-3'),
        part('bytes=6-', ' 1', '6-7'),
        part('bytes=-1', '1', '7-7'),
      ])
    })

    test('a part that the origin has sent is no answer to who wants all of it, nor to who wants another', async () => {
      const partial: Scripted = {
        status: 206,
        headers: { 'cache-control': 'max-age=3600', 'content-range': 'bytes 0-3/8' },
        body: 'answ',
      }
      await play([
        { headers: { range: 'bytes=0-3' }, origin: partial, by: 'origin', status: 206 },
        { headers: { range: 'bytes=4-7' }, origin: fresh(), by: 'origin' },
        { origin: fresh(), by: 'origin', status: 200, body: 'answer 3' },
      ])
    })

    test('a part of what is stale is asked of the origin', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10' } }, by: 'origin' },
        { after: 20, headers: { range: 'bytes=0-2' }, origin: fresh(), by: 'origin', body: 'answer 2' },
      ])
    })
  })

  describe('stale answers (§4.2.4, RFC 5861)', () => {
    test('with no grace of the route’s own a failure is a failure', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10' } }, by: 'origin' },
        { after: 20, origin: { status: 503, headers: {} }, by: 'origin', status: 503 },
      ])
    })

    test.each<Scripted>([{ breaks: 'at once' }, { status: 503, headers: {} }])(
      'stale-if-error of the response lets it stand in for %j',
      async (failure) => {
        await play([
          { origin: { headers: { 'cache-control': 'max-age=10, stale-if-error=60' } }, by: 'origin' },
          { after: 20, origin: failure, by: 'origin', status: 200, body: 'answer 1', expected: { age: '20' } },
          { after: 60, origin: { status: 503, headers: {} }, by: 'origin', status: 503 },
        ])
      },
    )

    test('stale-while-revalidate is over when it is over', async () => {
      await play([
        { origin: { headers: { 'cache-control': 'max-age=10, stale-while-revalidate=20' } }, by: 'origin' },
        { after: 31, origin: fresh(), by: 'origin', body: 'answer 2' },
      ])
    })

    test.each(['stale-while-revalidate=abc', 'stale-while-revalidate=-1'])('%s is none', async (directive) => {
      await play([
        { origin: { headers: { 'cache-control': `max-age=10, ${directive}` } }, by: 'origin' },
        { after: 11, origin: fresh(), by: 'origin', body: 'answer 2' },
      ])
    })
  })

  describe('writes (§4.4)', () => {
    test.each(['location', 'content-location'])('a failed one does not reach what its %s names', async (field) => {
      const path = `/test/failed-${field}`
      await play([
        { path, origin: fresh(), by: 'origin' },
        { method: 'POST', origin: { status: 500, headers: { [field]: path } }, by: 'origin' },
        { path, by: 'cache' },
      ])
    })

    test.each(['location', 'content-location'])('a relative %s is of the place that was written to', async (field) => {
      const path = `/test/relative/${field}`
      await play([
        { path, origin: fresh(), by: 'origin' },
        { path: '/test/relative/x', method: 'PUT', origin: { status: 201, headers: { [field]: field } }, by: 'origin' },
        { path, origin: fresh(), by: 'origin' },
      ])
    })

    test('one takes all variants', async () => {
      const as = (foo: string, by: Step['by']): Step => ({ headers: { foo }, origin: fresh({ vary: 'foo' }), by })
      await play([
        as('1', 'origin'),
        as('2', 'origin'),
        { method: 'DELETE', origin: { status: 204, headers: {} }, by: 'origin' },
        as('1', 'origin'),
        as('2', 'origin'),
      ])
    })
  })
})
