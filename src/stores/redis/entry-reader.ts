/**
 * From the bytes that stand in Redis to an entry, or to nothing: judged by the watermark first, decoded only if valid.
 *
 * Redis is trusted by halves: bytes that cannot be read are reported and not there. A plain string, which some other
 * program stored under one of our keys, is a value without tags; stamps cannot speak for it.
 */
import type { Clock } from '../../clock.ts'
import { expireHeader, hasMagic, readHeader, readStamp, type Codec } from '../../codec/codec.ts'
import { Entry, softened } from '../../entry.ts'
import { CacheDecompressionError, CacheDeserializationError, describe, type CacheException } from '../../exceptions.ts'
import { newToken } from '../../token.ts'
import type { EntryTimes, MaybePromise } from '../store.ts'
import type { Validity } from '../watermark.ts'
import type { Mirror, WatermarkState } from './mirror.ts'

export interface EntryReaderOptions {
  readonly codec: Codec
  readonly mirror: Mirror
  readonly clock: Clock
  /** A plain string of another program is a string; false: a Buffer. */
  readonly decodeResponses: boolean
  readonly onFault: (error: CacheException) => void
}

/** What PTTL replies for a key that does not exist. */
const NOT_THERE = -2

/** The header of a valid entry: its times, and its bytes before and after `expire`. */
export interface FoundHeader {
  readonly times: EntryTimes
  readonly bytes: Buffer
  expired(freshUntil: number): Buffer
}

export class EntryReader {
  readonly #options: EntryReaderOptions

  constructor(options: EntryReaderOptions) {
    this.#options = options
  }

  /** The entry in `bytes`, if it is valid: at once, unless stamps have to be asked for or a large body decompressed. */
  entry(bytes: Buffer, id: string, state: WatermarkState | undefined): MaybePromise<Entry | undefined> {
    if (!hasMagic(bytes)) return this.#options.codec.isSigning ? this.#unreadable(unsigned(id)) : this.#foreign(bytes)
    try {
      const validity = this.#judge(bytes, id, state)
      const entry =
        validity instanceof Promise
          ? validity.then((judged) => this.#decode(bytes, id, judged))
          : this.#decode(bytes, id, validity)
      return entry instanceof Promise ? entry.catch((error: unknown) => this.#unreadable(error)) : entry
    } catch (error) {
      return this.#unreadable(error)
    }
  }

  /** The header in `bytes`, if its entry is valid; `pttl` is the reply of PTTL. */
  async header(
    bytes: Buffer,
    id: string,
    found: { readonly pttl: number; readonly state: WatermarkState | undefined },
  ): Promise<FoundHeader | undefined> {
    if (found.pttl === NOT_THERE) return undefined
    if (!hasMagic(bytes)) {
      if (this.#options.codec.isSigning) return undefined
      const until = found.pttl < 0 ? Infinity : this.#options.clock.now() + found.pttl
      return { bytes, expired: () => bytes, times: { seq: 0, tags: [], ...windowsUntil(until) } }
    }
    try {
      const validity = await this.#judge(bytes, id, found.state)
      if (validity === 'invalid') return undefined
      const header = readHeader(bytes, id)
      const times = validity === 'soft' ? { ...header, freshUntil: 0 } : header
      return { bytes, expired: (freshUntil: number) => expireHeader(bytes, freshUntil), times }
    } catch (error) {
      return this.#unreadable(error)
    }
  }

  #judge(bytes: Buffer, id: string, state: WatermarkState | undefined): MaybePromise<Validity> {
    if (state === undefined) return 'invalid'
    const stamp = readStamp(bytes)
    // The usual hit: nothing was invalidated since its load began, so its tags need not be read.
    if (stamp.epoch === state.epoch && stamp.seq === state.seq) return 'valid'
    return this.#options.mirror.judge(readHeader(bytes, id), state)
  }

  #decode(bytes: Buffer, id: string, validity: Validity): MaybePromise<Entry | undefined> {
    if (validity === 'invalid') return undefined
    const entry = this.#options.codec.decode(bytes, id)
    if (validity === 'valid') return entry
    return entry instanceof Promise ? entry.then(softened) : softened(entry)
  }

  /** Reports bytes that cannot be read: they are not there. */
  #unreadable(error: unknown): undefined {
    if (!(error instanceof CacheDeserializationError || error instanceof CacheDecompressionError)) throw error
    this.#options.onFault(error)
  }

  #foreign(bytes: Buffer): Entry {
    const { decodeResponses, clock } = this.#options
    const value = decodeResponses ? bytes.toString() : Buffer.from(bytes)
    const kept = { value, shareable: decodeResponses, plain: decodeResponses, bytes: bytes.length }
    const facts = { entryId: newToken(), parentId: undefined, loadMs: 0, tags: [], negative: false }
    const life = { storedAt: clock.now(), ...windowsUntil(Infinity) }
    return new Entry({ kept, life, facts, stamp: { seq: 0, epoch: '' } })
  }
}

function unsigned(id: string): CacheDeserializationError {
  return new CacheDeserializationError(`stored entry: expected the signed entry of ${describe(id)}, got other bytes`)
}

function windowsUntil(until: number): Pick<Entry, 'freshUntil' | 'staleUntil' | 'graceUntil'> {
  return { freshUntil: until, staleUntil: until, graceUntil: until }
}
