/** The bytes to store of a response: with `cache.compressionEnabled`, and if it is of use, the body compressed. */
import type { CacheParts } from '../cache-parts.ts'
import { compress } from '../codec/compression.ts'
import type { MaybePromise } from '../stores/store.ts'
import { codingOf, isEncodable } from './encoding.ts'
import { encodeResponse, type StoredResponse } from './stored-response.ts'

/** A promise if a large body is compressed. */
export function packed(
  response: Omit<StoredResponse, 'coding' | 'length'>,
  { algorithm, thresholdBytes }: CacheParts['compression'],
): MaybePromise<Buffer> {
  const { body } = response
  const asIs = { ...response, coding: undefined, length: body.length }
  if (algorithm === undefined || body.length < thresholdBytes || !isEncodable(response)) return encodeResponse(asIs)
  const pack = (compressed: Buffer | undefined): Buffer =>
    encodeResponse(compressed === undefined ? asIs : { ...asIs, coding: codingOf(algorithm), body: compressed })
  const compressed = compress(body, algorithm)
  return compressed instanceof Promise ? compressed.then(pack) : pack(compressed)
}
