/** One store on trial: what a rule of the suite has to work with. */
import { equal, ok } from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { snapshot } from '../codec/snapshot.ts'
import { lifeOf, type Entry, type EntryDraft, type Windows } from '../entry.ts'
import { entryId, namespaceStamp, parentId, tagStamp, variantId } from '../key.ts'
import type { AcquireOptions, Acquired, Lease, Store } from '../stores/store.ts'
import { newToken } from '../token.ts'
import type { ManualClock } from './manual-clock.ts'

/** A rule: rejects if the store breaks it. */
export type StoreTest = (trial: StoreTrial) => Promise<void>
export type NamedStoreTest = readonly [name: string, test: StoreTest]

/** Names for the rules to use; each rule has a store of its own, so they may use the same. */
export const ID: string = entryId('suite', 'one')
export const OTHER_ID: string = entryId('suite', 'two')
export const PARENT: string = parentId('suite', 'one')
export const CHILD: string = variantId('suite', 'one', 'a')
export const OTHER_CHILD: string = variantId('suite', 'one', 'b')
export const NAMESPACE: string = namespaceStamp('suite')
export const TAG: string = tagStamp('red')
export const OTHER_TAG: string = tagStamp('blue')
export const TAGS: readonly string[] = [NAMESPACE, TAG]

/** How long a lease lasts that must not end in the middle of a rule. */
const LONG_MS = 60_000

/** What may be said of a draft; the rest is made up. */
export interface DraftFacts extends Partial<EntryDraft>, Partial<Windows> {}

export class StoreTrial {
  readonly store: Store
  /** The same data as another process has it. */
  readonly other: Store
  readonly #clock: ManualClock | undefined

  constructor(store: Store, other: Store, clock: ManualClock | undefined) {
    this.store = store
    this.other = other
    this.#clock = clock
  }

  now(): number {
    return this.#clock?.now() ?? Date.now()
  }

  /** Lets time pass. */
  async pass(durationMs: number): Promise<void> {
    if (this.#clock === undefined) await sleep(durationMs)
    else this.#clock.advance(`${durationMs}ms`)
  }

  draft(value: unknown, facts: DraftFacts = {}): EntryDraft {
    const { ttlMs = LONG_MS, swrMs = 0, graceMs = 0, ...rest } = facts
    return {
      ...snapshot(value),
      ...lifeOf({ ttlMs, swrMs, graceMs }, this.now()),
      entryId: newToken(),
      parentId: undefined,
      loadMs: 0,
      tags: [NAMESPACE],
      negative: false,
      ...rest,
    }
  }

  async set(id: string, value: unknown, facts?: DraftFacts): Promise<void> {
    await this.store.set(id, this.draft(value, facts))
  }

  async ask(id: string, options: Partial<AcquireOptions> = {}, store: Store = this.store): Promise<Acquired> {
    return await store.acquire(id, { tags: TAGS, leaseMs: LONG_MS, ...options })
  }

  /** The lease on `id`, which must be free. */
  async lead(id: string, options: Partial<AcquireOptions> = {}, store: Store = this.store): Promise<Lease> {
    const acquired = await this.ask(id, options, store)
    ok(acquired.outcome === 'lead', `expected to lead ${show(id)}, got '${acquired.outcome}'`)
    return acquired.lease
  }

  /** The lease on a child of `PARENT`. */
  leadChild(id: string, options: Partial<AcquireOptions> = {}): Promise<Lease> {
    return this.lead(id, { parentId: PARENT, parentMs: LONG_MS, ...options })
  }

  /** The draft of what was loaded under a lease. */
  loaded(lease: Lease, value: unknown, facts: DraftFacts = {}): EntryDraft {
    return this.draft(value, { tags: TAGS, entryId: lease.token, parentId: lease.parent?.entryId, ...facts })
  }

  /** Fills `id` under a lease of its own. */
  async fill(lease: Lease, value: unknown, facts?: DraftFacts): Promise<void> {
    equal(await this.store.fill(lease, this.loaded(lease, value, facts)), 'stored')
  }

  async expectEntry(store: Store, id: string, under?: string): Promise<Entry> {
    const entry = await store.read(id, under)
    ok(entry !== undefined, `expected an entry of ${show(id)}, got none`)
    return entry
  }

  /** Expects `value` under `id` in both stores. */
  async expectValue(id: string, value: unknown, under?: string): Promise<void> {
    for (const store of [this.store, this.other]) equal((await this.expectEntry(store, id, under)).value, value)
  }

  /** Expects nothing under `id` in both stores. */
  async expectNothing(id: string, under?: string): Promise<void> {
    for (const store of [this.store, this.other]) {
      ok((await store.read(id, under)) === undefined, `expected no entry of ${show(id)}, got one`)
    }
  }
}

function show(id: string): string {
  return JSON.stringify(id.slice(0, 60))
}
