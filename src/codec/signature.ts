/**
 * Signatures for a Redis that others can write to: HMAC-SHA256 behind the body, over the header (the id is in it) and the
 * body as stored.
 *
 * Not signed is what is written without reading the body, or by scripts: the stamp, and the ends of the windows, which
 * `expire` moves. Who can write to Redis can still delete entries, put old ones back, and make them last.
 */
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { CacheDeserializationError } from '../exceptions.ts'
import { STAMP_BYTES, lastingParts } from './envelope.ts'

const SIGNATURE_BYTES = 32

export class Signer {
  /** An object that shows nothing of the key. */
  readonly #key: KeyObject

  constructor(key: string) {
    this.#key = createSecretKey(key, 'utf8')
  }

  /** A tail with its signature behind it. */
  sign(tail: Buffer): Buffer {
    return Buffer.concat([tail, this.#signatureOf(tail)])
  }

  /**
   * A stored entry without its signature.
   *
   * @param headerEnd where its body begins, which has been verified
   * @throws {CacheDeserializationError} if there is none, or another one
   */
  verified(bytes: Buffer, headerEnd: number): Buffer {
    const end = bytes.length - SIGNATURE_BYTES
    if (end < headerEnd) throw new CacheDeserializationError('stored entry: expected a signature, got none')
    const entry = bytes.subarray(0, end)
    if (!timingSafeEqual(bytes.subarray(end), this.#signatureOf(entry.subarray(STAMP_BYTES)))) {
      throw new CacheDeserializationError(
        'stored entry: expected the signature of cache.signingKey, got none or another',
      )
    }
    return entry
  }

  #signatureOf(tail: Buffer): Buffer {
    const hmac = createHmac('sha256', this.#key)
    // Where each ends is in the first.
    for (const part of lastingParts(tail)) hmac.update(part)
    return hmac.digest()
  }
}
