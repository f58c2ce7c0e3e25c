/** Whatever bears an invalidated name is gone, in every process and for good; what was invalidated softly is stale. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { freshness } from '../../entry.ts'
import { EVERYTHING, entryId, namespaceStamp, tagStamp } from '../../key.ts'
import { ID, NAMESPACE, OTHER_ID, OTHER_TAG, TAG, TAGS, type NamedStoreTest, type StoreTrial } from '../store-trial.ts'

/** Entries by the names they bear. */
const BEARERS = {
  none: [],
  namespace: [NAMESPACE],
  tag: TAGS,
  both: [NAMESPACE, OTHER_TAG, TAG],
  elsewhere: [namespaceStamp('other'), TAG],
  otherTag: [namespaceStamp('other'), OTHER_TAG],
}
type Bearer = keyof typeof BEARERS

async function bearersLeft(trial: StoreTrial, invalidate: () => unknown): Promise<readonly Bearer[]> {
  const names = Object.keys(BEARERS) as Bearer[]
  for (const name of names) {
    await trial.set(entryId('suite', name), name, { tags: BEARERS[name] })
    await trial.expectValue(entryId('suite', name), name)
  }
  await invalidate()
  const left: Bearer[] = []
  for (const name of names) {
    const entries = [await trial.store.read(entryId('suite', name)), await trial.other.read(entryId('suite', name))]
    equal(entries[0]?.value, entries[1]?.value)
    if (entries[0] !== undefined) left.push(name)
  }
  return left
}

async function refreshed(trial: StoreTrial): Promise<void> {
  const { entryId: seen } = await trial.expectEntry(trial.store, ID)
  await trial.fill(await trial.lead(ID, { seen }), 'new')
  equal(freshness(await trial.expectEntry(trial.other, ID), trial.now()), 'fresh')
  await trial.expectValue(ID, 'new')
}

const HARD: readonly NamedStoreTest[] = [
  [
    'a tag invalidates the entries that bear it, in all namespaces, and no others',
    async (trial) => {
      const left = await bearersLeft(trial, () => trial.other.invalidate([TAG]))
      deepEqual(left, ['none', 'namespace', 'otherTag'])
    },
  ],
  [
    'a namespace invalidates its entries and no others',
    async (trial) => {
      const left = await bearersLeft(trial, () => trial.other.invalidate([NAMESPACE]))
      deepEqual(left, ['none', 'elsewhere', 'otherTag'])
    },
  ],
  [
    'several names invalidate whatever bears one of them',
    async (trial) => {
      const left = await bearersLeft(trial, () => trial.other.invalidate([OTHER_TAG, tagStamp('green'), TAG]))
      deepEqual(left, ['none', 'namespace'])
    },
  ],
  [
    'everything invalidates every entry, also those that bear no name',
    async (trial) => deepEqual(await bearersLeft(trial, () => trial.other.invalidate([EVERYTHING])), []),
  ],
  [
    'a name that nobody bears invalidates nothing, nor does no name at all',
    async (trial) => {
      const left = await bearersLeft(trial, async () => {
        await trial.other.invalidate([tagStamp('rEd'), tagStamp('red\0'), tagStamp('re'), 'red'])
        await trial.other.invalidate([])
      })
      deepEqual(left, Object.keys(BEARERS))
    },
  ],
  [
    'a name may hold any character',
    async (trial) => {
      const tags = ['a\0b', 'a\nb', 'ä:🌊', '~x', '!', '*', ' ', 'x'.repeat(10_000)].map(tagStamp)
      for (const [index, tag] of tags.entries())
        await trial.set(entryId('suite', String(index)), index, { tags: [tag] })
      for (const [index, tag] of tags.entries()) {
        await trial.expectValue(entryId('suite', String(index)), index)
        await trial.other.invalidate([tag])
        await trial.expectNothing(entryId('suite', String(index)))
      }
    },
  ],
  [
    'one invalidation reaches two thousand entries',
    async (trial) => {
      const ids = Array.from({ length: 2000 }, (_, n) => entryId('suite', String(n)))
      await Promise.all(ids.map(async (id) => trial.set(id, 1, { tags: TAGS })))
      await trial.set(OTHER_ID, 'other')
      await trial.store.invalidate([TAG])
      const left = await Promise.all(ids.map(async (id) => trial.other.read(id)))
      ok(left.every((entry) => entry === undefined))
      await trial.expectValue(OTHER_ID, 'other')
    },
  ],
  [
    'an invalidated entry is not there for whoever asks to load it',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      await trial.other.invalidate([TAG])
      await trial.fill(await trial.lead(ID), 'new')
      await trial.expectValue(ID, 'new')
    },
  ],
  [
    'also for a caller who knows none of its tags',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      await trial.other.invalidate([TAG])
      await trial.lead(ID, { tags: [NAMESPACE] })
    },
  ],
  [
    'what was invalidated stays so, whatever is invalidated or stored afterwards',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      await trial.other.invalidate([TAG])
      for (let n = 0; n < 20; n++) {
        await trial.other.invalidate([tagStamp(String(n))], { soft: n % 2 === 0 })
        await trial.set(OTHER_ID, n, { tags: TAGS })
        await trial.expectNothing(ID)
        await trial.expectValue(OTHER_ID, n)
      }
      deepEqual(await trial.store.remove([ID]), [undefined])
    },
  ],
  [
    'each round of setting, invalidating and reading sees the round before it, in every process',
    async (trial) => {
      for (let n = 0; n < 20; n++) {
        await (n % 2 === 0 ? trial.store : trial.other).set(ID, trial.draft(n, { tags: TAGS }))
        await trial.expectValue(ID, n)
        await (n % 3 === 0 ? trial.store : trial.other).invalidate([TAG])
        await trial.expectNothing(ID)
      }
    },
  ],
]

const SOFT: readonly NamedStoreTest[] = [
  [
    'what is invalidated softly remains as a stale copy until its grace is over',
    async (trial) => {
      const draft = trial.draft('old', { tags: TAGS, swrMs: 1000, graceMs: 2000 })
      await trial.store.set(ID, draft)
      await trial.other.invalidate([TAG], { soft: true })
      for (const store of [trial.store, trial.other]) {
        const entry = await trial.expectEntry(store, ID)
        const [times] = await store.times([ID])
        deepEqual([entry.value, entry.entryId, entry.graceUntil], ['old', draft.entryId, draft.graceUntil])
        equal(freshness(entry, trial.now()), 'stale')
        deepEqual([times?.freshUntil, times?.staleUntil, times?.graceUntil], [0, draft.staleUntil, draft.graceUntil])
      }
    },
  ],
  [
    'a stale copy is there until a load replaces it, which is fresh',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      await trial.other.invalidate([TAG], { soft: true })
      await refreshed(trial)
      await trial.other.invalidate([OTHER_TAG], { soft: true })
      equal(freshness(await trial.expectEntry(trial.other, ID), trial.now()), 'fresh')
      await trial.other.invalidate([EVERYTHING], { soft: true })
      await refreshed(trial)
    },
  ],
  [
    'a soft invalidation reaches those who bear the name, and no others',
    async (trial) => {
      const states: Record<string, string> = {}
      const left = await bearersLeft(trial, () => trial.other.invalidate([OTHER_TAG], { soft: true }))
      for (const name of left) {
        states[name] = freshness(await trial.expectEntry(trial.store, entryId('suite', name)), trial.now())
      }
      const fresh = { none: 'fresh', namespace: 'fresh', tag: 'fresh', elsewhere: 'fresh' }
      deepEqual(states, { ...fresh, both: 'stale', otherTag: 'stale' })
    },
  ],
  [
    'what is invalidated both softly and not is gone, in whichever order',
    async (trial) => {
      for (const soft of [true, false]) {
        await trial.set(ID, 'old', { tags: TAGS })
        await trial.other.invalidate([TAG], { soft })
        await trial.other.invalidate([TAG], { soft: !soft })
        await trial.expectNothing(ID)
      }
    },
  ],
]

const HOLDS: readonly NamedStoreTest[] = [
  [
    'a name on hold is not filled until the hold is over',
    async (trial) => {
      for (const held of [TAG, NAMESPACE, EVERYTHING]) {
        await trial.other.invalidate([held], { holdMs: 100 })
        const lease = await trial.lead(ID)
        equal(await trial.store.fill(lease, trial.loaded(lease, 'too early')), 'fenced')
        const other = await trial.lead(OTHER_ID, { tags: [namespaceStamp('other')] })
        const isHeld = held === EVERYTHING
        const draft = trial.loaded(other, 'other', { tags: [namespaceStamp('other')] })
        equal(await trial.store.fill(other, draft), isHeld ? 'fenced' : 'stored')
        await trial.pass(120)
        await trial.fill(await trial.lead(ID), 'in time')
        await trial.expectValue(ID, 'in time')
        await trial.store.remove([ID, OTHER_ID])
      }
    },
  ],
  [
    'what is set is stored also while its names are on hold',
    async (trial) => {
      await trial.other.invalidate([TAG], { holdMs: 60_000 })
      await trial.set(ID, 'set', { tags: TAGS })
      await trial.expectValue(ID, 'set')
    },
  ],
]

export const INVALIDATION_RULES: readonly NamedStoreTest[] = [...HARD, ...SOFT, ...HOLDS]
