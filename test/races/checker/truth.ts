/**
 * The database that the caches stand in front of: for each key its version, and which version everybody must see.
 *
 * It is a file that all processes read and write at fixed places, with nobody between them: what one has written the
 * next read of another finds, at 2 µs each, and a process that is killed leaves nothing half done. A key has one owner,
 * who alone writes it, so a version needs no lock. What was acknowledged is a ring with the time of each, because
 * memory in front of Redis may lag by a bound: there it counts what had been acknowledged a while ago.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { now } from './time.ts'

const RING = 32
const VERSION = 0
/** What was acknowledged as known to all memories too. */
const STRICT = 1
/** How often was acknowledged. */
const ACKS = 2
const RING_AT = 3
const SLOTS = RING_AT + 2 * RING
const SLOT_BYTES = 8
const BLOCK_BYTES = SLOTS * SLOT_BYTES

export class Truth {
  readonly #file: number
  readonly #block = new Float64Array(SLOTS)

  private constructor(file: number) {
    this.#file = file
  }

  static create(path: string, keys: number): Truth {
    const file = openSync(path, 'w+')
    ftruncateSync(file, keys * BLOCK_BYTES)
    return new Truth(file)
  }

  static open(path: string): Truth {
    return new Truth(openSync(path, 'r+'))
  }

  version(key: number): number {
    return this.#read(key, 1)[VERSION]!
  }

  /** Writes a new version, which is not acknowledged yet. Only the owner of the key may. */
  write(key: number): number {
    const version = this.version(key) + 1
    this.#write(key, VERSION, [version])
    return version
  }

  /** From now on everybody must see `version`, or a later one. Only the owner of the key may. */
  acknowledge(key: number, version: number, { isStrict = false } = {}): void {
    const block = this.#read(key)
    const acks = block[ACKS]!
    if (isStrict && version > block[STRICT]!) this.#write(key, STRICT, [version])
    if (acks > 0 && block[ringSlot(acks - 1)]! >= version) return
    this.#write(key, ringSlot(acks), [version, now()])
    this.#write(key, ACKS, [acks + 1])
  }

  /** The version that had been acknowledged `agoMs` ago, or now as known to all memories. */
  least(key: number, agoMs: number): number {
    const block = this.#read(key)
    const acks = block[ACKS]!
    const horizon = now() - agoMs
    // The oldest of the ring may just be overwritten.
    for (let ack = acks - 1; ack > Math.max(-1, acks - RING); ack--) {
      const [version, at] = [block[ringSlot(ack)]!, block[ringSlot(ack) + 1]!]
      if (agoMs === 0 || at <= horizon) return Math.max(version, block[STRICT]!)
    }
    return block[STRICT]!
  }

  /** When a version later than `version` was acknowledged first; undefined if none was, or too long ago. */
  overtakenAt(key: number, version: number): number | undefined {
    const block = this.#read(key)
    const acks = block[ACKS]!
    let at: number | undefined
    for (let ack = acks - 1; ack > Math.max(-1, acks - RING) && block[ringSlot(ack)]! > version; ack--) {
      at = block[ringSlot(ack) + 1]!
    }
    return at
  }

  close(): void {
    closeSync(this.#file)
  }

  #read(key: number, slots = SLOTS): Float64Array {
    readSync(this.#file, this.#block, 0, slots * SLOT_BYTES, key * BLOCK_BYTES)
    return this.#block
  }

  #write(key: number, slot: number, values: readonly number[]): void {
    writeSync(
      this.#file,
      new Float64Array(values),
      0,
      values.length * SLOT_BYTES,
      key * BLOCK_BYTES + slot * SLOT_BYTES,
    )
  }
}

function ringSlot(ack: number): number {
  return RING_AT + 2 * (ack % RING)
}
