/** All reads of one tick as one MGET, which also brings the watermark they are judged by. */
import type { Entry } from '../../entry.ts'
import type { MaybePromise } from '../store.ts'
import type { Argument, Reply } from './client.ts'

/** Which entry is read; with a parent it counts only if it hangs on that one. */
export interface ReadNames {
  readonly id: string
  readonly parentId: string | undefined
}

export interface RawRead extends ReadNames {
  readonly entry: Buffer | null
  readonly parent: Buffer | null
  /** The same Buffer for all reads of a batch. */
  readonly watermark: Buffer | null
  /** When they were sent, in milliseconds of `performance.now()`. */
  readonly askedAt: number
}

export interface ReadBatchOptions {
  readonly send: (args: readonly Argument[]) => Promise<Reply>
  /** The key of an id. */
  readonly keyOf: (id: string) => string
  readonly watermarkKey: string
  /** Makes an entry of what was read. */
  readonly judge: (raw: RawRead) => MaybePromise<Entry | undefined>
}

interface Read extends ReadNames {
  readonly position: number
  readonly parentPosition: number | undefined
  readonly entry: Promise<Entry | undefined>
  resolve: (entry: MaybePromise<Entry | undefined>) => void
  reject: (error: unknown) => void
}

/** One MGET in the making: keys are added until it is sent. */
interface Batch {
  readonly keys: string[]
  readonly positions: Map<string, number>
  readonly reads: Map<string, Read>
}

/**
 * Gathers reads. While none is in flight they are sent at the end of the tick, behind the microtasks of the moment: a
 * lone caller waits for nothing, and everybody who was woken by one reply from Redis shares the next MGET. While one is
 * in flight they are sent when the event loop has gone once around: HTTP requests arrive each in a tick of its own, and
 * a write to Redis for each of them is a sixth of what a hit costs.
 *
 * Who asks for the same entry meanwhile shares it whole: it is fetched, checked and decoded once.
 */
export class ReadBatch {
  readonly #options: ReadBatchOptions
  #open: Batch | undefined
  #inFlight = 0

  constructor(options: ReadBatchOptions) {
    this.#options = options
  }

  read(id: string, parentId: string | undefined): Promise<Entry | undefined> {
    const batch = (this.#open ??= this.#begin())
    const there = batch.reads.get(id)
    if (there !== undefined && there.parentId === parentId) return there.entry
    const read = this.#makeRead(batch, { id, parentId })
    batch.reads.set(there === undefined ? id : `${id}\0${parentId}`, read)
    return read.entry
  }

  #makeRead(batch: Batch, { id, parentId }: ReadNames): Read {
    const position = this.#place(batch, id)
    const parentPosition = parentId === undefined ? undefined : this.#place(batch, parentId)
    let resolve!: Read['resolve']
    let reject!: Read['reject']
    const entry = new Promise<Entry | undefined>((fulfil, refuse) => {
      resolve = fulfil
      reject = refuse
    })
    return { id, parentId, position, parentPosition, entry, resolve, reject }
  }

  #begin(): Batch {
    const batch: Batch = { keys: [], positions: new Map(), reads: new Map() }
    if (this.#inFlight === 0) process.nextTick(() => this.#flush(batch))
    else setImmediate(() => this.#flush(batch))
    return batch
  }

  #flush(batch: Batch): void {
    this.#open = undefined
    this.#inFlight++
    const askedAt = performance.now()
    this.#options.send(['MGET', ...batch.keys, this.#options.watermarkKey]).then(
      (reply) => {
        this.#inFlight--
        this.#settle(batch, reply as readonly (Buffer | null)[], askedAt)
      },
      (error: unknown) => {
        this.#inFlight--
        for (const read of batch.reads.values()) read.reject(error)
      },
    )
  }

  #settle({ reads }: Batch, replies: readonly (Buffer | null)[], askedAt: number): void {
    const watermark = replies.at(-1)!
    for (const { id, parentId, position, parentPosition, resolve, reject } of reads.values()) {
      const entry = replies[position]!
      const parent = parentPosition === undefined ? null : replies[parentPosition]!
      try {
        resolve(this.#options.judge({ id, parentId, entry, parent, watermark, askedAt }))
      } catch (error) {
        reject(error)
      }
    }
  }

  /** Where the reply for an id stands. */
  #place({ keys, positions }: Batch, id: string): number {
    const there = positions.get(id)
    if (there !== undefined) return there
    const position = keys.push(this.#options.keyOf(id)) - 1
    positions.set(id, position)
    return position
  }
}
