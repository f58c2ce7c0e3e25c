/** One caller at a time may load an id, over all processes, and what it stores is there for everyone. */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '../../stores/store.ts'
import { ID, OTHER_ID, TAG, TAGS, type NamedStoreTest } from '../store-trial.ts'

const FILLING: readonly NamedStoreTest[] = [
  [
    'whoever asks first for what is not there may load it',
    async (trial) => {
      const lease = await trial.lead(ID)
      equal(lease.id, ID)
      equal(lease.parent, undefined)
      ok(/^[0-9a-f]{16}$/.test(lease.token), `expected a token of 16 hex digits, got ${lease.token}`)
      ok(Number.isSafeInteger(lease.seq))
      await trial.expectNothing(ID)
    },
  ],
  [
    'what was loaded is there for everyone, under the name and the seq of its lease',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.fill(lease, 'loaded')
      await trial.expectValue(ID, 'loaded')
      const entry = await trial.expectEntry(trial.other, ID)
      deepEqual([entry.entryId, entry.seq, entry.parentId], [lease.token, lease.seq, undefined])
    },
  ],
  [
    'a load replaces the value, the windows and the tags of what was there',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      const lease = await trial.lead(ID, { steal: true })
      const draft = trial.loaded(lease, 'new', { tags: TAGS.slice(0, 1), ttlMs: 90_000 })
      equal(await trial.store.fill(lease, draft), 'stored')
      await trial.store.invalidate([TAG])
      await trial.expectValue(ID, 'new')
      equal((await trial.expectEntry(trial.store, ID)).freshUntil, draft.freshUntil)
    },
  ],
  [
    'whoever asks after a load is answered with its entry',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.fill(lease, 'loaded')
      for (const store of [trial.store, trial.other]) {
        const acquired = await trial.ask(ID, {}, store)
        ok(acquired.outcome === 'hit', `expected 'hit', got '${acquired.outcome}'`)
        deepEqual([acquired.entry.value, acquired.entry.entryId], ['loaded', lease.token])
      }
    },
  ],
  [
    'a lease is good for one fill',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.fill(lease, 'first')
      equal(await trial.other.fill(lease, trial.loaded(lease, 'second')), 'fenced')
      await trial.expectValue(ID, 'first')
    },
  ],
  [
    'a lease that was released stores nothing, then or later, and the next who asks leads',
    async (trial) => {
      const lease = await trial.lead(ID)
      equal(await trial.store.release(lease, TAGS), 'released')
      equal(await trial.store.fill(lease, trial.loaded(lease, 1)), 'fenced')
      await trial.expectNothing(ID)
      await trial.lead(ID, {}, trial.other)
    },
  ],
  [
    'a release leaves what is stored as it is',
    async (trial) => {
      await trial.set(ID, 'old')
      const { entryId } = await trial.expectEntry(trial.store, ID)
      equal(await trial.store.release(await trial.lead(ID, { seen: entryId }), TAGS), 'released')
      await trial.expectValue(ID, 'old')
    },
  ],
]

const HOLDING: readonly NamedStoreTest[] = [
  [
    'while one loads everyone else is told that it is busy, in every process',
    async (trial) => {
      const lease = await trial.lead(ID)
      for (const store of [trial.store, trial.other]) equal((await trial.ask(ID, {}, store)).outcome, 'busy')
      await trial.fill(lease, 1)
      equal((await trial.ask(ID)).outcome, 'hit')
    },
  ],
  [
    'of many who ask at once one leads',
    async (trial) => {
      const asked = Array.from({ length: 50 }, (_, n) => trial.ask(ID, {}, n % 2 === 0 ? trial.store : trial.other))
      const outcomes = (await Promise.all(asked)).map(({ outcome }) => outcome)
      deepEqual(outcomes.toSorted(), [...Array.from({ length: 49 }, () => 'busy'), 'lead'])
    },
  ],
  [
    'a lease is for one id, and no two have the same token',
    async (trial) => {
      const lease = await trial.lead(ID)
      const otherLease = await trial.lead(OTHER_ID, {}, trial.other)
      notEqual(lease.token, otherLease.token)
      await trial.fill(otherLease, 2)
      await trial.fill(lease, 1)
      await trial.expectValue(ID, 1)
      await trial.expectValue(OTHER_ID, 2)
    },
  ],
  [
    'whoever has seen the entry may replace it, one at a time',
    async (trial) => {
      await trial.set(ID, 'old')
      const { entryId: seen } = await trial.expectEntry(trial.store, ID)
      const lease = await trial.lead(ID, { seen })
      equal((await trial.ask(ID, { seen }, trial.other)).outcome, 'busy')
      await trial.expectValue(ID, 'old')
      await trial.fill(lease, 'new')
      await trial.expectValue(ID, 'new')
    },
  ],
  [
    'whoever has seen another entry is answered with the one that is there',
    async (trial) => {
      await trial.set(ID, 'old')
      const { entryId: seen } = await trial.expectEntry(trial.store, ID)
      await trial.fill(await trial.lead(ID, { seen }), 'new')
      const acquired = await trial.ask(ID, { seen }, trial.other)
      ok(acquired.outcome === 'hit' && acquired.entry.value === 'new')
    },
  ],
  [
    'a lease can be stolen from whoever holds it, and its fill is refused then',
    async (trial) => {
      const lease = await trial.lead(ID)
      const stolen = await trial.lead(ID, { steal: true }, trial.other)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'slow')), 'fenced')
      await trial.expectNothing(ID)
      equal(await trial.store.extend(lease, 60_000), false)
      equal(await trial.store.release(lease, TAGS), 'fenced')
      await trial.fill(stolen, 'stolen')
      await trial.expectValue(ID, 'stolen')
    },
  ],
  [
    'a lease can be stolen whatever is stored',
    async (trial) => {
      await trial.set(ID, 'old')
      await trial.fill(await trial.lead(ID, { steal: true }), 'new')
      await trial.expectValue(ID, 'new')
    },
  ],
]

const EXPIRING: readonly NamedStoreTest[] = [
  [
    'whoever holds a lease beyond its time is replaced, and its fill is refused then',
    async (trial) => {
      const lease = await trial.lead(ID, { leaseMs: 20 })
      await trial.pass(50)
      const successor = await trial.lead(ID, {}, trial.other)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'late')), 'fenced')
      await trial.expectNothing(ID)
      equal(await trial.store.extend(lease, 60_000), false)
      equal(await trial.store.release(lease, TAGS), 'fenced')
      await trial.fill(successor, 'successor')
      await trial.expectValue(ID, 'successor')
    },
  ],
  [
    'a lease that is renewed lasts from then on',
    async (trial) => {
      const lease = await trial.lead(ID, { leaseMs: 500 })
      equal(await trial.other.extend(lease, 60_000), true)
      await trial.pass(550)
      equal((await trial.ask(ID, {}, trial.other)).outcome, 'busy')
      await trial.fill(lease, 1)
      equal(await trial.store.extend(lease, 60_000), false)
    },
  ],
]

/** How long a watch waits at most; whoever is told of the end need not. */
const PATIENCE_MS = 3000

const WATCHED: readonly NamedStoreTest[] = [
  [
    'who watches a lease is told when it ends: filled, released, removed or set over',
    async (trial) => {
      const endings: readonly ((lease: Lease) => unknown)[] = [
        (lease) => trial.fill(lease, 1),
        (lease) => trial.store.release(lease, TAGS),
        () => trial.store.remove([ID]),
        () => trial.set(ID, 1),
      ]
      for (const end of endings) {
        const lease = await trial.lead(ID, { steal: true })
        const watch = trial.other.watch(ID)
        // The first wait of all may have to begin to listen.
        await watch.ended(200)
        equal((await trial.ask(ID, { seen: lease.token }, trial.other)).outcome, 'busy')
        const startedAt = performance.now()
        const told = watch.ended(PATIENCE_MS)
        await end(lease)
        await told
        ok(performance.now() - startedAt < PATIENCE_MS / 2, 'expected to be told of the end, was not')
        watch.stop()
        await trial.store.remove([ID])
      }
    },
  ],
  [
    'who watches a lease that does not end waits no longer than asked',
    async (trial) => {
      await trial.lead(ID)
      const watch = trial.other.watch(ID)
      const waited = await Promise.race([watch.ended(30).then(() => 'as asked'), sleep(PATIENCE_MS, 'longer')])
      watch.stop()
      equal(waited, 'as asked')
    },
  ],
]

export const LEASE_RULES: readonly NamedStoreTest[] = [...FILLING, ...HOLDING, ...EXPIRING, ...WATCHED]
