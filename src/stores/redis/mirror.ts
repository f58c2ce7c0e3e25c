/**
 * This process's copy of the stamps that Redis holds.
 *
 * Each read brings the watermark as it was at that moment. An entry that has reached it is valid without further
 * question; for an older one the copy is first brought up to that watermark, by one SYNC however many reads wait.
 */
import { Watermark, type Stamped, type Validity } from '../watermark.ts'

/** The watermark key's content: `<epoch> <floor> <seq>`. */
export interface WatermarkState {
  readonly epoch: string
  readonly floor: number
  readonly seq: number
}

/** What an invalidation did: the stamps it gave, and the seq until then. */
export interface Invalidation extends WatermarkState {
  readonly before: number
  readonly isSoft: boolean
  readonly names: readonly string[]
}

/** Asks Redis for the stamps after `since`: the reply of the SYNC script. */
export type Sync = (epoch: string, since: number) => Promise<readonly Buffer[]>

export class Mirror {
  readonly #sync: Sync
  #epoch = ''
  #stamps = new Watermark(0)
  #syncing: Promise<void> | undefined
  #lastBytes: Buffer | undefined
  #lastText = ''
  #lastState: WatermarkState | undefined

  constructor(sync: Sync) {
    this.#sync = sync
  }

  /** The state in the bytes of the watermark key; undefined if it is missing or unreadable: then nothing is valid. */
  parse(bytes: Buffer | null): WatermarkState | undefined {
    if (bytes === null) return undefined
    // All reads of one MGET are judged by the same bytes.
    if (bytes === this.#lastBytes) return this.#lastState
    const text = bytes.toString('latin1')
    this.#lastBytes = bytes
    if (text !== this.#lastText) {
      this.#lastText = text
      this.#lastState = parseState(text)
    }
    return this.#lastState
  }

  /** How an entry stands by the watermark it was read with. */
  judge(entry: Stamped & { readonly epoch: string }, state: WatermarkState): Validity | Promise<Validity> {
    // An entry cannot be newer than the watermark it was read with, unless that was tampered with.
    if (entry.epoch !== state.epoch || entry.seq < state.floor || entry.seq > state.seq) return 'invalid'
    if (entry.seq === state.seq) return 'valid'
    if (this.#covers(state)) return this.#stamps.judge(entry)
    return this.#catchUp(state).then((caughtUp) => (caughtUp ? this.#stamps.judge(entry) : 'invalid'))
  }

  /** How an entry that was kept stands by what is known here; whether that is current is for others to know. */
  judgeKept(entry: Stamped & { readonly epoch: string }): Validity {
    return entry.epoch === this.#epoch ? this.#stamps.judge(entry) : 'invalid'
  }

  /** Takes over an invalidation heard of; false if something before it was missed. */
  apply({ epoch, before, seq, floor, isSoft, names }: Invalidation): boolean {
    if (epoch !== this.#epoch) return false
    if (seq <= this.#stamps.seq) return true
    if (before > this.#stamps.seq) return false
    this.#stamps.stamp(names, seq, isSoft)
    this.#stamps.raise({ floor, seq })
    return true
  }

  /** Brings the copy up to what Redis holds now. */
  async sync(): Promise<void> {
    // One that is under way may have begun too early.
    await this.#syncing?.catch(() => undefined)
    await this.#pulling()
  }

  #pulling(): Promise<void> {
    this.#syncing ??= this.#pull().finally(() => (this.#syncing = undefined))
    return this.#syncing
  }

  #covers(state: WatermarkState): boolean {
    return this.#epoch === state.epoch && this.#stamps.seq >= state.seq
  }

  /** True once the copy covers `state`; false if its epoch has ended: everything of it is invalid. */
  async #catchUp(state: WatermarkState): Promise<boolean> {
    while (!this.#covers(state)) {
      // A sync under way may have begun before `state` was; if it did not reach it, the next one does.
      const isOwn = this.#syncing === undefined
      await this.#pulling()
      if (isOwn) break
    }
    return this.#covers(state)
  }

  async #pull(): Promise<void> {
    const [first, ...pairs] = await this.#sync(this.#epoch, this.#stamps.seq)
    const state = first === undefined ? undefined : this.parse(first)
    if (state === undefined) return
    if (state.epoch !== this.#epoch) {
      this.#epoch = state.epoch
      this.#stamps = new Watermark(state.floor)
    }
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const name = pairs[i]!.toString()
      const isSoft = name.startsWith('~')
      this.#stamps.stamp([isSoft ? name.slice(1) : name], Number(pairs[i + 1]!.toString()), isSoft)
    }
    this.#stamps.raise(state)
  }
}

function parseState(text: string): WatermarkState | undefined {
  const [epoch = '', floor, seq] = text.split(' ')
  const state = { epoch, floor: Number(floor), seq: Number(seq) }
  return epoch.length === 8 && Number.isSafeInteger(state.floor) && Number.isSafeInteger(state.seq) ? state : undefined
}
