/**
 * Under which name a response is stored, and which variant of that name it is.
 *
 * The name is what `cacheBusting({ keys })` and `cache.delete` reach; all variants beneath it go with it. A variant is a
 * tuple of length-prefixed parts, never joined by a delimiter, so no part can pretend to be two. Long ones are hashed.
 */
import { createHash } from 'node:crypto'
import { assertKey, parentId, variantId } from '../key.ts'
import type { CacheableRequest } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'

export interface ResponseKey {
  readonly id: string
  readonly parentId: string
  /** The name, as users know it. */
  readonly key: string
}

/** Longer tuples are replaced by their SHA-256: 32 bytes say as much, in less memory. */
const LONGEST_VARIANT = 160

/** Where a request's response is stored. @throws {CacheKeyError} when the route's `key` returns no string */
export function responseKey(request: CacheableRequest, policy: RoutePolicy): ResponseKey {
  const key = request.name ?? request.path
  assertKey(key, policy.namespace)
  // A name made by a function of the request says which response it is; a fixed name covers all of the route's.
  const target = policy.isNameComplete ? [] : [request.path, queryPart(request, policy)]
  const parts = [policy.pattern, request.scheme, request.host, ...target]
  for (const name of policy.vary) parts.push(name, varyPart(request.header(name)))
  if (policy.hasUser) parts.push('user', request.user === undefined ? '-' : `=${request.user}`)
  return { id: variantId(policy.namespace, key, tuple(parts)), parentId: parentId(policy.namespace, key), key }
}

/** Each part behind its length, as one string without NUL. */
function tuple(parts: readonly string[]): string {
  const text = parts.map((part) => `${part.length}:${part}`).join('')
  const isPlain = text.length <= LONGEST_VARIANT && !text.includes('\0') && text.isWellFormed()
  return isPlain ? text : `#${createHash('sha256').update(text, 'utf16le').digest('base64url')}`
}

/** `-` absent, `=value` there: an empty header is not a missing one. */
function varyPart(value: string | undefined): string {
  return value === undefined ? '-' : `=${value.trim().replaceAll(/\s*,\s*/g, ',')}`
}

/** Of the query what the response may depend on: the declared parameters, or all, sorted by name, repeats in order. */
function queryPart(request: CacheableRequest, policy: RoutePolicy): string {
  if (policy.query !== undefined) {
    const query = (request.query ?? {}) as Readonly<Record<string, unknown>>
    const declared = policy.query.filter((name) => Object.hasOwn(query, name) && query[name] !== undefined)
    return JSON.stringify(declared.map((name) => [name, query[name]]))
  }
  if (request.search === '') return ''
  const pairs = request.search.split('&').map((pair) => ({ name: pair.split('=', 1)[0]!, pair }))
  return pairs
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ pair }) => pair)
    .join('&')
}
