/** A body that would make far more than it is long is told before it is parsed. */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Codec } from '../../src/codec/codec.ts'
import { writeTail } from '../../src/codec/envelope.ts'
import { serialize, type Kind } from '../../src/codec/serializer.ts'
import { snapshot } from '../../src/codec/snapshot.ts'
import { isParsable, MAX_STRUCTURE_BYTES } from '../../src/codec/structure.ts'
import { CacheDecompressionError, CacheDeserializationError, CacheSerializationError } from '../../src/exceptions.ts'
import { draftOf, stamped } from './stored.ts'

const MIB = 1_048_576

function repeated(unit: string, length: number): Buffer {
  const count = Math.floor(length / (unit.length + 1))
  return Buffer.from(`[${`${unit},`.repeat(count - 1)}${unit}]`)
}

function storedAs(kind: Kind, body: Buffer, isCompressed: boolean): Buffer {
  const sealed = isCompressed
    ? ({ kind, compression: 'gzip', bodyLength: body.length, body: gzipSync(body) } as const)
    : ({ kind, compression: 'none', bodyLength: body.length, body } as const)
  return stamped(writeTail(draftOf(null), 'k::a', sealed))
}

describe.each([
  ['json', '{}'],
  ['json', '[]'],
  ['json', '{"a":{}}'],
  ['tagged', '{"~d":1}'],
  ['tagged', '{"~s":[]}'],
] as const)('%s made of millions of %s', (kind, unit) => {
  test.each([true, false])('is an error, and is not parsed; compressed: %s', async (isCompressed) => {
    const stored = storedAs(kind, repeated(unit, 15 * MIB), isCompressed)
    const before = process.resourceUsage().maxRSS
    await expect(async () => new Codec({}).decode(stored, 'k::a')).rejects.toThrow(CacheDeserializationError)
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(64 * 1024)
  })
})

test('a compressed body of more than 16 MiB is an error before any work', () => {
  const stored = storedAs('json', Buffer.from(`"${'a'.repeat(16 * MIB)}"`), true)
  expect(() => new Codec({}).decode(stored, 'k::a')).toThrow(CacheDecompressionError)
})

test('what is as large is stored as it is, and comes back', async () => {
  const codec = new Codec({ compression: { algorithm: 'gzip', thresholdBytes: 1 } })
  const value = 'a'.repeat(17 * MIB)
  const tail = await codec.encode({ ...draftOf(value), plain: true }, 'k::a')
  expect((await codec.decode(stamped(tail), 'k::a')).value).toBe(value)
})

test('what could not be read back is not written either', async () => {
  const value = Array.from({ length: 2_200_000 }, () => Object.freeze({}))
  const encode = async (): Promise<Buffer> => new Codec({}).encode({ ...draftOf(value), plain: true }, 'k::a')
  await expect(encode).rejects.toThrow(CacheSerializationError)
})

describe('values as people have them', () => {
  test.each([
    ['text full of braces and commas', `{[,:]}"\\`.repeat(2 * MIB)],
    ['a million numbers', Array.from({ length: 1_000_000 }, (_, n) => n)],
    [
      'rows',
      Array.from({ length: 80_000 }, (_, id) => ({ id, name: 'Ada', tags: ['a', 'b'], address: { city: 'Ulm' } })),
    ],
    ['a Map of a hundred thousand', new Map(Array.from({ length: 100_000 }, (_, n) => [`key ${n}`, new Date(n)]))],
  ])('pass: %s', (_what, value) => {
    const { value: kept, plain } = snapshot(value)
    const { body } = serialize(kept, plain)
    expect(body.length).toBeGreaterThan(MIB)
    expect(isParsable(body)).toBe(true)
  })

  test('end where they would take more than 128 MiB', () => {
    const containers = MAX_STRUCTURE_BYTES / 72
    expect(isParsable(repeated('{}', (containers - 1) * 3))).toBe(true)
    expect(isParsable(repeated('{}', (containers + 1) * 3))).toBe(false)
  })
})
