/**
 * Compressing and decompressing bodies with node:zlib: at once up to 64 KB, off the event loop above.
 *
 * What is read back is only half trusted, so work and memory are bounded by the length that the entry declares, and
 * that by the number of bytes that are there: the output by `maxOutputLength`, the decoder's window because it is
 * never written larger than the body needs, and the ratio because a body that shrinks further is stored as it is.
 */
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { CacheCompressionError, CacheDecompressionError } from '../exceptions.ts'

/** The order is the format's: add at the end. */
export const COMPRESSIONS = ['none', 'gzip', 'brotli', 'zstd'] as const
export type CompressionAlgorithm = Exclude<(typeof COMPRESSIONS)[number], 'none'>

/** 20 KB take 18 µs at once and 130 µs by way of the thread pool, but the event loop is held up. */
const SYNC_BYTES = 65_536

/** One byte in Redis makes at most so many here: what deflate can do at best, so only the others are ever held back. */
const MAX_RATIO = 1032

/** Output grows in steps of this at most. */
const MAX_CHUNK_BYTES = 1_048_576

type Options = zlib.ZlibOptions & zlib.BrotliOptions
type Once = (bytes: Buffer, options: Options) => Buffer
type Later = (bytes: Buffer, options: Options, done: (error: Error | null, result: Buffer) => void) => void

interface Coder {
  readonly compressSync: Once
  readonly compress: Later
  readonly decompressSync: Once
  readonly decompress: Later
  /** What to tell the coder for a body of `length` bytes. */
  readonly compressing: (length: number) => Options
  readonly decompressing: (length: number) => Options
}

// From Node 22.15 on; the types are those of Node 20.
interface Zstd {
  readonly zstdCompressSync: Once
  readonly zstdCompress: Later
  readonly zstdDecompressSync: Once
  readonly zstdDecompress: Later
}
const ZSTD_C_WINDOW_LOG = 101
const ZSTD_D_WINDOW_LOG_MAX = 100

const CODERS: Readonly<Record<CompressionAlgorithm, Coder | undefined>> = {
  gzip: {
    compressSync: zlib.gzipSync,
    compress: zlib.gzip,
    decompressSync: zlib.gunzipSync,
    decompress: zlib.gunzip,
    compressing: () => ({}),
    decompressing: () => ({}),
  },
  brotli: {
    compressSync: zlib.brotliCompressSync,
    compress: zlib.brotliCompress,
    decompressSync: zlib.brotliDecompressSync,
    decompress: zlib.brotliDecompress,
    compressing: brotliParams,
    decompressing: () => ({}),
  },
  zstd: zstdCoder(zlib as typeof zlib & Partial<Zstd>),
}

/** True if this Node has the algorithm: zstd from 22.15 on, the others always. */
export function hasCompression(algorithm: CompressionAlgorithm): boolean {
  return CODERS[algorithm] !== undefined
}

/**
 * `body` compressed, or undefined if that is not worth storing.
 *
 * @throws {CacheCompressionError}
 */
export function compress(
  body: Buffer,
  algorithm: CompressionAlgorithm,
): Buffer | undefined | Promise<Buffer | undefined> {
  const coder = CODERS[algorithm]
  if (coder === undefined) throw new CacheCompressionError(unsupported(algorithm))
  const options = coder.compressing(body.length)
  const failed = (error: unknown): CacheCompressionError =>
    new CacheCompressionError(`${algorithm}: ${body.length} bytes could not be compressed`, { cause: error })
  if (body.length > SYNC_BYTES) {
    return promisify(coder.compress)(body, options).then(
      (compressed) => worthwhile(compressed, body.length),
      (error: unknown) => {
        throw failed(error)
      },
    )
  }
  try {
    return worthwhile(coder.compressSync(body, options), body.length)
  } catch (error) {
    throw failed(error)
  }
}

/**
 * The `length` bytes that were compressed to `bytes`.
 *
 * @throws {CacheDecompressionError} if `bytes` are damaged, or do not make exactly `length` bytes
 */
export function decompress(bytes: Buffer, algorithm: CompressionAlgorithm, length: number): Buffer | Promise<Buffer> {
  const coder = CODERS[algorithm]
  if (coder === undefined) throw new CacheDecompressionError(unsupported(algorithm))
  assertPlausible(bytes, algorithm, length)
  const options = {
    ...coder.decompressing(length),
    maxOutputLength: length,
    // One byte more than is expected: a full chunk would make zlib ask for another.
    chunkSize: Math.min(Math.max(length + 1, 64), MAX_CHUNK_BYTES),
  }
  if (Math.max(length, bytes.length) > SYNC_BYTES) {
    return promisify(coder.decompress)(bytes, options).then(
      (body) => assertLength(body, algorithm, length),
      (error: unknown) => {
        throw damaged(error, algorithm, length)
      },
    )
  }
  let body: Buffer
  try {
    body = coder.decompressSync(bytes, options)
  } catch (error) {
    throw damaged(error, algorithm, length)
  }
  return assertLength(body, algorithm, length)
}

function worthwhile(compressed: Buffer, length: number): Buffer | undefined {
  return compressed.length < length && length <= compressed.length * MAX_RATIO ? compressed : undefined
}

/** Refuses what `compress` does not write, before any work is done for it. */
function assertPlausible(bytes: Buffer, algorithm: CompressionAlgorithm, length: number): void {
  if (length > bytes.length * MAX_RATIO) {
    throw new CacheDecompressionError(
      `${algorithm}: ${bytes.length} bytes declare to be ${length}, more than is written`,
    )
  }
  if (algorithm === 'brotli' && brotliWindowBits(bytes) > windowBits(length)) {
    throw new CacheDecompressionError(`brotli: expected a window for ${length} bytes, got a larger one`)
  }
}

function assertLength(body: Buffer, algorithm: CompressionAlgorithm, length: number): Buffer {
  if (body.length === length) return body
  // zstd ends a truncated input without an error.
  throw new CacheDecompressionError(`${algorithm}: expected ${length} bytes, got ${body.length}`)
}

function damaged(error: unknown, algorithm: CompressionAlgorithm, length: number): CacheDecompressionError {
  return new CacheDecompressionError(`${algorithm}: expected ${length} bytes, got damaged or longer ones`, {
    cause: error,
  })
}

function unsupported(algorithm: CompressionAlgorithm): string {
  return `${algorithm}: this Node (${process.version}) does not have it`
}

/** The window that covers a body, from 64 KB to 4 MB: a decoder may fill it whole before it says how much it has. */
function windowBits(length: number): number {
  return Math.min(Math.max(Math.ceil(Math.log2(length)), 16), 22)
}

function brotliParams(length: number): Options {
  return {
    params: {
      // Quality 4 is as fast as gzip and smaller; the default, 11, takes a hundred times as long.
      [zlib.constants.BROTLI_PARAM_QUALITY]: 4,
      [zlib.constants.BROTLI_PARAM_LGWIN]: windowBits(length),
      [zlib.constants.BROTLI_PARAM_SIZE_HINT]: length,
    },
  }
}

/** The window in the first byte of a stream, RFC 7932 section 9.1. */
function brotliWindowBits(bytes: Buffer): number {
  const first = bytes[0] ?? 0
  if ((first & 1) === 0) return 16
  const high = (first >> 1) & 7
  if (high !== 0) return 17 + high
  const low = (first >> 4) & 7
  if (low === 0) return 17
  return low === 1 ? Number.POSITIVE_INFINITY : 8 + low
}

function zstdCoder(functions: Partial<Zstd>): Coder | undefined {
  const { zstdCompressSync, zstdCompress, zstdDecompressSync, zstdDecompress } = functions
  if (!zstdCompressSync || !zstdCompress || !zstdDecompressSync || !zstdDecompress) return undefined
  return {
    compressSync: zstdCompressSync,
    compress: zstdCompress,
    decompressSync: zstdDecompressSync,
    decompress: zstdDecompress,
    compressing: (length) => ({ params: { [ZSTD_C_WINDOW_LOG]: windowBits(length) } }),
    decompressing: (length) => ({ params: { [ZSTD_D_WINDOW_LOG_MAX]: windowBits(length) } }),
  }
}
