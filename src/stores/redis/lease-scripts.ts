/** The scripts of loads: ACQUIRE, EXTEND and FILL, which takes a result or gives the lease back without one. */
import { STAMP_BYTES, readEntryId, type Codec } from '../../codec/codec.ts'
import type { Clock } from '../../clock.ts'
import type { Entry, EntryDraft } from '../../entry.ts'
import { CacheException, RedisConnectionError } from '../../exceptions.ts'
import { newToken } from '../../token.ts'
import { parentDraft } from '../parent.ts'
import type { Acquired, AcquireOptions, Lease, StoreListener, Verdict } from '../store.ts'
import { bytesOf, leaseId, leaseOf, ms } from './arguments.ts'
import type { Argument, Reply } from './client.ts'
import type { EntryReader } from './entry-reader.ts'
import type { Mirror } from './mirror.ts'
import type { Script } from './connection.ts'
import { ACQUIRE, EXTEND, FILL } from './scripts.ts'
import { HOLDS, whyFenced, type StoreScripts } from './store-scripts.ts'

/** So many different entries of no use are passed over before a lease is given up. */
const MAX_TRIES = 10

/** What is beyond waits for the end of its lease. */
const MAX_IN_DOUBT = 10_000

export interface LeaseScriptsOptions {
  readonly scripts: StoreScripts
  readonly reader: EntryReader
  readonly mirror: Mirror
  readonly codec: Codec
  readonly clock: Clock
  /** True for what was to be invalidated, though Redis does not know it yet. */
  readonly isDoomed: (entry: Entry, id: string, parentId: string | undefined) => boolean
  readonly listener: () => StoreListener | undefined
}

interface LeaseCall extends Pick<Lease, 'id' | 'token'> {
  readonly keys: readonly string[]
  readonly args: readonly Argument[]
}

export class LeaseScripts {
  readonly #options: LeaseScriptsOptions
  /** Ids by the tokens of calls that were not answered: Redis may hold their leases, and nobody will end them. */
  readonly #inDoubt = new Map<string, string>()

  constructor(options: LeaseScriptsOptions) {
    this.#options = options
  }

  async acquire(id: string, options: AcquireOptions): Promise<Acquired> {
    const { reader, mirror, isDoomed, listener } = this.#options
    const token = newToken()
    let { seen } = options
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const [outcome, ...reply] = await this.#ask(id, token, { ...options, seen })
      if (outcome!.toString() === 'busy') return { outcome: 'busy' }
      if (outcome!.toString() === 'lead')
        return { outcome: 'lead', lease: leaseOf({ id, token }, options.parentId, reply) }

      const [bytes, parentEntryId, watermark] = reply as [Buffer, Buffer, Buffer]
      listener()?.onBytes(bytes.length, 0)
      const entry = await reader.entry(bytes, id, mirror.parse(watermark))
      const isChild = options.parentId !== undefined
      const isOfParent = !isChild || entry?.parentId === parentEntryId.toString('hex')
      if (entry !== undefined && isOfParent && !isDoomed(entry, id, options.parentId)) return { outcome: 'hit', entry }
      // What stands there is of no use: ask again, for the right to replace it.
      seen = readEntryId(bytes)
    }
    throw new CacheException(`ACQUIRE: expected a lease after ${MAX_TRIES} tries, got entries that are of no use`)
  }

  async extend({ id, token }: Lease, leaseMs: number): Promise<boolean> {
    // The entry's key is not touched, but the lease is always the key behind it.
    return (await this.#options.scripts.run(EXTEND, [leaseId(id)], [bytesOf(token), ms(leaseMs)])) === 1
  }

  async fill({ id, token, parent }: Lease, draft: EntryDraft, as: string): Promise<Verdict> {
    const { codec, listener } = this.#options
    const tail = await codec.encode(draft, as)
    const keys = [as, leaseId(id), HOLDS]
    const args: Argument[] = [bytesOf(token), tail, ms(draft.graceUntil - draft.storedAt)]
    if (parent === undefined) {
      args.push('', '')
    } else {
      keys.push(parent.id)
      const kept = { ...draft, value: null, entryId: parent.entryId, parentId: undefined, tags: draft.tags.slice(0, 1) }
      args.push(bytesOf(parent.entryId), await codec.encode({ ...kept, plain: true }, parent.id))
    }
    const verdict = await this.#run(FILL, { id, token, keys, args: [...args, ...draft.tags] })
    if (verdict !== 1) return this.#fenced(id, verdict)
    listener()?.onBytes(0, tail.length + STAMP_BYTES)
    return 'stored'
  }

  async release(lease: Lease, tags: readonly string[]): Promise<Verdict> {
    const verdict = await this.#release(lease, tags)
    return verdict === 1 ? 'released' : this.#fenced(lease.id, verdict)
  }

  /** Redis answers again: what it may hold since before keeps the next loads waiting, and is given back. */
  releaseInDoubt(): void {
    const all = Array.from(this.#inDoubt)
    this.#inDoubt.clear()
    for (const [token, id] of all) this.#release({ id, token, parent: undefined }, []).catch(() => undefined)
  }

  #release({ id, token, parent }: Pick<Lease, 'id' | 'token' | 'parent'>, tags: readonly string[]): Promise<Reply> {
    const keys = [id, leaseId(id), HOLDS, ...(parent === undefined ? [] : [parent.id])]
    const args = [bytesOf(token), '', ms(1), bytesOf(parent?.entryId ?? ''), '', ...tags]
    return this.#run(FILL, { id, token, keys, args })
  }

  #fenced(id: string, reply: Reply): 'fenced' {
    this.#options.listener()?.onTrace?.(`a load of ${id} is refused: ${whyFenced(reply)}`)
    return 'fenced'
  }

  async #ask(id: string, token: string, options: AcquireOptions): Promise<readonly Buffer[]> {
    const { codec, clock } = this.#options
    const { parentId, seen = '' } = options
    const keys = [id, leaseId(id)]
    let parentTail: Argument = ''
    if (parentId !== undefined) {
      keys.push(parentId)
      parentTail = await codec.encode(parentDraft(token, options, clock.now()), parentId)
    }
    const args = [bytesOf(token), ms(options.leaseMs), bytesOf(seen), options.steal === true ? '1' : '']
    const parent = [parentTail, ms(options.parentMs ?? 1)]
    return (await this.#run(ACQUIRE, {
      id,
      token,
      keys,
      args: [...args, ...parent, ...options.tags],
    })) as readonly Buffer[]
  }

  async #run(script: Script, { id, token, keys, args }: LeaseCall): Promise<Reply> {
    try {
      return await this.#options.scripts.run(script, keys, args)
    } catch (error) {
      if (error instanceof RedisConnectionError && this.#inDoubt.size < MAX_IN_DOUBT) this.#inDoubt.set(token, id)
      throw error
    }
  }
}
