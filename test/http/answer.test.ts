import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Answers, type Answer } from '../../src/http/answer.ts'
import type { Hit } from '../../src/http/lead.ts'
import type { StoredResponse } from '../../src/http/stored-response.ts'
import { makeRequest } from './facts.ts'

const TEXT = 'hello '.repeat(1000)
const LARGE = 'hello '.repeat(20_000)

interface HitFacts extends Partial<Omit<StoredResponse, 'body'>> {
  readonly text?: string
  readonly body?: Buffer
  readonly entryId?: string | undefined
}

let entries = 0

function makeHit({ text = TEXT, headers = {}, entryId = `entry-${entries++}`, ...facts }: HitFacts = {}): Hit {
  const response: StoredResponse = {
    status: 200,
    headers: { 'content-type': 'text/plain', etag: '"a"', ...headers },
    isPublic: false,
    age: 0,
    graceMs: 0,
    hasOwnTag: false,
    mustValidate: false,
    varies: undefined,
    variant: undefined,
    coding: undefined,
    length: Buffer.byteLength(text),
    body: Buffer.from(text),
    ...facts,
  }
  return { kind: 'hit', response, entryId, isStale: false, ageSeconds: 0, ttlSeconds: 60 }
}

function makeGzipHit(facts: HitFacts = {}): Hit {
  return makeHit({ coding: 'gzip', body: gzipSync(facts.text ?? TEXT), ...facts })
}

interface Ask {
  (hit: Hit, headers?: Readonly<Record<string, string>>, mayEncode?: boolean): Promise<Answer>
}

function makeAnswers(): Ask {
  const answers = new Answers(1024)
  return async (hit, headers = {}, mayEncode = true) => answers.to(makeRequest({ headers }), hit, mayEncode)
}

const GZIP = { 'accept-encoding': 'gzip' }
const BR = { 'accept-encoding': 'gzip, br' }

describe('what is stored as it is', () => {
  test('goes out as it is where nothing is compressed', async () => {
    const hit = makeHit()
    const answer = await makeAnswers()(hit, BR, false)
    expect(answer.body).toBe(hit.response.body)
    expect(answer).toMatchObject({ status: 200, variesByEncoding: false })
    expect(answer.headers).toEqual({ ...hit.response.headers, 'accept-ranges': 'bytes' })
  })

  test('goes out in the coding that the client likes best, with a weak tag (RFC 9110 §8.8.3.3)', async () => {
    const ask = makeAnswers()
    const hit = makeHit()
    const gzip = await ask(hit, GZIP)
    expect(gunzipSync(gzip.body!).toString()).toBe(TEXT)
    expect(gzip.headers).toMatchObject({ 'content-encoding': 'gzip', etag: 'W/"a"' })
    const br = await ask(hit, BR)
    expect(brotliDecompressSync(br.body!).toString()).toBe(TEXT)
    expect(br.headers).toMatchObject({ 'content-encoding': 'br', etag: 'W/"a"' })
    const identity = await ask(hit)
    expect(identity.body).toBe(hit.response.body)
    expect(identity.headers).toMatchObject({ etag: '"a"' })
    for (const answer of [gzip, br, identity]) expect(answer.variesByEncoding).toBe(true)
  })

  test('is encoded once for all who ask, from memory or from Redis, which are other bytes each time', async () => {
    const ask = makeAnswers()
    const [first, second] = [makeHit({ entryId: 'same' }), makeHit({ entryId: 'same' })]
    expect((await ask(first, GZIP)).body).toBe((await ask(second, GZIP)).body)
    expect((await ask(makeHit({ entryId: 'next' }), GZIP)).body).not.toBe((await ask(first, GZIP)).body)
  })

  test('and is large is encoded off the event loop, once for those who ask meanwhile', async () => {
    const answers = new Answers(1024)
    const hit = makeHit({ text: LARGE })
    const first = answers.to(makeRequest({ headers: GZIP }), hit, true)
    expect(first).toBeInstanceOf(Promise)
    const second = answers.to(makeRequest({ headers: GZIP }), hit, true)
    const [one, other] = [await first, await second]
    expect(one.body).toBe(other.body)
    expect(gunzipSync(one.body!).toString()).toBe(LARGE)
    expect(answers.to(makeRequest({ headers: GZIP }), hit, true)).not.toBeInstanceOf(Promise)
  })

  test.each([
    ['is small', { text: 'a'.repeat(1023) }],
    ['is an image', { headers: { 'content-type': 'image/png' } }],
    ['is encoded by its handler', { headers: { 'content-encoding': 'br' } }],
    ['must not be touched', { headers: { 'cache-control': 'no-transform' } }],
    ['is in no entry', { entryId: undefined }],
  ])('and %s goes out as it is', async (_, facts) => {
    const hit = { ...makeHit(facts), ...('entryId' in facts && { entryId: undefined }) }
    const answer = await makeAnswers()(hit, GZIP)
    expect(answer.body).toBe(hit.response.body)
    expect(answer.variesByEncoding).toBe(false)
  })

  test('and would not shrink goes out as it is, and says that others may get it in another coding', async () => {
    const body = Buffer.from(Uint8Array.from({ length: 2000 }, () => Math.floor(Math.random() * 256)))
    const hit = makeHit({ body, length: 2000 })
    const answer = await makeAnswers()(hit, GZIP)
    expect(answer.body).toBe(body)
    expect(answer.headers).not.toHaveProperty('content-encoding')
    expect(answer.variesByEncoding).toBe(true)
  })

  test('goes out as it is to who says x-no-compression', async () => {
    const answer = await makeAnswers()(makeHit(), { ...GZIP, 'x-no-compression': '1' })
    expect(answer.headers).not.toHaveProperty('content-encoding')
  })
})

describe('what is stored compressed', () => {
  test('goes as it is to who reads that, though nothing else is compressed here', async () => {
    const hit = makeGzipHit()
    for (const mayEncode of [true, false]) {
      const answer = await makeAnswers()(hit, BR, mayEncode)
      expect(answer.body).toBe(hit.response.body)
      expect(answer.headers).toMatchObject({ 'content-encoding': 'gzip', etag: 'W/"a"' })
    }
  })

  test('goes decompressed to all others, once made', async () => {
    const ask = makeAnswers()
    const hit = makeGzipHit()
    const answer = await ask(hit)
    expect(answer.body!.toString()).toBe(TEXT)
    expect(answer.headers).toMatchObject({ etag: '"a"' })
    expect(answer.headers).not.toHaveProperty('content-encoding')
    expect(answer.variesByEncoding).toBe(true)
    expect((await ask(hit)).body).toBe(answer.body)
  })

  test('goes in another coding to who wants that more', async () => {
    const answer = await makeAnswers()(makeGzipHit(), { 'accept-encoding': 'br, gzip;q=0.5' })
    expect(answer.headers).toMatchObject({ 'content-encoding': 'br' })
    expect(brotliDecompressSync(answer.body!).toString()).toBe(TEXT)
  })

  test('also if it is in no entry', async () => {
    const answer = await makeAnswers()({ ...makeGzipHit(), entryId: undefined })
    expect(answer.body!.toString()).toBe(TEXT)
  })

  // Attack 32.
  test.each([
    ['is longer than it declares', { length: 10 }],
    ['is shorter', { length: TEXT.length + 1 }],
    ['is no gzip', { body: Buffer.from(TEXT) }],
    ['is a bomb', { body: gzipSync(Buffer.alloc(2 ** 20)), length: 2 ** 26 }],
    ['is cut short', { body: gzipSync(TEXT).subarray(0, 30) }],
  ])('and %s is refused, and not kept', async (_, facts) => {
    const ask = makeAnswers()
    const hit = makeGzipHit(facts)
    for (let i = 0; i < 2; i++) {
      await expect(ask(hit)).rejects.toMatchObject({ code: 'ERR_CACHE_DECOMPRESSION' })
    }
  })

  test('a part is one of the identity bytes', async () => {
    const answer = await makeAnswers()(makeGzipHit(), { ...GZIP, range: 'bytes=6-10' })
    expect(answer).toMatchObject({ status: 206, body: Buffer.from('hello') })
    expect(answer.headers).toMatchObject({ 'content-range': `bytes 6-10/${TEXT.length}`, etag: '"a"' })
    expect(answer.headers).not.toHaveProperty('content-encoding')
  })
})

test('a 304 has the tag that the 200 would have', async () => {
  const ask = makeAnswers()
  const condition = { 'if-none-match': '"a"' }
  expect(await ask(makeHit(), { ...GZIP, ...condition })).toEqual({
    status: 304,
    headers: { etag: 'W/"a"' },
    body: undefined,
    variesByEncoding: true,
  })
  expect((await ask(makeHit(), condition)).headers).toEqual({ etag: '"a"' })
})

test('conditions and ranges are for a 200', async () => {
  const hit = makeHit({ status: 404 })
  const answer = await makeAnswers()(hit, { 'if-none-match': '*', range: 'bytes=0-1' })
  expect(answer.status).toBe(404)
  expect(answer.body).toBe(hit.response.body)
  expect(answer.headers).not.toHaveProperty('accept-ranges')
})
