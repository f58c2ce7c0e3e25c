/** Content codings of stored responses: which bodies are worth it, and the way between a coding and its algorithm. */
import { hasCompression, type CompressionAlgorithm } from '../codec/compression.ts'
import type { Coding } from './accept-encoding.ts'
import { parseCacheControl } from './cache-control.ts'
import { lineOf } from './headers.ts'
import type { HandledResponse } from './message.ts'

const CODINGS: Readonly<Record<CompressionAlgorithm, Coding>> = { gzip: 'gzip', brotli: 'br', zstd: 'zstd' }
const ALGORITHMS: Readonly<Record<Coding, CompressionAlgorithm>> = { gzip: 'gzip', br: 'brotli', zstd: 'zstd' }

/** What is offered, the smallest first; `zstd` is little asked for, and not in every Node. */
const OFFERED: readonly Coding[] = ['br', 'gzip']

/** Text of all kinds; images, archives and the like are compressed already. An event stream must flow. */
const COMPRESSIBLE =
  /^text\/(?!event-stream)|[/+](?:json|xml|javascript|ecmascript|x-ndjson|yaml|graphql|wasm|x-www-form-urlencoded)(?:[ ;]|$)/i

export function codingOf(algorithm: CompressionAlgorithm): Coding {
  return CODINGS[algorithm]
}

/** Throws where this Node has no such algorithm, when it is used. */
export function algorithmOf(coding: Coding): CompressionAlgorithm {
  return ALGORITHMS[coding]
}

export function isCoding(name: unknown): name is Coding {
  return typeof name === 'string' && Object.hasOwn(ALGORITHMS, name) && hasCompression(ALGORITHMS[name as Coding])
}

/** The codings to choose from: what is stored in one is sent in it for nothing, so that one comes first. */
export function offeredFor(stored: Coding | undefined): readonly Coding[] {
  return stored === undefined ? OFFERED : [stored, ...OFFERED.filter((coding) => coding !== stored)]
}

/** Whether a response may be sent in a coding that is not the handler's doing. */
export function isEncodable({ headers }: Pick<HandledResponse, 'headers'>): boolean {
  if (headers['content-encoding'] !== undefined) return false
  if (!COMPRESSIBLE.test(lineOf(headers['content-type']) ?? '')) return false
  // RFC 9111 §5.2.2.6.
  return !parseCacheControl(headers['cache-control']).has('no-transform')
}
