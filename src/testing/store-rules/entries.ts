/** What is stored comes back as it was, under its own id and no other, until it is removed. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { snapshot } from '../../codec/snapshot.ts'
import { freshness } from '../../entry.ts'
import { entryId } from '../../key.ts'
import type { EntryTimes } from '../../stores/store.ts'
import { ID, NAMESPACE, OTHER_ID, TAG, TAGS, type NamedStoreTest, type StoreTrial } from '../store-trial.ts'

/** Each is another value to JSON, or none at all. */
const VALUES: readonly unknown[] = [
  [null, true, false, 0, -0, 1.5, Number.NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER, '', 'größe 🌊', '\0\n'],
  [[], {}, [1, [2, [3]]], { a: { b: { c: null } } }, JSON.parse('{ "__proto__": 1 }')],
  [10n ** 30n, -1n, new Date(86_400_000)],
  [Buffer.from([0, 255, 10]), new Uint8Array([1, 2, 3]), Buffer.alloc(0)],
  [new Set([1, 'a', null]), new Map<unknown, unknown>([['a', new Set([new Date(0)])]])],
  [{ at: new Date(1), bytes: Buffer.from('x'), list: [1n, undefined, new Map([[{ a: 1 }, Number.NaN]])] }],
].flat()

/** Hard to tell apart for whoever joins names with separators, cuts them or folds their letters. */
const HARD_NAMES = [
  ['a', 'A', 'a:', ':a', 'a:b', 'a\0', 'a\0b', '\0', 'a\n', 'a\r\nb', ' a', 'a ', '*', '?', '{a}', '{', '%00', '\\'],
  ['ä', 'a\u0308', '🌊', '\u{10FFFF}', '\uFEFF', '__proto__', 'constructor', 'k:a', 'w', 't'],
].flat()

const MEBIBYTE = 1_048_576

async function keepsTypes(trial: StoreTrial): Promise<void> {
  for (const value of VALUES) {
    const expected = snapshot(value)
    await trial.set(ID, value)
    const entry = await trial.expectEntry(trial.other, ID)
    deepEqual(entry.value, expected.value)
    deepEqual([entry.shareable, entry.plain], [expected.shareable, expected.plain])
  }
}

function windowsOf(times: Omit<EntryTimes, 'seq'> | undefined): readonly (number | undefined)[] {
  return [times?.freshUntil, times?.staleUntil, times?.graceUntil]
}

const READING: readonly NamedStoreTest[] = [
  [
    'where nothing is stored nothing is found',
    async ({ store }) => {
      equal(await store.read(ID), undefined)
      deepEqual(await store.times([ID, OTHER_ID]), [undefined, undefined])
      deepEqual(await store.remove([ID, OTHER_ID]), [undefined, undefined])
      equal(await store.expire(ID, Date.now() + 60_000), false)
      deepEqual([await store.times([]), await store.remove([])], [[], []])
    },
  ],
  [
    'an entry comes back with all that was said of it, in every process',
    async (trial) => {
      const facts = { ttlMs: 60_000, swrMs: 70_000, graceMs: 80_000, loadMs: 1234, tags: [NAMESPACE, TAG, 't:x:y\0z'] }
      const draft = trial.draft({ id: 1 }, facts)
      await trial.store.set(ID, draft)
      for (const store of [trial.store, trial.other]) {
        const { seq, epoch, bytes, ...entry } = await trial.expectEntry(store, ID)
        const { bytes: _, ...expected } = draft
        deepEqual(entry, expected)
        ok(Number.isSafeInteger(seq) && typeof epoch === 'string' && bytes > 0)
      }
    },
  ],
  ['values keep their types', keepsTypes],
  [
    'an entry that says there is nothing says so when it is read',
    async (trial) => {
      await trial.set(ID, null, { negative: true })
      equal((await trial.expectEntry(trial.other, ID)).negative, true)
      await trial.set(ID, null)
      equal((await trial.expectEntry(trial.other, ID)).negative, false)
    },
  ],
  [
    'a value of 1 MiB is stored whole',
    async (trial) => {
      const text = 'tide'.repeat(MEBIBYTE / 4)
      await trial.set(ID, text)
      await trial.set(OTHER_ID, Buffer.from(text))
      ok((await trial.expectEntry(trial.other, ID)).value === text)
      const { value } = await trial.expectEntry(trial.other, OTHER_ID)
      ok(Buffer.isBuffer(value) && value.equals(Buffer.from(text)))
    },
  ],
  [
    'ids that look alike are told apart, whatever characters are in them',
    async (trial) => {
      const ids = HARD_NAMES.flatMap((name) => [entryId('suite', name), entryId(name, 'a')])
      for (const [index, id] of ids.entries()) await trial.set(id, index)
      const entries = await Promise.all(ids.map(async (id) => trial.other.read(id)))
      deepEqual(
        entries.map((entry) => entry?.value),
        [...ids.keys()],
      )
    },
  ],
  [
    'an id may be 100 KB long',
    async (trial) => {
      const ids = ['a', 'b'].map((end) => entryId('suite', 'k'.repeat(100_000) + end))
      for (const id of ids) await trial.set(id, id.at(-1))
      for (const id of ids) await trial.expectValue(id, id.at(-1))
    },
  ],
  [
    'of many reads at once each gets its own entry',
    async (trial) => {
      const ids = Array.from({ length: 300 }, (_, n) => entryId('suite', String(n)))
      await Promise.all(ids.filter((_, n) => n % 3 !== 0).map(async (id) => trial.set(id, id)))
      const entries = await Promise.all(ids.map(async (id) => trial.other.read(id)))
      deepEqual(
        entries.map((entry) => entry?.value),
        ids.map((id, n) => (n % 3 === 0 ? undefined : id)),
      )
    },
  ],
  [
    'set replaces the value, the windows and the tags',
    async (trial) => {
      await trial.set(ID, 'old', { tags: TAGS, ttlMs: 1000 })
      const draft = trial.draft('new', { ttlMs: 90_000 })
      await trial.store.set(ID, draft)
      await trial.store.invalidate([TAG])
      await trial.expectValue(ID, 'new')
      deepEqual(windowsOf((await trial.store.times([ID]))[0]), windowsOf(draft))
    },
  ],
  [
    'an entry is kept until its grace is over',
    async (trial) => {
      await trial.set(ID, 'old', { ttlMs: 20, swrMs: 20, graceMs: 60_000 })
      await trial.pass(80)
      await trial.expectValue(ID, 'old')
      equal(freshness(await trial.expectEntry(trial.store, ID), trial.now()), 'grace')
    },
  ],
]

const REMOVING: readonly NamedStoreTest[] = [
  [
    'what was removed is gone, and nothing else is',
    async (trial) => {
      await trial.set(ID, 1)
      await trial.set(OTHER_ID, 2)
      await trial.expectValue(ID, 1)
      await trial.other.remove([ID])
      await trial.expectNothing(ID)
      await trial.expectValue(OTHER_ID, 2)
    },
  ],
  [
    'remove answers with the times of the valid entries that were there, in the order it was asked',
    async (trial) => {
      const [first, second] = [trial.draft(1, { ttlMs: 10_000 }), trial.draft(2, { ttlMs: 20_000, graceMs: 5000 })]
      const [none, invalid] = [entryId('suite', 'none'), entryId('suite', 'invalid')]
      await trial.store.set(ID, first)
      await trial.store.set(OTHER_ID, second)
      await trial.set(invalid, 3, { tags: TAGS })
      await trial.store.invalidate([TAG])
      const removed = await trial.store.remove([OTHER_ID, none, invalid, ID])
      const times = [removed[1], removed[2], ...windowsOf(removed[0]), ...windowsOf(removed[3])]
      deepEqual(times, [undefined, undefined, ...windowsOf(second), ...windowsOf(first)])
      deepEqual(removed[3]?.tags, [NAMESPACE])
    },
  ],
  [
    'an id that is asked for twice is removed once',
    async (trial) => {
      await trial.set(ID, 1)
      const [first, second] = await trial.store.remove([ID, ID])
      ok(first !== undefined && second === undefined)
    },
  ],
  [
    'a thousand entries are removed, and looked up, in one call and in order',
    async (trial) => {
      const ids = Array.from({ length: 1000 }, (_, n) => entryId('suite', String(n)))
      const lifetimes = ids.map((_, n) => 60_000 + n)
      await Promise.all(ids.map(async (id, n) => trial.set(id, n, { freshUntil: lifetimes[n]! })))
      const expected = ids.map((_, n) => lifetimes[n])
      deepEqual(
        (await trial.store.times(ids)).map((times) => times?.freshUntil),
        expected,
      )
      deepEqual(
        (await trial.store.remove(ids)).map((times) => times?.freshUntil),
        expected,
      )
      deepEqual(
        await trial.other.times(ids),
        ids.map(() => undefined),
      )
    },
  ],
]

const TIMES: readonly NamedStoreTest[] = [
  [
    'times are those of the valid entries, in the order they were asked for, and change nothing',
    async (trial) => {
      const draft = trial.draft(1, { swrMs: 1000, graceMs: 2000, tags: TAGS })
      await trial.store.set(ID, draft)
      const [none, times, again] = await trial.other.times([OTHER_ID, ID, ID])
      equal(none, undefined)
      deepEqual(windowsOf(times), windowsOf(draft))
      deepEqual([times?.tags, again?.tags], [TAGS, TAGS])
      equal(times?.seq, (await trial.expectEntry(trial.store, ID)).seq)
      await trial.expectValue(ID, 1)
    },
  ],
  [
    'an entry that was invalidated has no times',
    async (trial) => {
      await trial.set(ID, 1, { tags: TAGS })
      await trial.other.invalidate([TAG])
      deepEqual(await trial.store.times([ID]), [undefined])
    },
  ],
  [
    'expire gives an entry new windows, and leaves the rest of it as it was',
    async (trial) => {
      await trial.set(ID, { deep: [new Date(0)] }, { tags: TAGS, swrMs: 5000, graceMs: 5000, loadMs: 7 })
      const { freshUntil, staleUntil, graceUntil, ...before } = await trial.expectEntry(trial.store, ID)
      for (const until of [freshUntil - 10_000, graceUntil + 10_000, staleUntil]) {
        equal(await trial.other.expire(ID, until), true)
        // What it holds: the class is the store's own affair.
        const { ...entry } = await trial.expectEntry(trial.store, ID)
        deepEqual(entry, { ...before, bytes: entry.bytes, freshUntil: until, staleUntil: until, graceUntil: until })
        deepEqual(windowsOf((await trial.store.times([ID]))[0]), [until, until, until])
      }
    },
  ],
  [
    'an entry is kept until the end of the windows that expire gave it',
    async (trial) => {
      await trial.set(ID, 1, { ttlMs: 500 })
      equal(await trial.store.expire(ID, trial.now() + 60_000), true)
      await trial.pass(550)
      await trial.expectValue(ID, 1)
    },
  ],
  [
    'expire does not bring back what is gone',
    async (trial) => {
      await trial.set(ID, 1, { tags: TAGS })
      await trial.set(OTHER_ID, 1)
      await trial.store.invalidate([TAG])
      await trial.store.remove([OTHER_ID])
      const until = trial.now() + 60_000
      deepEqual([await trial.store.expire(ID, until), await trial.store.expire(OTHER_ID, until)], [false, false])
      await trial.expectNothing(ID)
      await trial.expectNothing(OTHER_ID)
    },
  ],
]

const LIFE: readonly NamedStoreTest[] = [
  [
    'a store that is there answers a ping',
    async ({ store, other }) => deepEqual([await store.ping(), await other.ping()], [true, true]),
  ],
  [
    'of those who listen only the last is told',
    async (trial) => {
      const told: string[] = []
      const hearer = (name: string): Parameters<typeof trial.store.listen>[0] => ({
        onEvict: () => told.push(name),
        onFault: () => told.push(name),
        onBytes: () => told.push(name),
      })
      trial.store.listen(hearer('first'))
      trial.store.listen(hearer('last'))
      await trial.set(ID, 1)
      await trial.store.read(ID)
      ok(!told.includes('first'))
    },
  ],
  [
    'close may be called twice, and ping does not reject after it',
    async ({ store }) => {
      await store.close()
      await store.close()
      await store.ping()
    },
  ],
]

export const ENTRY_RULES: readonly NamedStoreTest[] = [...READING, ...REMOVING, ...TIMES, ...LIFE]
