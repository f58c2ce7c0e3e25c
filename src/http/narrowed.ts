/**
 * What a handler reads of its request where a route is `strict`: an answer that depends on something outside the key
 * would be served to people it was not made for, so it is not stored.
 */
import type { RoutePolicy } from './route-policy.ts'

export type FieldKind = 'header' | 'cookie' | 'query'

export interface RequestField {
  readonly kind: FieldKind
  /** Undefined: which of them are there at all, as one finds out by listing them. */
  readonly name: string | undefined
}

/** Fields that the cache itself answers to, whatever the handler makes of them; the host is in every key. */
const ANSWERED: ReadonlySet<string> = new Set([
  'host',
  'accept-encoding',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'range',
])

export interface NarrowedOptions {
  readonly policy: Pick<RoutePolicy, 'hasUser' | 'isNameComplete' | 'query'>
  /** Told of each field that keeps a response out. */
  readonly onRefusal: (field: RequestField) => void
}

/** The reads of one request. */
export class Narrowed {
  readonly #options: NarrowedOptions
  readonly #keyed = new Map<string, RequestField>()
  readonly #read = new Map<string, RequestField>()

  constructor(options: NarrowedOptions) {
    this.#options = options
  }

  /** The route's `key` or `user` has read it: what they made of it is in the key. */
  addKeyed(field: RequestField): void {
    this.#keyed.set(idOf(field), field)
  }

  /** The handler has read it. */
  add(field: RequestField): void {
    this.#read.set(idOf(field), field)
  }

  /** @param varies the request headers that the responses vary by */
  isKeyed(field: RequestField, varies: readonly string[]): boolean {
    const { kind, name } = field
    if (this.#keyed.has(idOf(field)) || this.#keyed.has(idOf({ kind, name: undefined }))) return true
    const { hasUser, isNameComplete, query } = this.#options.policy
    if (kind === 'query') {
      return !isNameComplete && (query === undefined || (name !== undefined && query.includes(name)))
    }
    if (kind === 'cookie') return this.isKeyed({ kind: 'header', name: 'cookie' }, varies)
    if (name === undefined) return false
    return ANSWERED.has(name) || varies.includes(name) || (hasUser && (name === 'cookie' || name === 'authorization'))
  }

  /** Why the response may not be stored, as a token of Cache-Status; undefined if nothing that was read forbids it. */
  refusal(varies: readonly string[]): string | undefined {
    for (const field of this.#read.values()) {
      if (this.isKeyed(field, varies)) continue
      this.#options.onRefusal(field)
      return `unkeyed-${tokenOf(field)}`
    }
    return undefined
  }
}

const LONGEST_NAME = 64

/** Names of cookies and parameters may be anything, and what is in a header field may not. */
function tokenOf({ kind, name }: RequestField): string {
  return name === undefined ? kind : `${kind}-${name.slice(0, LONGEST_NAME).replaceAll(/[^\w.-]/g, '_')}`
}

function idOf({ kind, name }: RequestField): string {
  return name === undefined ? kind : `${kind} ${name}`
}
