/**
 * The header fields of every answer that a stored response can give. They depend on its head alone, so each list is made
 * when it is first sent, and is then the same for all hits of the entry.
 */
import type { Coding } from './accept-encoding.ts'
import { notModifiedHeaders } from './conditional.ts'
import { isEncodable } from './encoding.ts'
import { weakened } from './etag.ts'
import { lineOf } from './headers.ts'
import type { Headers } from './message.ts'
import { contentRange, type ByteRange } from './range.ts'
import type { StoredResponse } from './stored-response.ts'

type Facts = Pick<StoredResponse, 'status' | 'headers' | 'length'>

export class AnswerFields {
  /** Of the whole response in identity. */
  readonly whole: Headers
  /** It may be sent in codings that are not the handler's doing. */
  readonly isEncodable: boolean
  readonly #length: number
  readonly #encoded = new Map<Coding, Headers>()
  readonly #notModified = new Map<Coding | undefined, Headers>()

  constructor({ status, headers, length }: Facts) {
    this.whole =
      status === 200 && headers['accept-ranges'] === undefined ? { ...headers, 'accept-ranges': 'bytes' } : headers
    this.isEncodable = isEncodable({ headers })
    this.#length = length
  }

  /** Of the whole response in a coding, whose tag can only be a weak one (RFC 9110 §8.8.3.3). */
  encoded(coding: Coding): Headers {
    return memoized(this.#encoded, coding, () => ({ ...weaklyTagged(this.whole), 'content-encoding': coding }))
  }

  /** Of the 304 in place of the response in a coding, or in identity. */
  notModified(coding: Coding | undefined): Headers {
    const make = (): Headers => notModifiedHeaders(coding === undefined ? this.whole : weaklyTagged(this.whole))
    return memoized(this.#notModified, coding, make)
  }

  /** Of a 206. */
  part(range: ByteRange): Headers {
    return { ...this.whole, 'content-range': contentRange(range, this.#length) }
  }

  /** Of a 416, which has nothing of the response but its length (RFC 9110 §15.5.17). */
  unsatisfiable(): Headers {
    return { 'accept-ranges': 'bytes', 'content-range': contentRange('unsatisfiable', this.#length) }
  }
}

/** By the stored fields, which are the same object for all hits of one entry. */
const known = new WeakMap<Headers, AnswerFields>()

export function fieldsOf(response: Facts): AnswerFields {
  const there = known.get(response.headers)
  if (there !== undefined) return there
  const fields = new AnswerFields(response)
  known.set(response.headers, fields)
  return fields
}

function memoized<Key>(lists: Map<Key, Headers>, key: Key, make: () => Headers): Headers {
  const there = lists.get(key)
  if (there !== undefined) return there
  const made = make()
  lists.set(key, made)
  return made
}

function weaklyTagged(headers: Headers): Headers {
  const tag = lineOf(headers.etag)
  return tag === undefined ? headers : { ...headers, etag: weakened(tag) }
}
