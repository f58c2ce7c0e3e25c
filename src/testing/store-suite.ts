/**
 * The contract of a store (stores/store.ts) as rules that any test runner can run over any store.
 *
 * The rules need no test framework: a rule resolves if the store keeps it, and rejects with an `AssertionError` if not.
 */
import type { MaybePromise, Store } from '../stores/store.ts'
import type { ManualClock } from './manual-clock.ts'
import { ENTRY_RULES } from './store-rules/entries.ts'
import { FENCE_RULES } from './store-rules/fences.ts'
import { INVALIDATION_RULES } from './store-rules/invalidations.ts'
import { LEASE_RULES } from './store-rules/leases.ts'
import { PARENT_RULES } from './store-rules/parents.ts'
import { StoreTrial, type StoreTest } from './store-trial.ts'

/** A store that is to be tried by one rule. */
export interface StoreUnderTest {
  /** Empty, with room for 10,000 entries and 16 MB. */
  readonly store: Store
  /** A second store on the same data, as another process has it. Default: `store` itself. */
  another?(): MaybePromise<Store>
  /** The clock that the store goes by. Default: that of the machine, and the suite waits where time has to pass. */
  readonly clock?: ManualClock
  /** Ends the stores, one of which may have been closed already. */
  dispose(): MaybePromise<void>
}

export interface StoreSuiteOptions {
  /** Called once for each rule. */
  makeStore(): MaybePromise<StoreUnderTest>
}

/** One rule of the contract. */
export interface StoreRule {
  /** What the store has to do, in a sentence. */
  readonly name: string
  /** Tries a store of its own by the rule; rejects with an `AssertionError` if it is broken. */
  readonly run: () => Promise<void>
}

const RULES = [...ENTRY_RULES, ...LEASE_RULES, ...FENCE_RULES, ...INVALIDATION_RULES, ...PARENT_RULES]

/**
 * The rules that every store has to keep, for the test runner of your choice.
 *
 * @example
 * import { test } from 'node:test'
 * import { MemoryStore } from 'tidemark'
 * import { ManualClock, storeSuite } from 'tidemark/testing'
 *
 * const makeStore = () => {
 *   const clock = new ManualClock()
 *   const store = new MemoryStore({ maxEntries: 1e4, maxBytes: 1.6e7, strategy: 'LRU', stampsMs: 86_400_000, clock })
 *   return { store, clock, dispose: () => store.close() }
 * }
 * for (const { name, run } of storeSuite({ makeStore })) test(name, run)
 */
export function storeSuite({ makeStore }: StoreSuiteOptions): readonly StoreRule[] {
  return RULES.map(([name, test]) => ({ name, run: () => tryStore(makeStore, test) }))
}

async function tryStore(makeStore: StoreSuiteOptions['makeStore'], test: StoreTest): Promise<void> {
  const underTest = await makeStore()
  const { store, clock } = underTest
  try {
    const other = underTest.another === undefined ? store : await underTest.another()
    await test(new StoreTrial(store, other, clock))
  } finally {
    await underTest.dispose()
  }
}
