/** Entries as they stand in Redis: a stamp, as the store's scripts write it, and a tail. */
import { crc32 } from 'node:zlib'
import { snapshot } from '../../src/codec/snapshot.ts'
import type { EntryDraft } from '../../src/entry.ts'

export const STORED_AT = 1_780_000_000_000

export function draftOf(value: unknown, overrides: Partial<EntryDraft> = {}): EntryDraft {
  return {
    ...snapshot(value),
    entryId: '0123456789abcdef',
    parentId: undefined,
    storedAt: STORED_AT,
    freshUntil: STORED_AT + 60_000,
    staleUntil: STORED_AT + 120_000,
    graceUntil: STORED_AT + 180_000,
    loadMs: 12,
    tags: ['n:items', 't:item:1'],
    negative: false,
    ...overrides,
  }
}

export function stamped(tail: Buffer, epoch = 'epoch--1', seq = 1_780_000_000_000_000): Buffer {
  const stamp = Buffer.from(`\xf7TM\x01${epoch}0123456789abcdef`, 'latin1')
  stamp.writeDoubleBE(seq, 12)
  stamp.writeDoubleBE(seq, 20)
  return Buffer.concat([stamp, tail])
}

/** With check values that are right, whatever was done to header and body: what only an attacker writes. */
export function resealed(bytes: Buffer): Buffer {
  const sealed = Buffer.from(bytes)
  const headerEnd = sealed.readUInt32BE(36)
  if (headerEnd < 48 || headerEnd > sealed.length) return sealed
  sealed.writeUInt32BE(crc32(sealed.subarray(headerEnd)), 40)
  sealed.writeUInt32BE(crc32(sealed.subarray(28, headerEnd - 4)), headerEnd - 4)
  return sealed
}

/** The entry with another body, sealed anew. */
export function withBody(bytes: Buffer, body: Buffer): Buffer {
  return resealed(Buffer.concat([bytes.subarray(0, bytes.readUInt32BE(36)), body]))
}
