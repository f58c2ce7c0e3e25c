/**
 * Entries in memory, bounded by number and by bytes. Which one goes first is the strategy's choice: the least recently
 * used (LRU) or the oldest (FIFO). Nothing sweeps: what has expired goes when it is read or when room is needed.
 */
import { LRUCache } from 'lru-cache'
import type { Entry } from '../entry.ts'

/** What an entry costs beside its value and its id: the objects around it, measured at 350 to 400 bytes. */
const OVERHEAD_BYTES = 400
/** A string and its place in the list, beside its characters. */
const TAG_BYTES = 32

export interface EntryTableOptions {
  readonly maxEntries: number
  readonly maxBytes: number
  readonly strategy: 'LRU' | 'FIFO'
}

export class EntryTable {
  /** Told of each entry that is given up for room, or is too large to be kept at all. */
  onEvict: (id: string) => void = () => {}
  readonly #entries: LRUCache<string, Entry>
  readonly #isFifo: boolean

  constructor({ maxEntries, maxBytes, strategy }: EntryTableOptions) {
    this.#isFifo = strategy === 'FIFO'
    this.#entries = new LRUCache({
      max: maxEntries,
      maxSize: maxBytes,
      sizeCalculation: sizeOf,
      dispose: (_entry, id, reason) => {
        if (reason === 'evict') this.onEvict(id)
      },
    })
  }

  get(id: string): Entry | undefined {
    return this.#isFifo ? this.#entries.peek(id) : this.#entries.get(id)
  }

  set(id: string, entry: Entry): void {
    this.#entries.set(id, entry)
    if (!this.#entries.has(id)) this.onEvict(id)
  }

  delete(id: string): void {
    this.#entries.delete(id)
  }

  /** Reads all ids: for what happens when the network does. */
  deleteWhere(isMeant: (id: string) => boolean): void {
    for (const id of Array.from(this.#entries.keys())) if (isMeant(id)) this.#entries.delete(id)
  }

  clear(): void {
    this.#entries.clear()
  }
}

function sizeOf({ bytes, tags }: Entry, id: string): number {
  let size = Math.ceil(bytes) + 2 * id.length + OVERHEAD_BYTES
  for (const tag of tags) size += TAG_BYTES + tag.length
  return size
}
