/** The body of a QUERY as a part of the key (RFC 10008 §2.7): with what says how it is to be read. */
import { createHash } from 'node:crypto'
import type { CacheableRequest } from './message.ts'
import { fieldPart } from './vary.ts'

type Request = Pick<CacheableRequest, 'content' | 'header'>

/** The key is made more than once for a request, and a body may be large. */
const known = new WeakMap<Request, string | undefined>()

/** Different for bodies that are different to a handler; undefined if this cannot be told, of a stream for instance. */
export function contentDigest(request: Request): string | undefined {
  if (!known.has(request)) known.set(request, digestOf(request))
  return known.get(request)
}

function digestOf(request: Request): string | undefined {
  const { content } = request
  const bytes = bytesOf(content, request)
  if (bytes === undefined) return undefined
  const hash = createHash('sha256')
  for (const name of ['content-type', 'content-encoding']) hash.update(`${fieldPart(request.header(name))}\0`)
  // A string and a buffer may be the same bytes.
  return hash
    .update(`${typeof content}\0`)
    .update(bytes)
    .digest('base64url')
}

function bytesOf(content: unknown, request: Request): string | Uint8Array | undefined {
  if (typeof content === 'string' || content instanceof Uint8Array) return content
  const isJson = request.header('content-type')?.includes('json') === true
  // A parser may have left a body where it is, for the handler to read.
  if (content === undefined || (content === null && !isJson)) return hasBody(request) ? undefined : ''
  return isUnambiguous(content) ? JSON.stringify(content) : undefined
}

/** The request says that it has a body. */
export function hasBody(request: Pick<CacheableRequest, 'header'>): boolean {
  const length = request.header('content-length')
  return request.header('transfer-encoding') !== undefined || (length !== undefined && length !== '0')
}

/** True for what JSON writes down in one way only. */
export function isUnambiguous(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0)
  if (typeof value !== 'object' || value === null)
    return typeof value === 'string' || typeof value === 'boolean' || value === null
  if (Array.isArray(value)) return value.every(isUnambiguous)
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === null || prototype === Object.prototype) && Object.values(value).every(isUnambiguous)
}
