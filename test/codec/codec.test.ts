/** Entries as bytes and back, and what becomes of bytes that are not as they were written. */
import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Codec, hasMagic, readHeader } from '../../src/codec/codec.ts'
import { writeTail } from '../../src/codec/envelope.ts'
import type { Entry, EntryDraft } from '../../src/entry.ts'
import {
  CacheCompressionError,
  CacheDecompressionError,
  CacheDeserializationError,
  CacheSerializationError,
} from '../../src/exceptions.ts'
import { hasCompression } from '../../src/codec/compression.ts'
import { snapshot } from '../../src/codec/snapshot.ts'
import { draftOf, resealed, stamped, withBody } from './stored.ts'
import { show, storable } from './values.ts'

const ID = 'k:items:item_1'
const plain = new Codec({})
const gzip = new Codec({ compression: { algorithm: 'gzip', thresholdBytes: 0 } })
const brotli = new Codec({ compression: { algorithm: 'brotli', thresholdBytes: 0 } })
const PHRASE = 'a phrase that is said again and again '

const encode = (codec: Codec, draft: EntryDraft): Buffer => stamped(codec.encode(draft, ID) as Buffer)
const decode = (bytes: Buffer): Entry => plain.decode(bytes, ID) as Entry

/** The properties by name: `show` minds their order. */
function inOrder(object: object): unknown {
  return Object.entries(object).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** Reading may fail in these two ways only. */
function isFault(error: unknown): boolean {
  return error instanceof CacheDeserializationError || error instanceof CacheDecompressionError
}

const ENTRIES: Record<string, Buffer> = {
  json: encode(plain, draftOf({ name: 'a', list: [1, null] })),
  'tagged json': encode(plain, draftOf({ at: new Date(5), map: new Map([[1, 2n]]) })),
  bytes: encode(plain, draftOf(Buffer.from('\0\x01 some bytes'))),
  gzip: encode(gzip, draftOf(PHRASE.repeat(4))),
  brotli: encode(brotli, draftOf(Buffer.from(PHRASE.repeat(4)))),
  'a negative child without tags': encode(
    plain,
    draftOf(null, { negative: true, parentId: 'fedcba9876543210', tags: [] }),
  ),
}

describe('an entry', () => {
  it('comes back as it was, whatever its value', () => {
    fc.assert(
      fc.property(storable, fc.constantFrom(plain, gzip, brotli), (value, codec) => {
        const draft = draftOf(value, { parentId: 'fedcba9876543210' })
        const { bytes: _estimated, ...expected } = { ...draft, seq: 77, epoch: 'epoch--1' }
        const { bytes, ...entry } = plain.decode(
          stamped(codec.encode(draft, ID) as Buffer, 'epoch--1', 77),
          ID,
        ) as Entry
        expect(show(inOrder(entry))).toBe(show(inOrder(expected)))
        expect(bytes).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  it.each([
    ['bytes', Buffer.from(PHRASE.repeat(10))],
    ['empty objects', Array.from({ length: 1000 }, () => ({}))],
    ['short strings', Array.from({ length: 1000 }, (_, n) => `${n}`)],
    ['dates', Array.from({ length: 1000 }, (_, n) => new Date(n))],
    ['sets', Array.from({ length: 1000 }, () => new Set([1, 2]))],
    ['a map', new Map(Array.from({ length: 1000 }, (_, n) => [n, `${n}`]))],
    ['many names', Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`${n} of codec.test`, 1]))],
  ])('counts what its value takes in memory, as it was counted before: %s', (_what, value) => {
    const draft = draftOf(value)
    for (const codec of [plain, gzip]) {
      const { bytes } = decode(encode(codec, draft))
      expect(bytes).toBeGreaterThan(0.8 * snapshot(value).bytes)
      expect(bytes).toBeLessThan(2 * draft.bytes)
    }
  })

  it('without a value, as a negative one may be, comes back', () => {
    expect(decode(encode(plain, { ...draftOf(null), value: undefined, negative: true }))).toMatchObject({
      value: undefined,
      negative: true,
    })
  })

  it('that is bytes is a view of what was read, for a socket: whoever keeps it copies', () => {
    const bytes = encode(plain, draftOf(Buffer.from('body')))
    const entry = decode(bytes)
    expect((entry.value as Buffer).buffer).toBe(bytes.buffer)
    expect(entry.shareable).toBe(false)
  })
})

describe('compression', () => {
  const compressionOf = (tail: Buffer): string => readHeader(stamped(tail), ID).compression
  const text = PHRASE.repeat(100)
  const off = new Codec({})
  const from2000 = new Codec({ compression: { algorithm: 'brotli', thresholdBytes: 2000 } })

  it('is off unless configured', () => {
    expect(compressionOf(off.encode(draftOf(text), ID) as Buffer)).toBe('none')
  })

  it('applies from the threshold on', () => {
    expect(compressionOf(from2000.encode(draftOf(Buffer.alloc(1999, PHRASE)), ID) as Buffer)).toBe('none')
    expect(compressionOf(from2000.encode(draftOf(Buffer.alloc(2000, PHRASE)), ID) as Buffer)).toBe('brotli')
  })

  it('is what an entry asks for: none, or the configured one, or gzip from 1024 bytes on', () => {
    expect(compressionOf(from2000.encode(draftOf(text, { compress: false }), ID) as Buffer)).toBe('none')
    expect(compressionOf(from2000.encode(draftOf(text, { compress: true }), ID) as Buffer)).toBe('brotli')
    expect(compressionOf(off.encode(draftOf(text, { compress: true }), ID) as Buffer)).toBe('gzip')
    expect(compressionOf(off.encode(draftOf(Buffer.alloc(1023, PHRASE), { compress: true }), ID) as Buffer)).toBe(
      'none',
    )
    expect(compressionOf(from2000.encode(draftOf('short', { compress: true }), ID) as Buffer)).toBe('none')
  })

  it('is left out where it saves nothing', () => {
    const random = randomBytes(3000)
    const tail = from2000.encode(draftOf(random), ID) as Buffer
    expect(compressionOf(tail)).toBe('none')
    expect(decode(stamped(tail)).value).toEqual(random)
  })

  it('makes a promise only of compressed bodies over 64 KB', async () => {
    const large = 'x'.repeat(100) + randomBytes(50_000).toString('hex')
    expect(off.encode(draftOf(large), ID)).toBeInstanceOf(Buffer)
    expect(plain.decode(stamped(off.encode(draftOf(large), ID) as Buffer), ID)).not.toBeInstanceOf(Promise)
    const tail = from2000.encode(draftOf(large), ID)
    expect(tail).toBeInstanceOf(Promise)
    const entry = plain.decode(stamped(await tail), ID)
    expect(entry).toBeInstanceOf(Promise)
    expect(await entry).toMatchObject({ value: large, plain: true, shareable: true })
    const random = randomBytes(100_000)
    expect(compressionOf(await from2000.encode(draftOf(random), ID))).toBe('none')
  })

  it('that this Node lacks is refused at once', () => {
    const make = (): Codec => new Codec({ compression: { algorithm: 'zstd', thresholdBytes: 0 } })
    if (hasCompression('zstd')) expect(make()).toBeInstanceOf(Codec)
    else expect(make).toThrow(CacheCompressionError)
  })
})

describe('maxBytes', () => {
  const small = new Codec({ maxBytes: 100, compression: { algorithm: 'gzip', thresholdBytes: 0 } })

  it('is the most that is written', () => {
    expect(small.encode(draftOf(Buffer.alloc(100)), ID)).toBeInstanceOf(Buffer)
    expect(() => small.encode(draftOf(Buffer.alloc(101)), ID)).toThrow(CacheSerializationError)
  })

  it('is the most that is read, compressed or not', () => {
    expect(() => small.decode(encode(plain, draftOf(Buffer.alloc(101))), ID)).toThrow(CacheDecompressionError)
    expect(() => small.decode(encode(gzip, draftOf(Buffer.alloc(101))), ID)).toThrow(CacheDecompressionError)
  })
})

describe.each(Object.entries(ENTRIES))('damaged bytes of %s', (_name, bytes) => {
  it('are an error, whichever bit is flipped; a damaged epoch is another epoch', () => {
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const damaged = Buffer.from(bytes)
        damaged[at]! ^= bit
        expect(hasMagic(damaged)).toBe(true)
        if (at >= 4 && at < 12) {
          expect(readHeader(damaged, ID).epoch).not.toBe(readHeader(bytes, ID).epoch)
        } else {
          expect(() => decode(damaged)).toThrow(CacheDeserializationError)
        }
      }
    }
  })

  it('are an error, whichever byte has become whatever other', () => {
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, byte) => {
        const damaged = Buffer.from(bytes)
        damaged[at] = byte
        if (bytes[at] === byte || (at >= 4 && at < 12)) return
        expect(() => decode(damaged)).toThrow(CacheDeserializationError)
      }),
      { numRuns: 1000 },
    )
  })

  it('are an error, wherever they were cut off or whatever was put behind', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decode(bytes.subarray(0, length))).toThrow(CacheDeserializationError)
    }
    for (const more of ['\0', 'x', PHRASE]) {
      expect(() => decode(Buffer.concat([bytes, Buffer.from(more)]))).toThrow(CacheDeserializationError)
    }
  })

  it('are an error or an entry, if somebody sealed them anew', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(bytes.length - 29), fc.nat(255)), { minLength: 1 }),
        async (changes) => {
          const forged = Buffer.from(bytes)
          for (const [at, byte] of changes) forged[28 + at] = byte
          try {
            expect(await plain.decode(resealed(forged), ID)).toHaveProperty('value')
          } catch (error) {
            if (!isFault(error)) throw error
          }
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('hostile bytes', () => {
  it('that are garbage are an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (garbage, isStamped) => {
        const bytes = isStamped ? stamped(Buffer.from(garbage)) : Buffer.from(garbage)
        expect(() => decode(bytes)).toThrow(CacheDeserializationError)
      }),
      { numRuns: 1000 },
    )
  })

  it('that are a wrong body under right check values are an error', () => {
    const { json, gzip: compressed, 'tagged json': tagged } = ENTRIES
    expect(() => decode(withBody(json!, Buffer.from('{}')))).toThrow(CacheDeserializationError)
    expect(() => decode(withBody(compressed!, Buffer.from('not gzip')))).toThrow(CacheDecompressionError)
    const sameLength = Buffer.alloc(tagged!.length - tagged!.readUInt32BE(36), '[')
    expect(() => decode(withBody(tagged!, sameLength))).toThrow(CacheDeserializationError)
  })

  it('that declare more or less than a body holds are an error', async () => {
    const { kind, body } = { kind: 'buffer', body: gzippedBody() } as const
    for (const bodyLength of [0, 1, 151, 153, 5000, 70_000, 2 ** 26, 2 ** 32 - 1]) {
      for (const compression of ['none', 'gzip', 'brotli', 'zstd'] as const) {
        const forged = stamped(writeTail(draftOf(null), ID, { kind, compression, bodyLength, body }))
        await expect(async () => plain.decode(forged, ID)).rejects.toSatisfy(isFault)
      }
    }
  })

  it('of another version, or with flags that are not known, are an error', () => {
    const bytes = ENTRIES['json']!
    const version2 = Buffer.from(bytes)
    version2[3] = 2
    expect(() => decode(version2)).toThrow(/magic of this version/)
    for (const flag of [0x40, 0x80]) {
      const flagged = Buffer.from(bytes)
      flagged[44]! |= flag
      expect(() => decode(resealed(flagged))).toThrow(/known flags/)
    }
  })
})

/** 152 bytes, compressed. */
function gzippedBody(): Buffer {
  const bytes = encode(gzip, draftOf(Buffer.from(PHRASE.repeat(4))))
  return Buffer.from(bytes.subarray(bytes.readUInt32BE(36)))
}
