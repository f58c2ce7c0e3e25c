/**
 * Under which name a response is stored, and which variant of that name it is.
 *
 * The name is what `cacheBusting({ keys })` and `cache.delete` reach; all variants beneath it go with it. A variant is a
 * tuple of length-prefixed parts, never joined by a delimiter, so no part can pretend to be two. Long ones are hashed.
 */
import { createHash } from 'node:crypto'
import { assertKey, parentId, variantId } from '../key.ts'
import { contentDigest, isUnambiguous } from './content.ts'
import type { CacheableRequest } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'
import { fieldPart } from './vary.ts'

/** Under which id a response is stored. */
export interface VariedId {
  readonly id: string
  /** All of what the id has only the hash of; undefined if it says all by itself. It is stored, and compared on reading. */
  readonly longKey: string | undefined
}

/** A name, and what is told apart beneath it. */
type Named = Pick<ResponseKey, 'namespace' | 'key' | 'target'>

export interface ResponseKey extends VariedId {
  /** The id of what is known of all variants (vary.ts). */
  readonly targetId: string
  /** What tells the target from others: the parts of the id, without the header fields that its responses vary by. */
  readonly target: readonly string[]
  readonly parentId: string
  /** The name, as users know it. */
  readonly key: string
  readonly namespace: string
}

/** Longer tuples are replaced by their SHA-256: 32 bytes say as much, in less memory. */
const LONGEST_VARIANT = 160

/** Where a request's response is stored. @throws {CacheKeyError} when the route's `key` returns no string */
export function responseKey(request: CacheableRequest, policy: RoutePolicy, known: Known = {}): ResponseKey {
  const { namespace } = policy
  const { name: key = nameOf(request), namesOf } = known
  assertKey(key, namespace)
  // A name made by a function of the request says which response it is; a fixed name covers all of the route's.
  const resource = policy.isNameComplete ? [] : [request.path, queryPart(request, policy)]
  const target = [policy.pattern, request.scheme, request.host, ...resource]
  if (request.method === 'QUERY') target.push('QUERY', contentDigest(request) ?? '')
  if (policy.hasUser) target.push('user', request.user === undefined ? '-' : `=${request.user}`)
  const named = { namespace, key, target }
  const targetId = mayVary(policy) ? idOf(named, ['vary', ...target]).id : ''
  const { id, longKey } = variedId(named, namesOf?.(targetId) ?? policy.vary, request)
  return { id, longKey, targetId, target, parentId: parentId(namespace, key), key, namespace }
}

/** The id of a target's response that varies by the header fields `names`. */
export function variedId(named: Named, names: readonly string[], request: Pick<CacheableRequest, 'header'>): VariedId {
  if (names.length === 0) return idOf(named, named.target)
  return idOf(named, [...named.target, ...names.flatMap((name) => [name, fieldPart(request.header(name))])])
}

function idOf({ namespace, key }: Named, parts: readonly string[]): VariedId {
  const text = tuple(parts)
  const isPlain = text.length <= LONGEST_VARIANT && !text.includes('\0') && text.isWellFormed()
  if (isPlain) return { id: variantId(namespace, key, text), longKey: undefined }
  const hash = createHash('sha256').update(text, 'utf16le').digest('base64url')
  return { id: variantId(namespace, key, `#${hash}`), longKey: text }
}

/** Each part behind its length. */
function tuple(parts: readonly string[]): string {
  let text = ''
  for (const part of parts) text += `${part.length}:${part}`
  return text
}

/** What the caller has at hand already. */
interface Known {
  /** The name, if it was asked for before. */
  readonly name?: string
  /** The header fields that the responses of a target vary by; else those that the policy names. */
  readonly namesOf?: (targetId: string) => readonly string[]
}

/** Whether requests for one target may be answered differently. */
export function mayVary(policy: RoutePolicy): boolean {
  return policy.kind === 'rfc9111' || policy.vary.length > 0
}

/** What the route's `key` says, else the path. */
export function nameOf(request: CacheableRequest): string {
  return request.name ?? request.path
}

/** Of the query what the response may depend on: the declared parameters, or all. */
function queryPart({ query, search }: CacheableRequest, policy: RoutePolicy): string {
  if (policy.query === undefined) return sortedSearch(search)
  const values = (query ?? {}) as Readonly<Record<string, unknown>>
  const declared = policy.query.filter((name) => Object.hasOwn(values, name) && values[name] !== undefined)
  const pairs = declared.map((name) => [name, values[name]] as const)
  // What a validator has made of them may be more than JSON can tell apart; what was received tells all.
  return pairs.every(([, value]) => isUnambiguous(value)) ? JSON.stringify(pairs) : `?${sortedSearch(search)}`
}

/** The query as it was received, its parameters sorted by name, those of one name in their order. */
function sortedSearch(search: string): string {
  // Some parsers take a semicolon for a separator: its parameters stay where they are.
  if (!search.includes('&') || search.includes(';')) return search
  const pairs = search.split('&').map((pair) => ({ name: parameterName(pair), pair }))
  if (pairs.some(({ name }) => name === undefined)) return search
  return pairs
    .toSorted((a, b) => (a.name! < b.name! ? -1 : a.name! > b.name! ? 1 : 0))
    .map(({ pair }) => pair)
    .join('&')
}

/**
 * Which parameter a parser may think a pair to belong to: `a`, `%61`, `a[]`, `a[0]`, `a.b` and perhaps `A` are one, and
 * the order of its values may matter. Undefined if it cannot be decoded.
 */
function parameterName(pair: string): string | undefined {
  try {
    const name = decodeURIComponent(pair.split('=', 1)[0]!.replaceAll('+', ' '))
    return name.split(/[[.]/, 1)[0]!.toLowerCase()
  } catch {
    return undefined
  }
}
