/** Entity tags (RFC 9110 §8.8.3): made, weakened, compared. */
import { createHash } from 'node:crypto'
import type { HandledResponse } from './message.ts'

/**
 * 132 bits of SHA-256. Over 20 KB it takes 12 µs, over 1 MiB 0.7 ms, and is paid once per fill; SHA-1 takes the same
 * where the CPU has instructions for both, MD5, BLAKE2 and SHA-512/256 take twice as long.
 */
const TAG_LENGTH = 22

/** A strong tag over the identity bytes of a body. */
export function strongTag(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, TAG_LENGTH)}"`
}

/** The same representation in other bytes: its tag may be compared weakly only (RFC 9110 §8.8.3.3). */
export function weakened(tag: string): string {
  return isWeak(tag) ? tag : `W/${tag}`
}

/** The response with a tag: the handler's own if it gave one, else one of its bytes. Only a 200 is ever revalidated. */
export function tagged(response: HandledResponse): HandledResponse {
  const { status, headers, body } = response
  if (status !== 200 || headers.etag !== undefined) return response
  return { status, headers: { ...headers, etag: strongTag(body) }, body, hasOwnTag: true }
}

/** Strong comparison (RFC 9110 §8.8.3.2): both are strong, and the same. */
export function isSameStrongly(one: string, other: string): boolean {
  return one === other && one.startsWith('"')
}

/** Weak comparison (RFC 9110 §8.8.3.2): the same but for the mark of weakness. */
export function isSameWeakly(one: string, other: string): boolean {
  return opaque(one) === opaque(other)
}

function opaque(tag: string): string {
  return isWeak(tag) ? tag.slice(2) : tag
}

function isWeak(tag: string): boolean {
  return tag.startsWith('W/')
}
