/** A load that an invalidation overtakes is not stored, and nobody waits for it. */
import { equal, ok } from 'node:assert/strict'
import { EVERYTHING, namespaceStamp } from '../../key.ts'
import { ID, NAMESPACE, OTHER_ID, OTHER_TAG, TAG, TAGS, type NamedStoreTest, type StoreTrial } from '../store-trial.ts'

/** What may happen in another process while one loads. */
const INVALIDATIONS: readonly (readonly [name: string, invalidate: (trial: StoreTrial) => unknown])[] = [
  ['its id is removed', ({ other }) => other.remove([OTHER_ID, ID])],
  ['one of its tags is invalidated', ({ other }) => other.invalidate([OTHER_TAG, TAG])],
  ['one of its tags is invalidated softly', ({ other }) => other.invalidate([TAG], { soft: true })],
  ['its namespace is invalidated', ({ other }) => other.invalidate([NAMESPACE])],
  ['everything is invalidated', ({ other }) => other.invalidate([EVERYTHING])],
  ['everything is invalidated softly', ({ other }) => other.invalidate([EVERYTHING], { soft: true })],
]

const RULES_OF_INVALIDATIONS = INVALIDATIONS.flatMap(([name, invalidate]): readonly NamedStoreTest[] => [
  [
    `a load is refused if ${name} meanwhile`,
    async (trial) => {
      const lease = await trial.lead(ID)
      await invalidate(trial)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.expectNothing(ID)
    },
  ],
  [
    `a load that stores nothing is told if ${name} meanwhile`,
    async (trial) => {
      const lease = await trial.lead(ID)
      await invalidate(trial)
      equal(await trial.store.release(lease, TAGS), 'fenced')
    },
  ],
  [
    `nobody waits for a load that will be refused: ${name}`,
    async (trial) => {
      const lease = await trial.lead(ID)
      await invalidate(trial)
      const successor = await trial.lead(ID)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.fill(successor, 'after')
      await trial.expectValue(ID, 'after')
    },
  ],
])

const RULES_OF_SET: readonly NamedStoreTest[] = [
  [
    'a value that is set wins over the loads in flight',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.other.set(ID, trial.draft('set'))
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.expectValue(ID, 'set')
      equal(await trial.store.extend(lease, 60_000), false)
    },
  ],
  [
    'a load that stores nothing is told if another value is set meanwhile',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.other.set(ID, trial.draft('set'))
      equal(await trial.store.release(lease, TAGS), 'fenced')
      await trial.expectValue(ID, 'set')
    },
  ],
]

const RULES_OF_TAGS: readonly NamedStoreTest[] = [
  [
    'a tag that is learnt from what was loaded fences as if it had been known before',
    async (trial) => {
      const lease = await trial.lead(ID, { tags: [NAMESPACE] })
      await trial.other.invalidate([TAG])
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.expectNothing(ID)
      const second = await trial.lead(ID, { tags: [NAMESPACE] })
      await trial.other.invalidate([TAG], { soft: true })
      equal(await trial.store.release(second, TAGS), 'fenced')
    },
  ],
  [
    'a tag that is learnt from what was loaded speaks for the entry',
    async (trial) => {
      const lease = await trial.lead(ID, { tags: [NAMESPACE] })
      await trial.fill(lease, 1)
      await trial.other.invalidate([TAG])
      await trial.expectNothing(ID)
    },
  ],
  [
    'a load is not refused for what was invalidated before it began',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS })
      await trial.other.invalidate([TAG, NAMESPACE, EVERYTHING])
      await trial.other.invalidate([TAG], { soft: true })
      await trial.fill(await trial.lead(ID), 'new')
      await trial.expectValue(ID, 'new')
    },
  ],
  [
    'a load is not refused for the invalidation of others',
    async (trial) => {
      const lease = await trial.lead(ID)
      await trial.other.invalidate([OTHER_TAG, namespaceStamp('other')])
      await trial.other.remove([OTHER_ID])
      await trial.other.set(OTHER_ID, trial.draft(2))
      equal((await trial.ask(ID)).outcome, 'busy')
      await trial.fill(lease, 1)
      await trial.expectValue(ID, 1)
    },
  ],
  [
    'an entry is as old as the beginning of its load',
    async (trial) => {
      const before = await trial.lead(ID, { tags: [NAMESPACE] })
      await trial.other.invalidate([OTHER_TAG])
      const after = await trial.lead(OTHER_ID, { tags: [NAMESPACE] })
      ok(before.seq < after.seq)
      await trial.fill(before, 1, { tags: [NAMESPACE] })
      await trial.fill(after, 2, { tags: [NAMESPACE, OTHER_TAG] })
      await trial.expectValue(ID, 1)
      await trial.expectValue(OTHER_ID, 2)
    },
  ],
]

export const FENCE_RULES: readonly NamedStoreTest[] = [...RULES_OF_INVALIDATIONS, ...RULES_OF_SET, ...RULES_OF_TAGS]
