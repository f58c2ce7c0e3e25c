/** Few bytes that would become very many. In a process of its own, so that its peak of memory can be told. */
import * as zlib from 'node:zlib'
import { beforeAll, describe, expect, it } from 'vitest'
import { Codec } from '../../src/codec/codec.ts'
import type { CompressionAlgorithm } from '../../src/codec/compression.ts'
import { writeTail } from '../../src/codec/envelope.ts'
import { CacheDecompressionError } from '../../src/exceptions.ts'
import { draftOf, stamped } from './stored.ts'

const MIB = 1_048_576
const BOMB_BYTES = 256 * MIB
const bombs = new Map<string, { readonly algorithm: CompressionAlgorithm; readonly body: Buffer }>()

/** Made in a stream, so that this process never held what is in it. */
async function bombOf(coder: zlib.Gzip | zlib.BrotliCompress): Promise<Buffer> {
  const zeros = Buffer.alloc(MIB)
  const made: Buffer[] = []
  coder.on('data', (chunk: Buffer) => made.push(chunk))
  for (let i = 0; i < BOMB_BYTES; i += zeros.length) await new Promise((resolve) => coder.write(zeros, resolve))
  await new Promise((resolve) => coder.on('end', resolve).end())
  return Buffer.concat(made)
}

function brotli(windowBits: number): zlib.BrotliCompress {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants
  return zlib.createBrotliCompress({ params: { [BROTLI_PARAM_QUALITY]: 2, [BROTLI_PARAM_LGWIN]: windowBits } })
}

beforeAll(async () => {
  bombs.set('gzip', { algorithm: 'gzip', body: await bombOf(zlib.createGzip()) })
  bombs.set('brotli', { algorithm: 'brotli', body: await bombOf(brotli(16)) })
  bombs.set('brotli with a wide window', { algorithm: 'brotli', body: await bombOf(brotli(24)) })
}, 60_000)

describe.each(['gzip', 'brotli', 'brotli with a wide window'])('a bomb of %s', (name) => {
  it.each([
    ['nothing', 0],
    ['little', 2000],
    ['just what is read at once', 65_536],
    ['what is read off the event loop', 300_000],
    ['what it is', BOMB_BYTES],
    ['1 GB', 1024 * MIB],
  ])('that declares to be %s is an error, and takes no memory', async (_what, bodyLength) => {
    const { algorithm, body } = bombs.get(name)!
    const stored = stamped(
      writeTail(draftOf(null), 'k::a', { kind: 'buffer', compression: algorithm, bodyLength, body }),
    )
    const before = process.resourceUsage().maxRSS
    await expect(async () => new Codec({}).decode(stored, 'k::a')).rejects.toThrow(CacheDecompressionError)
    // In KB: a quarter of what is in it, far above what a decoder needs.
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(64 * 1024)
  })
})

it('brotli with a window wider than its length needs is refused before any work, which the window alone would cost', () => {
  const { body } = bombs.get('brotli with a wide window')!
  const tail = writeTail(draftOf(null), 'k::a', { kind: 'buffer', compression: 'brotli', bodyLength: 2000, body })
  expect(() => new Codec({}).decode(stamped(tail), 'k::a')).toThrow(/expected a window for 2000 bytes/)
})
