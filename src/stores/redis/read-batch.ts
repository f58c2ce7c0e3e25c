/** All reads of one tick as one MGET, which also brings the watermark they are judged by. */
import type { Argument, Reply } from './client.ts'

export interface RawRead {
  readonly entry: Buffer | null
  readonly parent: Buffer | null
  readonly watermark: Buffer | null
}

/** One MGET in the making: keys are added until the tick ends. */
interface Batch {
  readonly keys: string[]
  readonly positions: Map<string, number>
  readonly replies: Promise<readonly (Buffer | null)[]>
}

/**
 * Gathers reads. `process.nextTick` runs after the microtasks of the moment, so everybody who was woken by one reply
 * from Redis and reads again shares the next MGET; a lone caller waits for nothing.
 */
export class ReadBatch {
  readonly #send: (args: readonly Argument[]) => Promise<Reply>
  readonly #watermarkKey: string
  #open: Batch | undefined

  constructor(send: (args: readonly Argument[]) => Promise<Reply>, watermarkKey: string) {
    this.#send = send
    this.#watermarkKey = watermarkKey
  }

  async read(key: string, parentKey: string | undefined): Promise<RawRead> {
    const batch = (this.#open ??= this.#begin())
    const position = place(batch, key)
    const parentPosition = parentKey === undefined ? undefined : place(batch, parentKey)
    const replies = await batch.replies
    return {
      entry: replies[position]!,
      parent: parentPosition === undefined ? null : replies[parentPosition]!,
      watermark: replies.at(-1)!,
    }
  }

  #begin(): Batch {
    const keys: string[] = []
    const replies = new Promise<readonly (Buffer | null)[]>((resolve, reject) => {
      process.nextTick(() => {
        this.#open = undefined
        this.#send(['MGET', ...keys, this.#watermarkKey]).then(
          (reply) => resolve(reply as readonly (Buffer | null)[]),
          reject,
        )
      })
    })
    return { keys, positions: new Map(), replies }
  }
}

function place(batch: Batch, key: string): number {
  const there = batch.positions.get(key)
  if (there !== undefined) return there
  const position = batch.keys.push(key) - 1
  batch.positions.set(key, position)
  return position
}
