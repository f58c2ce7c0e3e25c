/**
 * Names: how a namespace and a key become the id of an entry, and which stamps speak for it.
 *
 * An id is `k:<namespace>:<key>`. Responses have two: the parent `p:<namespace>:<key>` and, for each variant that hangs
 * on it, `v:<namespace>:<key>` + NUL + variant. Only the namespace is escaped: it ends at the first colon, so `a:b` + `c`
 * and `a` + `b:c` differ, and what people look for in redis-cli reads as they wrote it.
 */
import { createHash } from 'node:crypto'
import { CacheKeyError, describe } from './exceptions.ts'

/** Stamped by `clear()` without a namespace; it speaks for every entry, so entries do not list it. */
export const EVERYTHING = '*'

/** `k:`, `p:`, `v:`. */
const ID_KIND_LENGTH = 2

const UNSAFE = /[%:\0]/
const UNSAFE_ALL = /[%:\0]/g

/** The id of a key's entry. */
export function entryId(namespace: string, key: string): string {
  return `k:${escapeNamespace(namespace)}:${key}`
}

/** The id of the parent on which the variants of `key` hang. */
export function parentId(namespace: string, key: string): string {
  return `p:${escapeNamespace(namespace)}:${key}`
}

/** For each key in turn the id of its entry and that of its parent: what a key names is either of them. */
export function idsOf(keys: readonly string[], namespace: string): string[] {
  return keys.flatMap((key) => [entryId(namespace, key), parentId(namespace, key)])
}

/** The id of a variant of `key`. `variant` holds no NUL. */
export function variantId(namespace: string, key: string, variant: string): string {
  return `v:${escapeNamespace(namespace)}:${key}\0${variant}`
}

/** The stamp that an invalidation of a whole namespace sets. */
export function namespaceStamp(namespace: string): string {
  return `n${bounded(namespace)}`
}

/** The stamp of the namespace that the entry, parent or variant under `id` belongs to. */
export function namespaceStampOf(id: string): string {
  return namespaceStamp(decodeURIComponent(id.slice(ID_KIND_LENGTH, id.indexOf(':', ID_KIND_LENGTH))))
}

/** The stamp that an invalidation of a tag sets. */
export function tagStamp(tag: string): string {
  return `t${bounded(tag)}`
}

/** Stamps are kept by the hundred thousand, so a long name gives way to its hash, the same in every process. */
const LONGEST_STAMP_BYTES = 128

function bounded(name: string): string {
  // No character takes more than three bytes.
  const isShort = 3 * name.length <= LONGEST_STAMP_BYTES || Buffer.byteLength(name) <= LONGEST_STAMP_BYTES
  return isShort ? `:${name}` : `#${createHash('sha256').update(name).digest('base64url')}`
}

/** Into so many shards a prefix is split on Redis Cluster: enough for as many nodes to have an equal share. */
export const SHARDS = 16

/** What decides on which slot the keys of a shard are. */
export function hashTag(shard: number): string {
  return `{#${shard}}`
}

/**
 * The shard that an id belongs to. An entry, its parent and its variants have the same: what counts is the namespace and
 * the key, between the letter and the NUL. FNV-1a of the UTF-16 units, alike in every process for ever.
 */
export function shardOf(id: string, shards: number): number {
  let hash = 0x811c9dc5
  for (let i = 1; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    if (unit === 0) break
    hash = Math.imul(hash ^ unit, 0x01000193)
  }
  // The lowest bits of FNV alone are poor.
  return ((hash ^ (hash >>> 16)) >>> 0) % shards
}

function escapeNamespace(namespace: string): string {
  return UNSAFE.test(namespace) ? namespace.replace(UNSAFE_ALL, encodeURIComponent) : namespace
}

/** @throws {CacheKeyError} unless `key` is a non-empty string of well-formed Unicode (two lone surrogates would meet in Redis) */
export function assertKey(key: unknown, namespace?: string): asserts key is string {
  assertName(key, 'key', namespace)
}

/** Each of `keys` once. @throws {CacheKeyError} for one that is none */
export function namesOf(keys: string | readonly string[], namespace: string): readonly string[] {
  const names = [...new Set([keys].flat())]
  for (const key of names) assertKey(key, namespace)
  return names
}

/** @throws {CacheKeyError} unless `tag` is a non-empty string of well-formed Unicode */
export function assertTag(tag: unknown): asserts tag is string {
  assertName(tag, 'tag')
}

/** @throws {CacheKeyError} unless `namespace` is a string of well-formed Unicode; `''` is the default namespace */
export function assertNamespace(namespace: unknown): asserts namespace is string {
  if (namespace !== '') assertName(namespace, 'namespace')
}

function assertName(name: unknown, what: string, namespace?: string): void {
  if (typeof name !== 'string' || name === '') {
    throw new CacheKeyError(`${what}: expected a non-empty string, got ${describe(name)}`, { namespace })
  }
  if (!name.isWellFormed()) {
    throw new CacheKeyError(`${what}: expected well-formed Unicode, got a lone surrogate`, { namespace })
  }
}
