/**
 * Which request header fields tell the responses of one target apart, and which of their values were seen.
 *
 * A route's `vary` names them beforehand; under `policy: 'rfc9111'` they are learnt from the responses' own Vary (RFC
 * 9111 §4.1). What was learnt stands in the store beside the responses, under the same parent, so that it goes when they
 * go, and is read together with them. Names are only ever added: a key that knows too many is safe, one too few is not.
 *
 * A target has so many variants at most: a client that makes up header values fills no store.
 */
import { createHash } from 'node:crypto'
import type { Entry } from '../entry.ts'
import type { CacheableRequest } from './message.ts'

const MAX_VARIANTS = 16

/** How many targets this process remembers the names of; forgetting one costs one more read. */
const MAX_TARGETS = 10_000

export interface Varying {
  readonly names: readonly string[]
  /** What `variantOf` said of each that is stored. */
  readonly variants: readonly string[]
}

const UNVARIED: Varying = { names: [], variants: [] }

/** What an entry says of its target; nothing, if it is none of ours. */
export function varyingIn(entry: Entry | undefined): Varying {
  const value = entry?.value
  if (typeof value !== 'object' || value === null || !('names' in value) || !('variants' in value)) return UNVARIED
  const { names, variants } = value
  return isListOfStrings(names) && isListOfStrings(variants) ? { names, variants } : UNVARIED
}

/** The same with one more variant, and with the names that its response adds; undefined if there is no room. */
export function withVariant(varying: Varying, names: readonly string[], variant: string): Varying | undefined {
  if (varying.variants.includes(variant)) return names.length === varying.names.length ? varying : { ...varying, names }
  if (varying.variants.length >= MAX_VARIANTS) return undefined
  return { names, variants: [...varying.variants, variant] }
}

/** All names, sorted, so that they make one key. */
export function union(names: readonly string[], more: readonly string[]): readonly string[] {
  return more.every((name) => names.includes(name)) ? names : [...new Set([...names, ...more])].toSorted()
}

/** Names and values as a request has them, shortened: the same for requests that select the same response. */
export function variantOf(request: CacheableRequest, names: readonly string[]): string {
  const parts = names.map((name) => `${name}${fieldPart(request.header(name))}`)
  return createHash('sha256')
    .update(parts.map((part) => `${part.length}:${part}`).join(''), 'utf16le')
    .digest('base64url')
    .slice(0, 22)
}

/** `-` absent, `=value` there: an empty header is not a missing one. White space around commas does not matter. */
export function fieldPart(value: string | undefined): string {
  if (value === undefined) return '-'
  const members = value.split(',').map((member) => member.trim())
  return `=${members.join(',')}`
}

/** The names of targets, as this process has learnt them: the oldest is forgotten first. */
export class LearntNames {
  readonly #names = new Map<string, readonly string[]>()

  get(target: string): readonly string[] {
    return this.#names.get(target) ?? UNVARIED.names
  }

  /** What was learnt of a target are these names. */
  knows(target: string, names: readonly string[]): boolean {
    const known = this.get(target)
    return names.length === known.length && names.every((name, i) => name === known[i])
  }

  learn(target: string, names: readonly string[]): void {
    this.#names.delete(target)
    if (names.length === 0) return
    this.#names.set(target, names)
    if (this.#names.size <= MAX_TARGETS) return
    const [oldest] = this.#names.keys()
    this.#names.delete(oldest!)
  }
}

function isListOfStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}
