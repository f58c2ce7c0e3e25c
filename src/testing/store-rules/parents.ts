/** A child counts while the very parent is there that it hangs on. */
import { deepEqual, equal, notEqual, ok } from 'node:assert/strict'
import { freshness } from '../../entry.ts'
import { parentId } from '../../key.ts'
import type { Lease } from '../../stores/store.ts'
import {
  CHILD,
  NAMESPACE,
  OTHER_CHILD,
  OTHER_TAG,
  PARENT,
  TAG,
  TAGS,
  type NamedStoreTest,
  type StoreTrial,
} from '../store-trial.ts'

/** A second child asks to be loaded, and so makes the parent anew. */
async function makeParentAnew(trial: StoreTrial): Promise<Lease> {
  await trial.other.remove([PARENT])
  return trial.leadChild(OTHER_CHILD)
}

async function fillBoth(trial: StoreTrial): Promise<void> {
  await trial.fill(await trial.leadChild(CHILD), 'a')
  await trial.fill(await trial.leadChild(OTHER_CHILD), 'b')
}

const HANGING: readonly NamedStoreTest[] = [
  [
    'whoever is to load a child is told its parent, which is made if it is not there',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      equal(lease.parent?.id, PARENT)
      equal((await trial.expectEntry(trial.other, PARENT)).entryId, lease.parent.entryId)
      const otherLease = await trial.leadChild(OTHER_CHILD)
      deepEqual(otherLease.parent, lease.parent)
      notEqual(otherLease.token, lease.token)
    },
  ],
  [
    'a child is read with its parent, and bears its name',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      await trial.fill(lease, 'a')
      await trial.expectValue(CHILD, 'a', PARENT)
      equal((await trial.expectEntry(trial.other, CHILD, PARENT)).parentId, lease.parent?.entryId)
      await trial.expectNothing(OTHER_CHILD, PARENT)
    },
  ],
  [
    'a load may be stored as another child of its parent, and not as the one it was asked for',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'a'), OTHER_CHILD), 'stored')
      await trial.expectNothing(CHILD, PARENT)
      await trial.expectValue(OTHER_CHILD, 'a', PARENT)
    },
  ],
  [
    'a child is not there under another parent, nor is an entry that hangs on none',
    async (trial) => {
      const stranger = parentId('suite', 'stranger')
      const under = { parentId: stranger, parentMs: 60_000 }
      await trial.lead(OTHER_CHILD, under)
      await trial.fill(await trial.leadChild(CHILD), 'a')
      await trial.expectNothing(CHILD, stranger)
      await trial.set(CHILD, 'a')
      await trial.expectNothing(CHILD, stranger)
      await trial.set(CHILD, 'a')
      await trial.expectNothing(CHILD, parentId('suite', 'nobody'))
    },
  ],
  [
    'each child has a lease of its own',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      equal((await trial.ask(CHILD, { parentId: PARENT, parentMs: 60_000 }, trial.other)).outcome, 'busy')
      await trial.fill(await trial.leadChild(OTHER_CHILD), 'b')
      await trial.fill(lease, 'a')
      await trial.expectValue(CHILD, 'a', PARENT)
      await trial.expectValue(OTHER_CHILD, 'b', PARENT)
      const acquired = await trial.ask(CHILD, { parentId: PARENT, parentMs: 60_000 }, trial.other)
      ok(acquired.outcome === 'hit' && acquired.entry.value === 'a')
    },
  ],
  [
    'a tag of a child invalidates that child alone',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      await trial.fill(lease, 'a', { tags: [NAMESPACE, OTHER_TAG] })
      await trial.fill(await trial.leadChild(OTHER_CHILD), 'b')
      await trial.other.invalidate([OTHER_TAG])
      await trial.expectNothing(CHILD, PARENT)
      await trial.expectValue(OTHER_CHILD, 'b', PARENT)
    },
  ],
  [
    'a parent that had to be made is kept for as long as was asked, and as long as its longest-lived child',
    async (trial) => {
      await trial.fill(await trial.leadChild(CHILD, { parentMs: 500 }), 'a')
      await trial.fill(await trial.leadChild(OTHER_CHILD, { parentMs: 500 }), 'b', { ttlMs: 400 })
      await trial.pass(550)
      await trial.expectValue(CHILD, 'a', PARENT)
    },
  ],
]

const REMOVING: readonly NamedStoreTest[] = [
  [
    'removing the parent removes all its children',
    async (trial) => {
      await fillBoth(trial)
      const [removed] = await trial.other.remove([PARENT])
      ok(removed !== undefined)
      for (const child of [CHILD, OTHER_CHILD]) await trial.expectNothing(child, PARENT)
    },
  ],
  [
    'a parent that is made anew does not bring back the children of the one before',
    async (trial) => {
      await trial.fill(await trial.leadChild(CHILD), 'a')
      await trial.fill(await makeParentAnew(trial), 'b')
      await trial.expectNothing(CHILD, PARENT)
      await trial.expectValue(OTHER_CHILD, 'b', PARENT)
      await trial.fill(await trial.leadChild(CHILD), 'anew')
      await trial.expectValue(CHILD, 'anew', PARENT)
    },
  ],
  [
    'a child is refused if its parent was removed meanwhile',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      await trial.other.remove([PARENT])
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.expectNothing(CHILD, PARENT)
    },
  ],
  [
    'a child is refused also if its parent was made anew',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      await makeParentAnew(trial)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.expectNothing(CHILD, PARENT)
    },
  ],
  [
    'the load of a child that stores nothing is told if its parent was removed meanwhile',
    async (trial) => {
      const lease = await trial.leadChild(CHILD)
      await trial.other.remove([PARENT])
      equal(await trial.store.release(lease, TAGS), 'fenced')
      const second = await trial.leadChild(CHILD)
      await makeParentAnew(trial)
      equal(await trial.store.release(second, TAGS), 'fenced')
      equal(await trial.store.release(await trial.leadChild(CHILD), TAGS), 'released')
    },
  ],
  [
    'nobody waits for the load of a child whose parent was removed, or made anew',
    async (trial) => {
      await trial.leadChild(CHILD)
      await trial.other.remove([PARENT])
      const lease = await trial.leadChild(CHILD)
      await makeParentAnew(trial)
      const successor = await trial.leadChild(CHILD)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await trial.fill(successor, 'after')
      await trial.expectValue(CHILD, 'after', PARENT)
    },
  ],
]

const INVALIDATING: readonly NamedStoreTest[] = [
  [
    'a namespace invalidates parents with their children, and refuses those in flight',
    async (trial) => {
      await trial.fill(await trial.leadChild(OTHER_CHILD), 'b')
      const lease = await trial.leadChild(CHILD)
      await trial.other.invalidate([NAMESPACE])
      await trial.expectNothing(PARENT)
      await trial.expectNothing(OTHER_CHILD, PARENT)
      equal(await trial.store.fill(lease, trial.loaded(lease, 'overtaken')), 'fenced')
      await fillBoth(trial)
      await trial.expectEntry(trial.other, PARENT)
      await trial.expectValue(CHILD, 'a', PARENT)
      await trial.expectValue(OTHER_CHILD, 'b', PARENT)
    },
  ],
  [
    'children that are invalidated softly remain as stale copies, also while others of their parent are refreshed',
    async (trial) => {
      await fillBoth(trial)
      await trial.other.invalidate([NAMESPACE, TAG], { soft: true })
      const { entryId: seen } = await trial.expectEntry(trial.store, CHILD, PARENT)
      const lease = await trial.leadChild(CHILD, { seen })
      for (const [child, value] of [
        [CHILD, 'a'],
        [OTHER_CHILD, 'b'],
      ] as const) {
        await trial.expectValue(child, value, PARENT)
        equal(freshness(await trial.expectEntry(trial.other, child, PARENT), trial.now()), 'stale')
      }
      await trial.fill(lease, 'new')
      equal(freshness(await trial.expectEntry(trial.other, CHILD, PARENT), trial.now()), 'fresh')
      await trial.expectValue(OTHER_CHILD, 'b', PARENT)
    },
  ],
]

export const PARENT_RULES: readonly NamedStoreTest[] = [...HANGING, ...REMOVING, ...INVALIDATING]
