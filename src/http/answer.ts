/**
 * What a client is sent of a hit: a 304 if it has the response already, a part of it, or all of it in the coding that it
 * can read. Everything is made from the stored bytes, and nothing of it twice.
 */
import type { CacheParts } from '../cache-parts.ts'
import { compress, decompress } from '../codec/compression.ts'
import { CacheDecompressionError } from '../exceptions.ts'
import type { MaybePromise } from '../stores/store.ts'
import { preferredCoding, type Coding } from './accept-encoding.ts'
import { fieldsOf, type AnswerFields } from './answer-fields.ts'
import { isNotModified } from './conditional.ts'
import { EncodedBodies } from './encoded-bodies.ts'
import { algorithmOf, offeredFor } from './encoding.ts'
import type { Hit } from './lead.ts'
import type { CacheableRequest, Headers } from './message.ts'
import { requestedRange, type ByteRange } from './range.ts'
import { whenThere } from './when-there.ts'

/** Send this. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Undefined: there is none. */
  readonly body: Buffer | undefined
  /** Another client may be sent another coding: caches behind have to tell them apart (RFC 9110 §12.5.5). */
  readonly variesByEncoding: boolean
}

export class Answers {
  readonly #thresholdBytes: number
  readonly #bodies: Readonly<Record<Coding | 'identity', EncodedBodies>> = {
    br: new EncodedBodies(),
    gzip: new EncodedBodies(),
    identity: new EncodedBodies(),
    zstd: new EncodedBodies(),
  }

  /** @param thresholdBytes smaller bodies are not encoded */
  constructor(thresholdBytes: number) {
    this.#thresholdBytes = thresholdBytes
  }

  /**
   * The answer to a GET or HEAD that has hit. A promise if a large body has to be brought into another coding first.
   *
   * @param mayEncode the application compresses what this route answers
   * @throws {CacheDecompressionError} if what is stored cannot be decompressed
   */
  to(request: CacheableRequest, hit: Hit, mayEncode: boolean): MaybePromise<Answer> {
    const { response } = hit
    const fields = fieldsOf(response)
    const variesByEncoding = this.#variesByEncoding(hit, fields, mayEncode)
    const coding = variesByEncoding ? codingFor(request, response.coding) : undefined
    if (response.status === 200) {
      // Before Range (RFC 9110 §13.2.2).
      if (isNotModified(request, response.headers)) {
        return { status: 304, headers: fields.notModified(coding), body: undefined, variesByEncoding }
      }
      const range = requestedRange(request, response.headers, response.length)
      if (range !== undefined) return this.#part(hit, range, variesByEncoding)
    }
    return coding === undefined ? this.#whole(hit, variesByEncoding) : this.#encodedWhole(hit, coding)
  }

  #whole(hit: Hit, variesByEncoding: boolean): MaybePromise<Answer> {
    const { status } = hit.response
    const headers = fieldsOf(hit.response).whole
    return whenThere(this.#identity(hit), (body) => ({ status, headers, body, variesByEncoding }))
  }

  #encodedWhole(hit: Hit, coding: Coding): MaybePromise<Answer> {
    const { status } = hit.response
    return whenThere(this.#encoded(hit, coding), (body) => {
      if (body === undefined) return this.#whole(hit, true)
      return { status, headers: fieldsOf(hit.response).encoded(coding), body, variesByEncoding: true }
    })
  }

  #part(hit: Hit, range: ByteRange | 'unsatisfiable', variesByEncoding: boolean): MaybePromise<Answer> {
    const fields = fieldsOf(hit.response)
    if (range === 'unsatisfiable') {
      return { status: 416, headers: fields.unsatisfiable(), body: undefined, variesByEncoding }
    }
    const headers = fields.part(range)
    return whenThere(this.#identity(hit), (whole) => {
      return { status: 206, headers, body: whole.subarray(range.first, range.last + 1), variesByEncoding }
    })
  }

  #variesByEncoding({ response, entryId }: Hit, fields: AnswerFields, mayEncode: boolean): boolean {
    if (response.coding !== undefined) return true
    // What is in no entry is not worth the work: nobody comes after this client.
    return mayEncode && fields.isEncodable && entryId !== undefined && response.length >= this.#thresholdBytes
  }

  #identity({ response, entryId }: Hit): MaybePromise<Buffer> {
    const { coding, body, length } = response
    if (coding === undefined) return body
    const make = (): MaybePromise<Buffer> => decompress(body, algorithmOf(coding), length)
    return entryId === undefined ? make() : whenThere(this.#bodies.identity.get(entryId, make), present)
  }

  /** Undefined if it does not shrink. */
  #encoded(hit: Hit, coding: Coding): MaybePromise<Buffer | undefined> {
    const { response, entryId } = hit
    if (coding === response.coding) return response.body
    const make = (): MaybePromise<Buffer | undefined> =>
      whenThere(this.#identity(hit), (body) => compress(body, algorithmOf(coding)))
    return entryId === undefined ? make() : this.#bodies[coding].get(entryId, make)
  }
}

const answers = new WeakMap<CacheParts, Answers>()

/** All routes of a cache share what has been made. */
export function answersOf(parts: CacheParts): Answers {
  const there = answers.get(parts)
  if (there !== undefined) return there
  const made = new Answers(parts.compression.thresholdBytes)
  answers.set(parts, made)
  return made
}

function codingFor(request: CacheableRequest, stored: Coding | undefined): Coding | undefined {
  // Asked for by people who look at answers on the wire, and honoured by @fastify/compress.
  if (request.header('x-no-compression') !== undefined) return undefined
  return preferredCoding(request.header('accept-encoding'), offeredFor(stored))
}

function present(body: Buffer | undefined): Buffer {
  if (body === undefined) throw new CacheDecompressionError('stored response: expected a body')
  return body
}
