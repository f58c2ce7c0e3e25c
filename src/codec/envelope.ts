/**
 * The bytes of a stored entry, all in one Redis string: stamp, header, body.
 *
 *     0  magic   F7 'T' 'M' 01 (the version)       ┐
 *     4  epoch   8 bytes                           │ the stamp: written by the scripts
 *    12  seq     float64, big-endian as all here   │ of the store, never by us
 *    20  seq     the same again                    ┘
 *    28  entryId 8 bytes                           ┐
 *    36  where the body begins, uint32             │
 *    40  CRC-32 of the body, uint32                │
 *    44  flags: kind, compression, negative, child │ the header: can be fetched
 *    45  storedAt, freshUntil, staleUntil,         │ and verified without the body
 *        graceUntil: ms, 6 bytes each              │
 *    69  parentId 8 bytes, only of a child         │
 *        loadMs, bodyLength (decompressed),        │
 *        id, tags to the end (varints, UTF-8)      │
 *        CRC-32 of the header from 28 on, uint32   ┘
 *        body
 *        signature, 32 bytes, where entries are signed (signature.ts)
 *
 * F7 cannot begin UTF-8 text, so a value without the magic is another program's. The stamp is not under a CRC, since
 * Lua writes it: a damaged epoch is another epoch and so invalid, a damaged seq differs from its twin, and of a damaged
 * magic enough is left to tell that the value is ours.
 *
 * Whatever the bytes say, reading stays within them and allocates no more than they are long.
 */
import { crc32 } from 'node:zlib'
import type { EntryDraft } from '../entry.ts'
import { CacheDeserializationError, CacheSerializationError, describe } from '../exceptions.ts'
import { COMPRESSIONS, type CompressionAlgorithm } from './compression.ts'
import { KINDS, type Kind } from './serializer.ts'

const MAGIC = [0xf7, 0x54, 0x4d, 0x01] as const
const EPOCH_AT = 4
const SEQ_AT = 12
const SEQ_AGAIN_AT = 20
const ENTRY_ID_AT = 28
const HEADER_END_AT = 36
const BODY_CHECK_AT = 40
const FLAGS_AT = 44
const STORED_AT_AT = 45
const FRESH_UNTIL_AT = 51
const STALE_UNTIL_AT = 57
const GRACE_UNTIL_AT = 63
const VARIABLE_AT = 69

/** The length of the stamp. */
export const STAMP_BYTES = 28

/** A longer header (id and tags) is refused: scripts fetch headers whole. */
const MAX_HEADER_BYTES = 1_048_576
const NAME_BYTES = 8
const TIME_BYTES = 6
const CHECK_BYTES = 4
const MAX_TIME = 2 ** (8 * TIME_BYTES) - 1
const MAX_UINT32 = 2 ** 32 - 1

const COMPRESSION_SHIFT = 2
const NEGATIVE = 0x10
const CHILD = 0x20
const UNKNOWN_FLAGS = 0xc0

/** What the store's scripts wrote in front of an entry. */
export interface Stamp {
  /** 8 characters, one per byte. */
  readonly epoch: string
  readonly seq: number
}

type Described = Omit<EntryDraft, 'value' | 'shareable' | 'plain' | 'bytes' | 'compress'>

interface BodyFacts {
  readonly kind: Kind
  readonly compression: CompressionAlgorithm | 'none'
  /** Of the body when it is decompressed. */
  readonly bodyLength: number
}

/** All that an entry says of itself but for the value. */
export interface EntryHeader extends Described, BodyFacts, Stamp {
  readonly bodyCheck: number
  /** Where the body begins: the length of stamp and header. */
  readonly headerEnd: number
}

export interface Sealed extends BodyFacts {
  /** As stored: perhaps compressed. */
  readonly body: Buffer
}

/** True if the bytes are an entry, though perhaps a damaged one; false if another program wrote them. */
export function hasMagic(bytes: Buffer): boolean {
  let matching = 0
  for (let i = 0; i < MAGIC.length; i++) if (bytes[i] === MAGIC[i]) matching++
  // One damaged byte must not turn an entry into another program's string, nor must one that was cut short.
  return matching >= 3 || (matching > 0 && matching === bytes.length)
}

/**
 * The stamp of an entry.
 *
 * @throws {CacheDeserializationError} if it is damaged, or of another version
 */
export function readStamp(bytes: Buffer): Stamp {
  if (bytes.length < STAMP_BYTES) throw unreadable(`expected a stamp of ${STAMP_BYTES} bytes, got ${bytes.length}`)
  for (let i = 0; i < MAGIC.length; i++) {
    if (bytes[i] !== MAGIC[i]) throw unreadable('expected the magic of this version, got a damaged or another one')
  }
  const seq = bytes.readDoubleBE(SEQ_AT)
  if (seq !== bytes.readDoubleBE(SEQ_AGAIN_AT) || !Number.isSafeInteger(seq)) {
    throw unreadable('expected the same seq twice, got a damaged one')
  }
  return { epoch: bytes.toString('latin1', EPOCH_AT, SEQ_AT), seq }
}

/** The name of an entry as it stands, unverified; shorter than 16 digits if the bytes end before it does. */
export function readEntryId(bytes: Buffer): string {
  return bytes.toString('hex', ENTRY_ID_AT, HEADER_END_AT)
}

/**
 * The stamp and header of the entry under `id`. `bytes` may end where the body begins.
 *
 * @throws {CacheDeserializationError} if they are damaged, or the entry was stored under another id
 */
export function readHeader(bytes: Buffer, id: string): EntryHeader {
  const stamp = readStamp(bytes)
  const headerEnd = verifiedHeaderEnd(bytes)
  const flags = bytes[FLAGS_AT]!
  if ((flags & UNKNOWN_FLAGS) !== 0) throw unreadable('expected known flags, got others')
  const cursor = new Cursor(bytes, VARIABLE_AT, headerEnd - CHECK_BYTES)
  const parentId = (flags & CHILD) === 0 ? undefined : cursor.name()
  const loadMs = cursor.varint()
  const bodyLength = cursor.varint()
  const storedId = cursor.text()
  if (storedId !== id) throw unreadable(`expected the entry of ${describe(id)}, got that of ${describe(storedId)}`)
  return {
    epoch: stamp.epoch,
    seq: stamp.seq,
    entryId: readEntryId(bytes),
    parentId,
    storedAt: bytes.readUIntBE(STORED_AT_AT, TIME_BYTES),
    freshUntil: bytes.readUIntBE(FRESH_UNTIL_AT, TIME_BYTES),
    staleUntil: bytes.readUIntBE(STALE_UNTIL_AT, TIME_BYTES),
    graceUntil: bytes.readUIntBE(GRACE_UNTIL_AT, TIME_BYTES),
    loadMs,
    tags: cursor.texts(),
    negative: (flags & NEGATIVE) !== 0,
    kind: KINDS[flags & 3]!,
    compression: COMPRESSIONS[(flags >> COMPRESSION_SHIFT) & 3]!,
    bodyLength,
    bodyCheck: bytes.readUInt32BE(BODY_CHECK_AT),
    headerEnd,
  }
}

/**
 * The body as stored: a view of `bytes`.
 *
 * @throws {CacheDeserializationError} if it is damaged
 */
export function readBody(bytes: Buffer, header: EntryHeader): Buffer {
  const body = bytes.subarray(header.headerEnd)
  const isDamaged = crc32(body) !== header.bodyCheck
  if (isDamaged || (header.compression === 'none' && body.length !== header.bodyLength)) {
    throw unreadable(`expected a body of ${header.bodyLength} bytes (${header.compression}), got a damaged one`)
  }
  return body
}

/**
 * Stamp and header of an entry whose windows all end at `freshUntil`, of the same length.
 *
 * @throws {CacheDeserializationError} if the header is damaged
 */
export function expireHeader(header: Buffer, freshUntil: number): Buffer {
  const checkAt = verifiedHeaderEnd(header) - CHECK_BYTES
  const expired = Buffer.from(header)
  for (const at of [FRESH_UNTIL_AT, STALE_UNTIL_AT, GRACE_UNTIL_AT]) {
    expired.writeUIntBE(toTime(freshUntil), at, TIME_BYTES)
  }
  expired.writeUInt32BE(crc32(expired.subarray(STAMP_BYTES, checkAt)), checkAt)
  return expired
}

/** All of a tail that stays as it was written: `expireHeader` changes the ends of the windows, and the CRC with them. */
export function lastingParts(tail: Buffer): readonly Buffer[] {
  const headerEnd = tail.readUInt32BE(HEADER_END_AT - STAMP_BYTES) - STAMP_BYTES
  return [
    tail.subarray(0, FRESH_UNTIL_AT - STAMP_BYTES),
    tail.subarray(VARIABLE_AT - STAMP_BYTES, headerEnd - CHECK_BYTES),
    tail.subarray(headerEnd),
  ]
}

/**
 * Header and body of an entry: what follows the stamp.
 *
 * @throws {CacheSerializationError} if id and tags are too long
 */
export function writeTail(draft: Described, id: string, sealed: Sealed): Buffer {
  const headerEnd = VARIABLE_AT + variableLength(draft, id, sealed) + CHECK_BYTES
  if (headerEnd > MAX_HEADER_BYTES) {
    throw new CacheSerializationError(`key and tags: expected at most ${MAX_HEADER_BYTES} bytes, got ${headerEnd}`)
  }
  // The room for the stamp is left out at the end, so that offsets are those of reading.
  const bytes = Buffer.allocUnsafe(headerEnd + sealed.body.length)
  writeName(bytes, draft.entryId, ENTRY_ID_AT)
  bytes.writeUInt32BE(headerEnd, HEADER_END_AT)
  bytes.writeUInt32BE(crc32(sealed.body), BODY_CHECK_AT)
  bytes[FLAGS_AT] = flagsOf(draft, sealed)
  bytes.writeUIntBE(toTime(draft.storedAt), STORED_AT_AT, TIME_BYTES)
  bytes.writeUIntBE(toTime(draft.freshUntil), FRESH_UNTIL_AT, TIME_BYTES)
  bytes.writeUIntBE(toTime(draft.staleUntil), STALE_UNTIL_AT, TIME_BYTES)
  bytes.writeUIntBE(toTime(draft.graceUntil), GRACE_UNTIL_AT, TIME_BYTES)
  let at = VARIABLE_AT
  if (draft.parentId !== undefined) at = writeName(bytes, draft.parentId, at)
  at = writeVarint(bytes, toUint32(draft.loadMs), at)
  at = writeVarint(bytes, sealed.bodyLength, at)
  at = writeText(bytes, id, at)
  for (const tag of draft.tags) at = writeText(bytes, tag, at)
  bytes.writeUInt32BE(crc32(bytes.subarray(STAMP_BYTES, at)), at)
  sealed.body.copy(bytes, headerEnd)
  return bytes.subarray(STAMP_BYTES)
}

/** Reads within its bounds, or throws. */
class Cursor {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes
    this.#at = at
    this.#end = end
  }

  varint(): number {
    let value = 0
    for (let factor = 1; factor <= MAX_UINT32; factor *= 128) {
      const byte = this.#bytes[this.#take(1)]!
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
    throw unreadable('expected a number of 32 bits, got a longer one')
  }

  text(): string {
    const length = this.varint()
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }

  texts(): string[] {
    const texts: string[] = []
    while (this.#at < this.#end) texts.push(this.text())
    return texts
  }

  name(): string {
    const at = this.#take(NAME_BYTES)
    return this.#bytes.toString('hex', at, at + NAME_BYTES)
  }

  #take(length: number): number {
    const at = this.#at
    if (length > this.#end - at) throw unreadable(`expected ${length} bytes more in the header, got ${this.#end - at}`)
    this.#at = at + length
    return at
  }
}

function verifiedHeaderEnd(bytes: Buffer): number {
  const headerEnd = bytes.length < VARIABLE_AT ? 0 : bytes.readUInt32BE(HEADER_END_AT)
  if (headerEnd < VARIABLE_AT + CHECK_BYTES || headerEnd > Math.min(bytes.length, MAX_HEADER_BYTES)) {
    throw unreadable(`expected a whole header, got one of ${headerEnd} bytes in ${bytes.length}`)
  }
  const checkAt = headerEnd - CHECK_BYTES
  if (crc32(bytes.subarray(STAMP_BYTES, checkAt)) !== bytes.readUInt32BE(checkAt)) {
    throw unreadable('expected the header of its check value, got a damaged one')
  }
  return headerEnd
}

function unreadable(message: string): CacheDeserializationError {
  return new CacheDeserializationError(`stored entry: ${message}`)
}

function flagsOf(draft: Described, facts: BodyFacts): number {
  const kind = KINDS.indexOf(facts.kind)
  const compression = COMPRESSIONS.indexOf(facts.compression) << COMPRESSION_SHIFT
  return kind | compression | (draft.negative ? NEGATIVE : 0) | (draft.parentId === undefined ? 0 : CHILD)
}

function variableLength(draft: Described, id: string, facts: BodyFacts): number {
  const parentLength = draft.parentId === undefined ? 0 : NAME_BYTES
  const numbers = varintLength(toUint32(draft.loadMs)) + varintLength(facts.bodyLength)
  return draft.tags.reduce((sum, tag) => sum + textLength(tag), parentLength + numbers + textLength(id))
}

function textLength(text: string): number {
  const length = Buffer.byteLength(text)
  return varintLength(length) + length
}

function varintLength(value: number): number {
  return value < 128 ? 1 : Math.ceil((32 - Math.clz32(value)) / 7)
}

function writeVarint(bytes: Buffer, value: number, at: number): number {
  let rest = value
  let end = at
  while (rest >= 128) {
    bytes[end++] = (rest & 127) | 128
    rest >>>= 7
  }
  bytes[end++] = rest
  return end
}

function writeText(bytes: Buffer, text: string, at: number): number {
  const start = writeVarint(bytes, Buffer.byteLength(text), at)
  return start + bytes.write(text, start)
}

function writeName(bytes: Buffer, name: string, at: number): number {
  if (bytes.write(name, at, NAME_BYTES, 'hex') === NAME_BYTES && name.length === 2 * NAME_BYTES) return at + NAME_BYTES
  throw new CacheSerializationError(`entryId: expected 16 hex digits, got ${describe(name)}`)
}

/** Whole milliseconds that fit the field; `Infinity` becomes the year 10889. */
function toTime(at: number): number {
  return at > 0 ? Math.min(Math.round(at), MAX_TIME) : 0
}

function toUint32(ms: number): number {
  return ms > 0 ? Math.min(Math.round(ms), MAX_UINT32) : 0
}
