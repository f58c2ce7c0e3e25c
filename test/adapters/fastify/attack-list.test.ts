/**
 * What may be tried against a cache of responses, and what may go wrong around it, with the tests that hold against each:
 * all of them over memory and over Redis, where a store has a part in it. One that is gone or renamed is missed here.
 */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const FASTIFY = 'test/adapters/fastify'

/** By its number: the attack, and `file: name of the test`. */
const ATTACKS: Readonly<Record<number, readonly [string, ...string[]]>> = {
  1: [
    "Alice's Authorization fills, Bob asks",
    `${FASTIFY}/privacy.test.ts: what Alice fills Bob does not get, nor anybody without one`,
    `${FASTIFY}/privacy.test.ts: those who ask at once do not share`,
    `${FASTIFY}/reverse-proxy.test.ts: an answer to a request that bears one is nobody else’s, with or without one`,
  ],
  2: [
    'Vary: Cookie',
    `${FASTIFY}/privacy.test.ts: nothing is stored of a response that varies by %s`,
    `${FASTIFY}/late-hooks.test.ts: a Vary: %s from before the handler is not shared`,
    `${FASTIFY}/reverse-proxy.test.ts: those who wait for one variant are not handed another`,
  ],
  3: [
    'every spelling of private and no-store',
    `${FASTIFY}/privacy.test.ts: nothing is stored of a response that says %s`,
    `${FASTIFY}/privacy.test.ts: nothing is stored of a response that says so in a second line, or from before the handler`,
    'test/http/cache-control.test.ts: is found whatever stands before and behind it',
  ],
  4: [
    'Set-Cookie to fifty at once',
    `${FASTIFY}/privacy.test.ts: fifty requests at once get fifty distinct ones, and nothing is stored`,
    `${FASTIFY}/privacy.test.ts: set before the handler, behind it, on the raw response, in a Response: none is stored`,
  ],
  5: [
    'two users at once',
    `${FASTIFY}/privacy.test.ts: two users at once, and one after the other, each get their own`,
    `${FASTIFY}/privacy.test.ts: %s would be everybody: who it is said of is answered without the cache`,
  ],
  6: [
    'no authentication, after a fill',
    `${FASTIFY}/privacy.test.ts: in %s, %s: after a fill an anonymous request gets 401, and so does a token that was revoked`,
  ],
  7: [
    'a token that was revoked, after a fill',
    `${FASTIFY}/privacy.test.ts: in %s, %s: after a fill an anonymous request gets 401, and so does a token that was revoked`,
  ],
  8: [
    'Host and X-Forwarded-* poisoning',
    `${FASTIFY}/attacks.test.ts: hosts do not poison each other`,
    `${FASTIFY}/attacks.test.ts: a request for the full URL is another than one for its path`,
    `${FASTIFY}/setup.test.ts: with trustProxy scheme and host are those of the client`,
    `${FASTIFY}/privacy.test.ts: a host that the route does not name passes by, and fills nothing`,
    `${FASTIFY}/applications.test.ts: of different names they have entries of their own, whatever Host a client makes up`,
  ],
  9: [
    'a header that changes the body and is not in the key',
    `${FASTIFY}/strict.test.ts: another header keeps the answer out, and nobody gets what was made for it`,
    `${FASTIFY}/strict.test.ts: each field is logged once`,
    `${FASTIFY}/strict.test.ts: the read throws, and names route and field`,
  ],
  10: ['CORS origin A, then B', `${FASTIFY}/headers.test.ts: CORS: origin A, then B`],
  11: ['a CSP nonce', `${FASTIFY}/headers.test.ts: a CSP nonce, a request id, a trace, Server-Timing`],
  12: [
    'the request id and the rate limit of somebody else',
    `${FASTIFY}/headers.test.ts: a CSP nonce, a request id, a trace, Server-Timing`,
    `${FASTIFY}/headers.test.ts: a rate limit, of another plugin as well`,
  ],
  13: [
    'delimiters, NUL, line breaks, Unicode, 100 KB in keys',
    `${FASTIFY}/deception.test.ts: names of all kinds are distinct, and invalidating one leaves all others, by %s`,
    `${FASTIFY}/deception.test.ts: a namespace and a name that meet in a colon are not each other`,
    `${FASTIFY}/attacks.test.ts: a key of the route cannot be made to reach another: delimiters, NUL, prototypes`,
    'test/http/key.test.ts: distinct tuples have distinct ids, whatever characters are in them',
  ],
  14: [
    'what another key has been stored under, or what has its hash',
    'test/http/response-cache.test.ts: what a long key is stored under is its hash, and two with one hash are not each other',
    'test/codec/envelope.test.ts: of another id is refused: the record of another key, put under this one',
    `${FASTIFY}/corrupted-store.test.ts: the record of another key is a miss and a counted fault, and the next fill puts it right`,
  ],
  15: [
    '/x and /x-d',
    'test/http/key.test.ts: of a path stands for that path alone: /x is not /x-d',
    `${FASTIFY}/attacks.test.ts: paths that look alike are not each other`,
    `${FASTIFY}/deception.test.ts: names of all kinds are distinct, and invalidating one leaves all others, by %s`,
  ],
  16: [
    'the order of a query, repeats, escapes, __proto__',
    `${FASTIFY}/attacks.test.ts: queries that look alike are not each other, and those that are in another order are`,
    'test/http/key.test.ts: values of one parameter keep their order, whatever the order of the others',
  ],
  17: [
    'distinct ?cb= without end',
    `${FASTIFY}/attacks.test.ts: distinct queries by the thousand do not outgrow the memory there is`,
    `${FASTIFY}/attacks.test.ts: queries that nobody declared leave nothing behind in the store, however many there are`,
  ],
  18: [
    'ten thousand values of Accept-Language',
    `${FASTIFY}/attacks.test.ts: a header of thousands of values makes sixteen variants and no more, with policy %s`,
  ],
  19: [
    'paths that deceive',
    `${FASTIFY}/deception.test.ts: what Alice was lured to, whatever its path, neither a stranger gets nor Bob`,
    `${FASTIFY}/deception.test.ts: without a user it is stored, and a stranger is turned away before it all the same`,
    `${FASTIFY}/stale.test.ts: a path is refreshed as it is, or not at all: %s`,
  ],
  20: [
    'unsafe methods',
    `${FASTIFY}/answers.test.ts: methods other than GET and HEAD are neither answered nor stored`,
    'test/http/policy.test.ts: with method %s',
  ],
  21: [
    'HEAD before GET',
    `${FASTIFY}/answers.test.ts: HEAD is answered from GET, with its headers and without its body; alone it fills nothing`,
  ],
  22: [
    'GET with a body',
    `${FASTIFY}/answers.test.ts: a GET with a body, and a Range of what is not stored, pass by; nothing is stored of them`,
  ],
  23: [
    'a flood of no-cache',
    `${FASTIFY}/attacks.test.ts: a client that asks for fresh answers again and again makes nobody run`,
    `${FASTIFY}/stale.test.ts: without it a client cannot make the handler run`,
  ],
  24: ['allowRefresh in a loop', `${FASTIFY}/stale.test.ts: with it one may, at most once a second`],
  25: [
    'only-if-cached',
    `${FASTIFY}/attacks.test.ts: only-if-cached makes nobody run: 504 where there is nothing, or nothing fresh (RFC 9111 §5.2.1.7)`,
    `${FASTIFY}/reverse-proxy.test.ts: only-if-cached is answered 504 where nothing is`,
  ],
  26: [
    '64 KB of If-None-Match',
    'test/http/conditional.test.ts: 64 KB of %s take linear time',
    `${FASTIFY}/attacks.test.ts: header values of 14 KB take no time`,
  ],
  27: [
    'ranges that make a small request a large answer',
    `${FASTIFY}/range.test.ts: %.30s gets the whole body, once`,
    `${FASTIFY}/range.test.ts: what lies beyond the end is a 416 that says where that is (RFC 9110 §15.5.17)`,
    'test/http/range.test.ts: everything else gets the whole body',
  ],
  28: [
    'failures in front, in the middle and at the end',
    `${FASTIFY}/answers.test.ts: nothing is stored of a handler that %s`,
    `${FASTIFY}/attacks.test.ts: a handler that takes too long is given up, nothing is stored of it, and those who waited run it`,
    `${FASTIFY}/streams.test.ts: a stream that fails in the middle is cut, not stored, and those who waited run the handler`,
    `${FASTIFY}/streams.test.ts: when the client is gone in the middle nothing is stored, the source is closed, and one of those who wait leads`,
    `${FASTIFY}/clients.test.ts: one who goes away in the middle leaves nothing behind, and the next gets it whole`,
    `${FASTIFY}/answers.test.ts: a body larger than maxBodyBytes is not stored`,
    `${FASTIFY}/streams.test.ts: a Content-Length that is %s keeps a stream out`,
    `${FASTIFY}/answers.test.ts: a Content-Length that lies keeps a body out`,
  ],
  29: [
    'an event stream',
    `${FASTIFY}/streams.test.ts: flows as it comes, is not stored, and keeps nobody waiting`,
    `${FASTIFY}/streams.test.ts: of a hijacked reply likewise`,
  ],
  30: [
    'an empty body',
    `${FASTIFY}/answers.test.ts: an empty body where the schema declares one is not stored`,
    `${FASTIFY}/stale.test.ts: an empty stale response stands in as well`,
  ],
  31: [
    'stale-if-error',
    `${FASTIFY}/stale.test.ts: a stale response stands in for a handler that %s`,
    `${FASTIFY}/stale.test.ts: not beyond it, and not if the response must be revalidated`,
  ],
  32: [
    'a store full of garbage, or of what is sealed as it should be',
    `${FASTIFY}/corrupted-store.test.ts: a byte that is another, wherever, is a miss and a counted fault, unless it is of another epoch`,
    `${FASTIFY}/corrupted-store.test.ts: one that was cut short, wherever, is a miss and a counted fault`,
    `${FASTIFY}/corrupted-store.test.ts: an entry that is sealed as it should be and holds %s is a miss and a counted fault`,
    `${FASTIFY}/corrupted-store.test.ts: a bomb of 256 MB in a response that says it is 21 bytes, or 1 MB, takes no memory`,
    'test/stores/redis/signing.test.ts: any byte that was changed behind the stamp, but for the windows',
    'test/codec/bomb.test.ts: that declares to be %s is an error, and takes no memory',
  ],
  33: [
    'the reply of another request',
    `${FASTIFY}/corrupted-store.test.ts: the record of another key is a miss and a counted fault, and the next fill puts it right`,
    `${FASTIFY}/outage.test.ts: truncated, flipped, swapped with another key’s: a miss, and the right answer`,
  ],
  34: [
    'the management routes',
    `${FASTIFY}/cache-routes.test.ts: %s is not, and learns nothing`,
    `${FASTIFY}/cache-routes.test.ts: that throws or rejects lets nobody in`,
    `${FASTIFY}/cache-routes.test.ts: names that are made up to be run by a browser are JSON, whatever is answered`,
    `${FASTIFY}/cache-routes.test.ts: clear takes one namespace, or all`,
    'test/cache-manager.test.ts: clear touches no other prefix, and no foreign key, of the same database',
  ],
  35: [
    'an invalidation that races a fill, in two processes',
    'test/races/invalidation.test.ts: in another process, while one loads: the load is not stored, and nobody is served it',
    `${FASTIFY}/busting.test.ts: a handler that is under way does not store what it read before`,
  ],
  36: [
    'a refresh that speaks for somebody, or that somebody forges',
    `${FASTIFY}/stale.test.ts: the refresh bears the headers that are in the key, and neither Authorization nor Cookie`,
    `${FASTIFY}/stale.test.ts: no header of a client makes its request a refresh`,
  ],
  37: [
    'codings that a client cannot read',
    `${FASTIFY}/compression.test.ts: who accepts %j gets hits in %s, and the plugin does nothing`,
    `${FASTIFY}/headers.test.ts: %s: each client gets what it can read, whoever filled`,
    `${FASTIFY}/clients.test.ts: gzip to whom reads it, and identity to whom does not`,
  ],
  38: [
    "the handler's own Content-Encoding",
    `${FASTIFY}/headers.test.ts: what the handler compresses itself is not stored`,
    `${FASTIFY}/compression.test.ts: what the handler has encoded goes out as it is, to those whose key it is`,
  ],
  39: [
    'HTTP/2',
    `${FASTIFY}/headers.test.ts: over HTTP/2`,
    `${FASTIFY}/clients.test.ts: fifty who ask at once for what is not there are answered by one run of the handler`,
  ],
  40: [
    '429, and a limiter without Redis',
    'test/http/policy.test.ts: with the statuses of the route, yet never 206, 304, 5xx, nor what RFC 6585 forbids',
    `${FASTIFY}/reverse-proxy.test.ts: %d never is (RFC 6585 §4 among others)`,
    `${FASTIFY}/rate-limit.test.ts: while it is silent requests are answered, the limit holds, and the log says so once`,
    `${FASTIFY}/rate-limit.test.ts: while it is silent no request feels it: most are answered in less than 50 ms`,
  ],
}

const root = new URL('../../../', import.meta.url)
const rows = Object.entries(ATTACKS).flatMap(([number, [attack, ...tests]]) =>
  tests.map((each) => ({
    number,
    attack,
    file: each.slice(0, each.indexOf(': ')),
    name: each.slice(each.indexOf(': ') + 2),
  })),
)

test('each of the forty has a test', () => {
  const numbers = Array.from({ length: 40 }, (_, i) => String(i + 1))
  expect(numbers.filter((number) => !rows.some((row) => row.number === number))).toEqual([])
})

test.each(rows)('$number $attack — $file: $name', ({ file, name }) => {
  expect(existsSync(new URL(file, root))).toBe(true)
  // As a whole, as it is quoted in the source.
  const source = readFileSync(new URL(file, root), 'utf8').replaceAll("\\'", "'")
  expect(["'", '"', '`'].some((quote) => source.includes(quote + name + quote))).toBe(true)
})
