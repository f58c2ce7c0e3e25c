import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeResponse, encodeResponse, type StoredResponse } from '../../src/http/stored-response.ts'

const RESPONSE: StoredResponse = {
  status: 200,
  headers: { 'content-type': 'text/plain', link: ['<a>', '<b>'] },
  isPublic: false,
  age: 3,
  graceMs: 0,
  hasOwnTag: false,
  mustValidate: false,
  varies: undefined,
  variant: undefined,
  coding: undefined,
  length: 5,
  body: Buffer.from('hello'),
}

/** A head as whoever writes to the store may have made it. */
function forged(head: unknown, body = 'hello'): Buffer {
  const bytes = Buffer.from(JSON.stringify(head))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes, Buffer.from(body)])
}

describe('a response as bytes', () => {
  test('comes back as it was', () => {
    expect(decodeResponse(encodeResponse(RESPONSE))).toEqual(RESPONSE)
  })

  test('of any bytes and any header values', () => {
    const value = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) })
    const name = fc.constantFrom('x-a', 'x-b', 'link', 'content-type')
    const headers = fc.dictionary(name, fc.oneof(value, fc.array(value, { minLength: 1 })), { noNullPrototype: true })
    fc.assert(
      fc.property(headers, fc.uint8Array(), fc.boolean(), (fields, bytes, isPublic) => {
        const response = { ...RESPONSE, headers: fields, isPublic, length: bytes.length, body: Buffer.from(bytes) }
        expect(decodeResponse(encodeResponse(response))).toEqual(response)
      }),
    )
  })

  test('is made once of bytes that are kept, which own their memory', () => {
    const bytes = encodeResponse(RESPONSE)
    const owned = Buffer.allocUnsafeSlow(bytes.length)
    bytes.copy(owned)
    expect(decodeResponse(owned)).toBe(decodeResponse(owned))
  })

  test('has the fields of any other with the same head, be its bytes others', () => {
    const [one, other] = [RESPONSE, { ...RESPONSE, body: Buffer.from('world') }].map((it) =>
      decodeResponse(encodeResponse(it)),
    )
    expect(one!.headers).toBe(other!.headers)
    expect([one, other].map((it) => it!.body.toString())).toEqual(['hello', 'world'])
  })

  test('is read whatever its length, and however many there are', () => {
    for (let i = 0; i < 5000; i++) {
      const headers = { 'x-number': String(i), 'x-long': 'a'.repeat(i) }
      expect(decodeResponse(encodeResponse({ ...RESPONSE, headers }))?.headers).toEqual(headers)
    }
  })

  test('in a coding has the length of its identity', () => {
    const response = { ...RESPONSE, coding: 'gzip', length: 100 } as const
    expect(decodeResponse(encodeResponse(response))).toEqual(response)
  })
})

describe('what is no response', () => {
  test.each([undefined, null, 'text', 7, {}, [], new Uint8Array(20)])('is none: %j', (value) => {
    expect(decodeResponse(value)).toBeUndefined()
  })

  test('or was cut short, or lies about its length', () => {
    const bytes = encodeResponse(RESPONSE)
    const headEnd = 4 + bytes.readUInt32BE(0)
    for (let end = 0; end < headEnd; end++) expect(decodeResponse(bytes.subarray(0, end))).toBeUndefined()
    const lying = Buffer.from(bytes)
    lying.writeUInt32BE(0xffffffff)
    expect(decodeResponse(lying)).toBeUndefined()
  })

  test.each([
    ['no status', { status: undefined }],
    ['a status that cannot be sent', { status: 99 }],
    ['an informational status', { status: 101 }],
    ['a status that is no number', { status: '200' }],
    ['a status beyond', { status: 600 }],
    ['headers that are none', { headers: null }],
    ['a list of headers', { headers: [['a', 'b']] }],
    ['a line break in a value', { headers: { a: 'b\r\nset-cookie: c=d' } }],
    ['a line break in one of several values', { headers: { a: ['b', 'c\nd'] } }],
    ['a NUL in a value', { headers: { a: 'b\0' } }],
    ['a value that cannot be sent', { headers: { a: '\u{1f600}' } }],
    ['a value that is no string', { headers: { a: { toString: 'x' } } }],
    ['values within values', { headers: { a: [['b']] } }],
    ['a line break in a name', { headers: { 'a\r\nb': 'c' } }],
    ['an empty name', { headers: { '': 'c' } }],
    ['a name in upper case, which would stand beside the other', { headers: { 'Content-Type': 'c' } }],
    ['no word on who may have it', { isPublic: undefined }],
    ['a word on who may have it that is none', { isPublic: 'yes' }],
    ['an age that is none', { age: -1 }],
    ['a length that is none', { length: undefined }],
    ['a length that is not its body’s', { length: 6 }],
    ['a length beyond all bounds', { coding: 'gzip', length: 2 ** 27 }],
    ['a coding that nobody knows', { coding: 'lzma' }],
    ['a coding from the prototype', { coding: 'constructor' }],
    ['a cookie', { headers: { 'set-cookie': 'session=evil' } }],
    ['a length of its own', { headers: { 'content-length': '1' } }],
    ['a framing of its own', { headers: { 'transfer-encoding': 'chunked' } }],
    ['a connection to keep', { headers: { connection: 'upgrade' } }],
  ])('or has %s', (_, wrong) => {
    const { body: _body, ...head } = RESPONSE
    expect(decodeResponse(forged(head))).toBeDefined()
    expect(decodeResponse(forged({ ...head, ...wrong }))).toBeUndefined()
  })

  test('or reaches for the prototype', () => {
    const head = '{"status":200,"isPublic":true,"age":0,"length":0,"headers":{"__proto__":["x"]}}'
    const length = Buffer.alloc(4)
    length.writeUInt32BE(head.length)
    expect(decodeResponse(Buffer.concat([length, Buffer.from(head)]))).toBeUndefined()
  })

  test('and nothing at all makes it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.json(), (bytes, json) => {
        decodeResponse(Buffer.from(bytes))
        decodeResponse(forged(JSON.parse(json)))
      }),
    )
  })

  test('with a byte changed it is another response, or none; never a header with a line break', () => {
    const bytes = encodeResponse(RESPONSE)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes)
        damaged[at] = damaged[at]! ^ flip
        const values = Object.values(decodeResponse(damaged)?.headers ?? {}).flat()
        expect(values.filter((value) => /[\r\n\0]/.test(value))).toEqual([])
      }),
    )
  })
})
