/** The layout of a stored entry, which the store's scripts read too. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Codec,
  expireHeader,
  hasMagic,
  readEntryId,
  readHeader,
  readStamp,
  STAMP_BYTES,
} from '../../src/codec/codec.ts'
import { CacheDeserializationError, CacheSerializationError } from '../../src/exceptions.ts'
import { draftOf, resealed, stamped, STORED_AT } from './stored.ts'

const ID = 'k:items:item_1'
const codec = new Codec({})
const encode = (draft: Parameters<Codec['encode']>[0], id = ID): Buffer => codec.encode(draft, id) as Buffer
const store = (value: unknown, overrides = {}, id = ID): Buffer => stamped(encode(draftOf(value, overrides), id))
const headerOf = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.readUInt32BE(36))

describe('the layout', () => {
  it('is a stamp, then the name, then the length of stamp and header, where scripts look for them', () => {
    const bytes = store({ a: 1 })
    expect(STAMP_BYTES).toBe(28)
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0xf7, 0x54, 0x4d, 1]))
    expect(bytes.subarray(28, 36).toString('hex')).toBe('0123456789abcdef')
    expect(bytes.subarray(bytes.readUInt32BE(36)).toString()).toBe('{"a":1}')
  })

  it('takes at most 80 bytes for a value of 1 KB, besides id and tags', () => {
    const body = JSON.stringify('x'.repeat(1022))
    const tags = ['n:items', 't:item:1']
    const names = ID.length + tags.join('').length + tags.length
    expect(store('x'.repeat(1022), { tags }).length - body.length - names).toBeLessThanOrEqual(80)
  })
})

describe('a header', () => {
  const name = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'))
  const time = fc.oneof(fc.nat(2 ** 31 - 1), fc.constantFrom(0, STORED_AT, 2 ** 48 - 1))
  const text = fc.string({ unit: 'grapheme', maxLength: 200 })
  const facts = fc.record({
    entryId: name,
    parentId: fc.option(name, { nil: undefined }),
    storedAt: time,
    freshUntil: time,
    staleUntil: time,
    graceUntil: time,
    loadMs: fc.oneof(fc.nat(1000), fc.nat(2 ** 31 - 1), fc.constant(2 ** 32 - 1)),
    tags: fc.array(text, { maxLength: 20 }),
    negative: fc.boolean(),
  })

  it('comes back as it was written, also without the body', () => {
    fc.assert(
      fc.property(facts, text, fc.integer({ min: 0, max: 2 ** 53 - 1 }), (written, id, seq) => {
        const bytes = stamped(encode(draftOf('body', written), id), 'epoch--2', seq)
        const header = readHeader(headerOf(bytes), id)
        expect(header).toMatchObject({ ...written, epoch: 'epoch--2', seq, headerEnd: bytes.length - '"body"'.length })
        expect(readHeader(bytes, id)).toEqual(header)
        expect(readStamp(bytes)).toEqual({ epoch: 'epoch--2', seq })
        expect(readEntryId(bytes)).toBe(written.entryId)
      }),
    )
  })

  it('keeps whole milliseconds, and for ever is the year 10889', () => {
    const draft = { storedAt: 1.4, freshUntil: 1.6, staleUntil: Infinity, graceUntil: -1, loadMs: 0.7 }
    expect(readHeader(store(1, draft), ID)).toMatchObject({
      storedAt: 1,
      freshUntil: 2,
      staleUntil: 2 ** 48 - 1,
      graceUntil: 0,
      loadMs: 1,
    })
  })

  it('of another id is refused: the record of another key, put under this one', () => {
    expect(() => readHeader(store(1, {}, 'k:items:item_2'), ID)).toThrow(CacheDeserializationError)
    expect(() => readHeader(store(1, {}, 'k:items:item_2'), ID)).toThrow(
      "stored entry: expected the entry of 'k:items:item_1', got that of 'k:items:item_2'",
    )
    expect(() => readHeader(store(1), `${ID}1`)).toThrow(CacheDeserializationError)
    expect(() => readHeader(store(1), ID.slice(0, -1))).toThrow(CacheDeserializationError)
  })

  it('that scripts could not fetch whole is not written', () => {
    expect(() => encode(draftOf(1), 'x'.repeat(1_048_577))).toThrow(CacheSerializationError)
    expect(() => encode(draftOf(1, { tags: Array.from({ length: 2 ** 17 }, () => '12345678') }))).toThrow(
      /^key and tags: expected at most 1048576 bytes/,
    )
    const id = 'x'.repeat(1_000_000)
    expect(readHeader(store(1, {}, id), id).tags).toHaveLength(2)
  })

  it('needs a name of 16 hex digits', () => {
    for (const entryId of ['', 'abc', '0123456789abcdeg', '0123456789abcdef00']) {
      expect(() => encode(draftOf(1, { entryId }))).toThrow(CacheSerializationError)
      expect(() => encode(draftOf(1, { parentId: entryId }))).toThrow(CacheSerializationError)
    }
  })

  it('that was cut off is an error at every length', () => {
    const header = headerOf(store('body', { parentId: 'fedcba9876543210' }))
    for (let length = 0; length < header.length; length++) {
      expect(() => readHeader(header.subarray(0, length), ID)).toThrow(CacheDeserializationError)
    }
  })

  it('that lies about its length or its texts is an error', () => {
    const bytes = store('body')
    for (const headerEnd of [0, 1, 28, 69, 72, 73, 74, headerOf(bytes).length - 1, bytes.length, 2 ** 32 - 1]) {
      const lying = Buffer.from(bytes)
      lying.writeUInt32BE(headerEnd, 36)
      expect(() => readHeader(resealed(lying), ID)).toThrow(CacheDeserializationError)
    }
    // From 69 on: loadMs, bodyLength, and the lengths of id and tags.
    for (let at = 69; at < headerOf(bytes).length - 4; at++) {
      for (const byte of [0xff, 0x80, 0x7f]) {
        const lying = Buffer.from(bytes)
        lying[at] = byte
        try {
          readHeader(resealed(lying), ID)
        } catch (error) {
          expect(error).toBeInstanceOf(CacheDeserializationError)
        }
      }
    }
  })
})

describe('an expired header', () => {
  it('ends all windows at the new time, and is else the same', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.string({ unit: 'grapheme' })), (freshUntil, tags) => {
        const bytes = store('body', { tags, parentId: 'fedcba9876543210' })
        const expired = expireHeader(headerOf(bytes), freshUntil)
        const ends = { freshUntil, staleUntil: freshUntil, graceUntil: freshUntil }
        expect(readHeader(expired, ID)).toEqual({ ...readHeader(bytes, ID), ...ends })
        const whole = Buffer.concat([expired, bytes.subarray(expired.length)])
        expect(codec.decode(whole, ID)).toEqual(Object.assign(codec.decode(bytes, ID), ends))
      }),
    )
  })

  it('is another buffer: the old one is what the script compares', () => {
    const header = headerOf(store('body'))
    const before = Buffer.from(header)
    expireHeader(header, 5)
    expect(header).toEqual(before)
  })

  it('is not made of a damaged one, whose damage it would seal', () => {
    const header = Buffer.from(headerOf(store('body')))
    header[60]! ^= 1
    expect(() => expireHeader(header, 5)).toThrow(CacheDeserializationError)
    expect(() => expireHeader(Buffer.alloc(0), 5)).toThrow(CacheDeserializationError)
  })
})

describe('the magic', () => {
  it('is not in what other programs write', () => {
    const texts = ['', 'a', 'TM', 'hello', '{"a":1}', '\u{1f600}', '÷TM\x02', 'OTM 1', '\xf7TM\x01']
    for (const text of texts) expect(hasMagic(Buffer.from(text))).toBe(false)
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(hasMagic(Buffer.from(text))).toBe(false)
      }),
    )
  })

  it('is still seen in an entry with one damaged byte, or cut off anywhere', () => {
    const bytes = store('body')
    for (let at = 0; at < 4; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const damaged = Buffer.from(bytes)
        damaged[at] = byte
        expect(hasMagic(damaged)).toBe(true)
        if (byte === bytes[at]) continue
        expect(() => readStamp(damaged)).toThrow(CacheDeserializationError)
        expect(() => readHeader(damaged, ID)).toThrow(CacheDeserializationError)
      }
    }
    for (let length = 1; length < bytes.length; length++) expect(hasMagic(bytes.subarray(0, length))).toBe(true)
  })
})

describe('a stamp', () => {
  it('with a damaged seq is an error', () => {
    for (let at = 12; at < 28; at++) {
      const damaged = store('body')
      damaged[at]! ^= 0x10
      expect(() => readStamp(damaged)).toThrow(CacheDeserializationError)
    }
    for (const seq of [Number.NaN, Infinity, 2 ** 53, 0.5]) {
      expect(() => readStamp(stamped(Buffer.alloc(9), 'epoch--1', seq))).toThrow(CacheDeserializationError)
    }
  })

  it('that was cut off is an error', () => {
    const bytes = store('body')
    for (let length = 0; length < 28; length++) {
      expect(() => readStamp(bytes.subarray(0, length))).toThrow(CacheDeserializationError)
    }
  })

  it('keeps an epoch of any bytes apart from any other', () => {
    const epochs = new Set(
      Array.from(
        { length: 256 },
        (_, byte) => readStamp(stamped(Buffer.alloc(0), String.fromCharCode(byte).repeat(8), 1)).epoch,
      ),
    )
    expect(epochs.size).toBe(256)
  })
})

it('the name of an entry can be asked of any bytes', () => {
  expect(readEntryId(Buffer.from('short'))).toBe('')
  expect(readEntryId(Buffer.alloc(30, 1))).toBe('0101')
})
