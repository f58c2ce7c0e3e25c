/** What compression may cost, and what a bomb may not. */
import { randomBytes } from 'node:crypto'
import * as zlib from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compress, decompress, hasCompression } from '../../src/codec/compression.ts'
import { CacheCompressionError, CacheDecompressionError } from '../../src/exceptions.ts'

// zstd where this Node has it.
const ALGORITHMS = (['gzip', 'brotli', 'zstd'] as const).filter((algorithm) => hasCompression(algorithm))

/** Text that shrinks by half or so. */
const textOf = (length: number): Buffer => Buffer.from(randomBytes(length).toString('hex').slice(0, length))

it('zstd is there if node:zlib has it, and refused by name if not', () => {
  expect(hasCompression('zstd')).toBe('zstdCompressSync' in zlib)
  if (hasCompression('zstd')) return
  expect(() => compress(Buffer.alloc(9), 'zstd')).toThrow(CacheCompressionError)
  expect(() => compress(Buffer.alloc(9), 'zstd')).toThrow(`zstd: this Node (${process.version}) does not have it`)
  expect(() => decompress(Buffer.alloc(9), 'zstd', 9)).toThrow(CacheDecompressionError)
})

describe.each(ALGORITHMS)('%s', (algorithm) => {
  it('gives back what it was given', async () => {
    const bodies = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 50 }), fc.nat(4000))
    await fc.assert(
      fc.asyncProperty(bodies, async ([bytes, times]) => {
        const body = Buffer.concat(Array.from({ length: times + 1 }, () => bytes))
        const compressed = await compress(body, algorithm)
        if (compressed === undefined) return
        expect(compressed.length).toBeLessThan(body.length)
        expect((await decompress(compressed, algorithm, body.length)).equals(body)).toBe(true)
      }),
    )
  })

  it.each([65_535, 65_536, 65_537, 262_144, 262_145, 5_000_000])('gives back %d bytes', async (length) => {
    const body = textOf(length)
    const compressed = await compress(body, algorithm)
    expect((await decompress(compressed!, algorithm, length)).equals(body)).toBe(true)
  })

  it('works at once up to 64 KB, and off the event loop above', async () => {
    const phrase = textOf(1000)
    const small = compress(textOf(65_536), algorithm) as Buffer
    expect(small).toBeInstanceOf(Buffer)
    expect(decompress(small, algorithm, 65_536)).toBeInstanceOf(Buffer)
    const large = compress(textOf(65_537), algorithm)
    expect(large).toBeInstanceOf(Promise)
    expect(decompress((await large)!, algorithm, 65_537)).toBeInstanceOf(Promise)
    const few = compress(Buffer.concat(Array.from({ length: 65 }, () => phrase)), algorithm) as Buffer
    expect(few.length).toBeLessThan(3000)
    expect(decompress(few, algorithm, 65_000)).toBeInstanceOf(Buffer)
    const many = (await compress(Buffer.concat(Array.from({ length: 66 }, () => phrase)), algorithm))!
    expect(many.length).toBeLessThan(3000)
    expect(decompress(many, algorithm, 66_000)).toBeInstanceOf(Promise)
  })

  it('is not used if nothing is saved', async () => {
    expect(compress(Buffer.from('ab'), algorithm)).toBeUndefined()
    expect(compress(randomBytes(2000), algorithm)).toBeUndefined()
    expect(await compress(randomBytes(70_000), algorithm)).toBeUndefined()
  })

  it('is not used for what would shrink further than reading allows', async () => {
    const body = Buffer.alloc(10_000_000)
    const compressed = await compress(body, algorithm)
    expect(compressed === undefined).toBe(algorithm !== 'gzip')
    if (compressed) expect((await decompress(compressed, algorithm, body.length)).equals(body)).toBe(true)
  })

  it('refuses a length that is not the right one', async () => {
    for (const length of [3000, 100_000]) {
      const compressed = (await compress(textOf(length), algorithm))!
      for (const declared of [0, 1, length - 1, length + 1, 2 * length]) {
        await expect(async () => decompress(compressed, algorithm, declared)).rejects.toThrow(CacheDecompressionError)
      }
    }
  })

  it('refuses bytes that were cut off, at any length', async () => {
    const body = textOf(600)
    const compressed = (await compress(body, algorithm))!
    for (let length = 0; length < compressed.length; length++) {
      const cut = compressed.subarray(0, length)
      expect(() => decompress(cut, algorithm, body.length)).toThrow(CacheDecompressionError)
    }
  })

  it('makes of garbage an error or as many bytes as were declared, nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(100_000), async (bytes, length) => {
        try {
          expect((await decompress(Buffer.from(bytes), algorithm, length)).length).toBe(length)
        } catch (error) {
          expect(error).toBeInstanceOf(CacheDecompressionError)
        }
      }),
    )
  })
})
