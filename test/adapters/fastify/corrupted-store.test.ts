/**
 * Redis holds what we did not write: bytes that were damaged, and entries that are sealed as they should be and say what
 * no handler said. Each is a miss that is counted, and the handler answers.
 */
import { createGzip, gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createCache, type CacheManager } from 'tidemark'
import { cached } from 'tidemark/fastify'
import { readHeader, STAMP_BYTES, writeTail } from '../../../src/codec/envelope.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { nextFill } from '../../http/facts.ts'
import { get, makeCachedApp, silent, summary } from './harness.ts'
import type { RedisConnection } from '../../../src/stores/redis/connection.ts'

const MIB = 1_048_576
const BODY = 'what the handler says'
const EPOCH = { from: 4, to: 12 }

let redis: RedisServer

beforeAll(async () => void (redis = await startRedis()))
afterAll(() => redis.stop())

interface Stored {
  readonly name: string
  readonly bytes: Buffer
}

interface Victim {
  readonly app: FastifyInstance
  readonly cache: CacheManager
  /** What is stored of `/a`, and of `/b`. */
  readonly a: Stored
  readonly b: Stored
  put(bytes: Buffer): Promise<void>
  errors(): number
}

async function start(): Promise<Victim> {
  await redis.flush()
  const cache = createCache({ redis: { url: redis.url }, logger: silent })
  onTestFinished(() => cache.close())
  const app = makeCachedApp(cache)
  app.get('/:id', cached(cache, { ttl: 3600 }), ({ params }, reply) => {
    const { id } = params as { id: string }
    return reply.headers({ 'x-id': id, link: ['<a>', '<b>'] }).send(BODY)
  })
  const connection = cache.parts.connection as RedisConnection
  const send = connection.send.bind(connection)
  const stored: Stored[] = []
  for (const path of ['/a', '/b']) {
    const filled = nextFill(cache)
    await get(app, path)
    await filled
    const names = ((await send(['KEYS', '*v:*'])) as Buffer[]).map(String)
    const name = names.find((each) => stored.every((other) => other.name !== each))!
    stored.push({ name, bytes: (await send(['GET', name])) as Buffer })
  }
  const [a, b] = stored as [Stored, Stored]
  const put = async (bytes: Buffer): Promise<void> => void (await send(['SET', a.name, bytes]))
  return { app, cache, a, b, put, errors: () => cache.getStatistics().errors }
}

/** Asked for a part, a hit is a 206; a miss is the handler's 200, which is not stored, so that nothing is mended. */
async function isHit(app: FastifyInstance): Promise<boolean> {
  const { statusCode, headers, body } = await get(app, '/a', { range: 'bytes=0-' })
  expect([body, headers['x-id'], headers['link']]).toEqual([BODY, 'a', ['<a>', '<b>']])
  expect(headers).not.toHaveProperty('set-cookie')
  return statusCode === 206
}

/** An entry like the one that was stored, sealed as it should be, with another response in it. */
function forged({ name, bytes }: Stored, body: Buffer): Buffer {
  const id = name.slice(name.indexOf('v:'))
  const header = readHeader(bytes, id)
  const tail = writeTail(header, id, { kind: header.kind, compression: 'none', bodyLength: body.length, body })
  return Buffer.concat([bytes.subarray(0, STAMP_BYTES), tail])
}

/** A response as stored-response.ts writes it, whatever it says. */
function response(head: string, body: Buffer | string = BODY, length = Buffer.byteLength(head)): Buffer {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32BE(length)
  return Buffer.concat([prefix, Buffer.from(head), Buffer.from(body)])
}

/** What each takes: 10 ms of CPU at most, whatever else this machine does, and no memory. */
async function measured(count: number, work: (i: number) => Promise<void>): Promise<void> {
  const { rss } = process.memoryUsage()
  const before = process.cpuUsage()
  for (let i = 0; i < count; i++) await work(i)
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000 / count).toBeLessThan(10)
  expect(process.memoryUsage().rss - rss).toBeLessThan(96 * MIB)
}

test('a byte that is another, wherever, is a miss and a counted fault, unless it is of another epoch', async () => {
  const { app, a, put, errors } = await start()
  expect(await isHit(app)).toBe(true)
  const flips = [0x01, 0x80, 0xff]
  await measured(flips.length * a.bytes.length, async (i) => {
    const at = Math.floor(i / flips.length)
    const damaged = Buffer.from(a.bytes)
    damaged[at]! ^= flips[i % flips.length]!
    await put(damaged)
    const before = errors()
    expect(await isHit(app), `byte ${at}`).toBe(false)
    const isOfAnotherEpoch = at >= EPOCH.from && at < EPOCH.to
    expect(errors() - before, `byte ${at}`).toBe(isOfAnotherEpoch ? 0 : 1)
  })
  await put(a.bytes)
  expect(await isHit(app)).toBe(true)
})

test('one that was cut short, wherever, is a miss and a counted fault', async () => {
  const { app, a, put, errors } = await start()
  await measured(a.bytes.length - 1, async (i) => {
    await put(a.bytes.subarray(0, i + 1))
    const before = errors()
    expect(await isHit(app), `${i + 1} bytes`).toBe(false)
    expect(errors() - before, `${i + 1} bytes`).toBe(1)
  })
})

test('the record of another key is a miss and a counted fault, and the next fill puts it right', async () => {
  const { app, cache, b, put, errors } = await start()
  await put(b.bytes)
  expect(await isHit(app)).toBe(false)
  expect(errors()).toBe(1)
  const filled = nextFill(cache)
  expect(summary(await get(app, '/a'))).toBe(`MISS ${BODY}`)
  await filled
  expect(await isHit(app)).toBe(true)
  expect((await get(app, '/b')).headers).toMatchObject({ 'x-cache': 'HIT', 'x-id': 'b' })
})

const HEAD = {
  status: 200,
  headers: { 'x-id': 'a', link: ['<a>', '<b>'] } as unknown,
  isPublic: true,
  age: 0,
  graceMs: 0,
  hasOwnTag: false,
  mustValidate: false,
  length: BODY.length,
}
const told = (headers: object): Buffer => response(JSON.stringify({ ...HEAD, headers }))
const said = (facts: object, body?: Buffer): Buffer => response(JSON.stringify({ ...HEAD, ...facts }), body)

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a length and nothing', Buffer.alloc(4)],
  ['a length beyond its end', response('{}', '', 0xffffffff)],
  ['what is no JSON', response('{"status":200')],
  ['ten thousand brackets', response('['.repeat(10_000))],
  ['a line break in a value', told({ 'x-id': 'a\r\nset-cookie: session=evil' })],
  ['a line feed in one of several values', told({ link: ['<a>', '<b>\nset-cookie: session=evil'] })],
  ['a line break in a name', told({ 'x-id\r\nset-cookie': 'session=evil' })],
  ['a NUL in a value', told({ 'x-id': 'a\0' })],
  ['a cookie', told({ 'x-id': 'a', 'set-cookie': 'session=evil' })],
  ['a framing of its own', told({ 'transfer-encoding': 'chunked' })],
  ['__proto__ among the fields', response(JSON.stringify(HEAD).replace('"x-id"', '"__proto__"'))],
  ['__proto__ in the place of the head', response(`{"__proto__":${JSON.stringify(HEAD)}}`)],
  ['constructor in the place of a coding', said({ coding: 'constructor' })],
  ['a status of a million', said({ status: 1_000_000 })],
  ['more bytes than there are', said({ length: 1_000_000 })],
  ['1 GB of gzip', said({ coding: 'gzip', length: 1024 * MIB }, gzipSync(Buffer.alloc(1000)))],
  ['gzip that is none', said({ coding: 'gzip' }, Buffer.from('garbage'))],
  ['gzip of more than it says', said({ coding: 'gzip', length: 10 }, gzipSync(Buffer.alloc(MIB)))],
])('an entry that is sealed as it should be and holds %s is a miss and a counted fault', async (_, body) => {
  const { app, a, put, errors } = await start()
  // What is right is a hit: it is by what it holds that the others are none.
  await put(forged(a, said({})))
  expect(await isHit(app)).toBe(true)
  await put(forged(a, body))
  await measured(5, async (i) => {
    expect(await isHit(app)).toBe(false)
    expect(errors()).toBe(i + 1)
  })
  expect(Object.prototype).not.toHaveProperty('link')
})

test('a bomb of 256 MB in a response that says it is 21 bytes, or 1 MB, takes no memory', async () => {
  const { app, a, put, errors } = await start()
  const coder = createGzip()
  const made: Buffer[] = []
  coder.on('data', (chunk: Buffer) => made.push(chunk))
  const zeros = Buffer.alloc(MIB)
  for (let i = 0; i < 256; i++) await new Promise((resolve) => coder.write(zeros, resolve))
  await new Promise((resolve) => coder.on('end', resolve).end())
  const bomb = Buffer.concat(made)
  for (const length of [BODY.length, MIB]) {
    await put(forged(a, said({ coding: 'gzip', length }, bomb)))
    await measured(20, async () => expect(await isHit(app)).toBe(false))
  }
  expect(errors()).toBe(40)
})
