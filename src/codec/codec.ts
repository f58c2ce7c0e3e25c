/** Entries as bytes, and back. The only file of this folder that stores of bytes import. */
import { setImmediate as turn } from 'node:timers/promises'
import { Entry, type EntryDraft } from '../entry.ts'
import {
  CacheCompressionError,
  CacheDecompressionError,
  CacheDeserializationError,
  CacheSerializationError,
} from '../exceptions.ts'
import { compress, decompress, hasCompression, type CompressionAlgorithm } from './compression.ts'
import { readBody, readHeader, writeTail, type EntryHeader, type Sealed } from './envelope.ts'
import { deserialize, serialize, type Kind } from './serializer.ts'
import { Signer } from './signature.ts'
import { isParsable } from './structure.ts'

export { expireHeader, hasMagic, readEntryId, readHeader, readStamp, STAMP_BYTES } from './envelope.ts'

export interface CodecOptions {
  /** Bodies from `thresholdBytes` on are compressed. Default: none are. */
  readonly compression?: { readonly algorithm: CompressionAlgorithm; readonly thresholdBytes: number }
  /** Entries are signed with it, and those that are not, or with another, are damaged. Default: they are not. */
  readonly signingKey?: string | undefined
  /** No larger value is written or read, whatever its stored size. Default: 64 MiB. */
  readonly maxBytes?: number
}

const DEFAULT_MAX_BYTES = 64 * 1_048_576

/** Larger bodies are stored as they are: a few bytes in Redis shall not make more than this here. */
const MAX_COMPRESSED_BYTES = 16 * 1_048_576

/** The copy of such a value has kept others from the event loop for a millisecond: they come before it is written. */
const LARGE_BYTES = 262_144

/** For an entry that asks to be compressed where nothing is configured. */
const DEFAULT_COMPRESSION = { algorithm: 'gzip', thresholdBytes: 1024 } as const

export class Codec {
  readonly #compression: CodecOptions['compression']
  readonly #maxBytes: number
  readonly #signer: Signer | undefined

  /** @throws {CacheCompressionError} if this Node does not have the algorithm */
  constructor(options: CodecOptions) {
    const { compression, maxBytes = DEFAULT_MAX_BYTES, signingKey } = options
    if (compression && !hasCompression(compression.algorithm)) {
      throw new CacheCompressionError(`${compression.algorithm}: this Node (${process.version}) does not have it`)
    }
    this.#compression = compression
    this.#maxBytes = maxBytes
    this.#signer = signingKey === undefined ? undefined : new Signer(signingKey)
  }

  /** What bears no signature is not ours. */
  get isSigning(): boolean {
    return this.#signer !== undefined
  }

  /**
   * The tail of an entry: what follows the stamp, which the store writes. A promise if the value is large, or a body of
   * more than 64 KB is compressed. `draft.compress` overrides the option for this entry; the threshold still applies.
   *
   * @throws {CacheSerializationError} if the value is larger than `maxBytes` or has too many parts, or id and tags are
   * too long
   * @throws {CacheCompressionError}
   */
  encode(draft: EntryDraft, id: string): Buffer | Promise<Buffer> {
    if (draft.bytes < LARGE_BYTES) return this.#encode(draft, id)
    return turn().then(() => this.#encode(draft, id))
  }

  #encode(draft: EntryDraft, id: string): Buffer | Promise<Buffer> {
    const { kind, body } = serialize(draft.value, draft.plain)
    const bodyLength = body.length
    if (bodyLength > this.#maxBytes) {
      throw new CacheSerializationError(`value: expected at most ${this.#maxBytes} bytes, got ${bodyLength}`)
    }
    if (isJson(kind) && !isParsable(body)) throw new CacheSerializationError('value: it has too many parts')
    const asIs = { kind, compression: 'none', bodyLength, body } as const
    const algorithm = this.#algorithmFor(bodyLength, draft.compress)
    const write = (sealed: Sealed): Buffer => {
      const tail = writeTail(draft, id, sealed)
      return this.#signer?.sign(tail) ?? tail
    }
    if (algorithm === undefined) return write(asIs)
    const seal = (compressed: Buffer | undefined): Buffer =>
      write(compressed ? { ...asIs, compression: algorithm, body: compressed } : asIs)
    const compressed = compress(body, algorithm)
    return compressed instanceof Promise ? compressed.then(seal) : seal(compressed)
  }

  /**
   * The entry in `bytes`, stamp and tail. A promise if its body is compressed and has more than 64 KB.
   *
   * Bytes at the top of a value (Buffer, Uint8Array) may be a view of `bytes`, so that they can go to a socket as they
   * are. Whoever keeps them, or hands them to a caller, makes a `copy` first, as of everything not `shareable`.
   *
   * @throws {CacheDeserializationError} if the bytes are damaged, those of another id, or not signed as they should be
   * @throws {CacheDecompressionError} if the body is not what it declares to be
   */
  decode(bytes: Buffer, id: string): Entry | Promise<Entry> {
    const header = readHeader(bytes, id)
    const { compression, bodyLength } = header
    const maxBytes = compression === 'none' ? this.#maxBytes : Math.min(this.#maxBytes, MAX_COMPRESSED_BYTES)
    if (bodyLength > maxBytes) {
      throw new CacheDecompressionError(`stored entry: expected at most ${maxBytes} bytes, got ${bodyLength}`)
    }
    const stored = readBody(this.#signer?.verified(bytes, header.headerEnd) ?? bytes, header)
    if (compression === 'none') return toEntry(header, stored)
    const body = decompress(stored, compression, bodyLength)
    return body instanceof Promise ? body.then((it) => toEntry(header, it)) : toEntry(header, body)
  }

  #algorithmFor(bodyLength: number, wantsCompression: boolean | undefined): CompressionAlgorithm | undefined {
    if (wantsCompression === false || bodyLength > MAX_COMPRESSED_BYTES) return undefined
    const compression = this.#compression ?? (wantsCompression ? DEFAULT_COMPRESSION : undefined)
    return compression && bodyLength >= compression.thresholdBytes ? compression.algorithm : undefined
  }
}

function isJson(kind: Kind): boolean {
  return kind === 'json' || kind === 'tagged'
}

function toEntry(header: EntryHeader, body: Buffer): Entry {
  if (isJson(header.kind) && !isParsable(body)) {
    throw new CacheDeserializationError('stored entry: expected fewer parts in a value')
  }
  return new Entry({ kept: deserialize(header.kind, body), life: header, facts: header, stamp: header })
}
