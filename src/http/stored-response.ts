/** A response as bytes: a head (status, header fields) before the body, which goes out as it is. */
import { isStorable } from './headers.ts'
import type { Headers } from './message.ts'

/** A response that can be sent again and again: nothing of it is made anew for a hit. */
export interface StoredResponse {
  readonly status: number
  readonly headers: Headers
  /** May answer requests that bear an Authorization: it said `public`, `s-maxage` or `must-revalidate` (RFC 9111 §3.5). */
  readonly isPublic: boolean
  /** The age that it came with, in seconds. */
  readonly age: number
  readonly body: Buffer
}

const LENGTH_BYTES = 4

/** Hits from memory share the bytes: their head is parsed once. */
const parsed = new WeakMap<Buffer, StoredResponse>()

export function encodeResponse({ body, ...rest }: StoredResponse): Buffer {
  const head = Buffer.from(JSON.stringify(rest))
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  length.writeUInt32BE(head.length)
  return Buffer.concat([length, head, body])
}

/** The response in `bytes`; undefined if they hold none. The store is trusted by halves: names and values are checked. */
export function decodeResponse(bytes: unknown): StoredResponse | undefined {
  if (!Buffer.isBuffer(bytes)) return undefined
  const known = parsed.get(bytes)
  if (known !== undefined) return known
  const response = parse(bytes)
  if (response !== undefined) parsed.set(bytes, response)
  return response
}

function parse(bytes: Buffer): StoredResponse | undefined {
  if (bytes.length < LENGTH_BYTES) return undefined
  const end = LENGTH_BYTES + bytes.readUInt32BE(0)
  if (end > bytes.length) return undefined
  try {
    const head: unknown = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end))
    return isHead(head) ? { ...head, body: bytes.subarray(end) } : undefined
  } catch {
    return undefined
  }
}

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

function isHead(head: unknown): head is Omit<StoredResponse, 'body'> {
  if (typeof head !== 'object' || head === null) return false
  const { status, headers, isPublic, age } = head as Record<string, unknown>
  if (!isWithin(status, 200, 599) || !isWithin(age, 0, Infinity)) return false
  if (typeof isPublic !== 'boolean' || typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    return false
  }
  return Object.entries(headers).every(([name, value]) => isField(name) && [value].flat().every(isValue))
}

function isWithin(number: unknown, least: number, greatest: number): boolean {
  return Number.isInteger(number) && Number(number) >= least && Number(number) <= greatest
}

/** Fields that are never stored would let who writes to the store set cookies, or the framing of the message. */
function isField(name: string): boolean {
  return NAME.test(name) && isStorable(name) && name !== '__proto__'
}

function isValue(value: unknown): boolean {
  return typeof value === 'string' && VALUE.test(value)
}
