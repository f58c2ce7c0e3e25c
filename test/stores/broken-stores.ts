/** Stores each of which breaks the contract in one way, to prove that the suite notices. */
import { AssertionError } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { ManualClock, storeSuite, type StoreUnderTest } from 'tidemark/testing'
import type { EntryDraft } from '../../src/entry.ts'
import { EVERYTHING } from '../../src/key.ts'
import { MemoryStore } from '../../src/stores/memory.ts'
import type { AcquireOptions, Lease, Store, StoreListener } from '../../src/stores/store.ts'

/** What a store does otherwise than the one it stands on. */
export type BreakStore = (store: MemoryStore, clock: ManualClock) => Partial<Store>

export interface BrokenStore {
  readonly name: string
  /** Rules that must notice, among others. */
  readonly broken: readonly string[]
  readonly breakStore: BreakStore
}

const noticedRules = new Map<BreakStore, Promise<readonly string[]>>()

/** The names of the rules that a store breaks. */
export function noticedBy(breakStore: BreakStore): Promise<readonly string[]> {
  const noticed = noticedRules.get(breakStore) ?? runRules(breakStore)
  noticedRules.set(breakStore, noticed)
  return noticed
}

async function runRules(breakStore: BreakStore): Promise<readonly string[]> {
  const noticed: string[] = []
  for (const { name, run } of storeSuite({ makeStore: () => makeBrokenStore(breakStore) })) {
    try {
      await run()
    } catch (error) {
      if (!(error instanceof AssertionError)) throw new Error(`expected '${name}' to assert`, { cause: error })
      noticed.push(name)
    }
  }
  return noticed
}

function makeBrokenStore(breakStore: BreakStore): StoreUnderTest {
  const clock = new ManualClock()
  const store = new MemoryStore({ maxEntries: 10_000, maxBytes: 16e6, strategy: 'LRU', stampsMs: 86_400_000, clock })
  return { store: { ...methodsOf(store), ...breakStore(store, clock) }, clock, dispose: () => store.close() }
}

function methodsOf(store: MemoryStore): Store {
  return {
    read: (id, parentId) => store.read(id, parentId),
    acquire: (id, options) => store.acquire(id, options),
    extend: (lease, leaseMs) => store.extend(lease, leaseMs),
    fill: (lease, draft) => store.fill(lease, draft),
    release: (lease, tags) => store.release(lease, tags),
    set: (id, draft) => store.set(id, draft),
    remove: (ids) => store.remove(ids),
    times: (ids) => store.times(ids),
    expire: (id, freshUntil) => store.expire(id, freshUntil),
    invalidate: (stamps, options) => store.invalidate(stamps, options),
    watch: (id) => store.watch(id),
    ping: () => store.ping(),
    listen: (listener) => store.listen(listener),
    close: () => store.close(),
  }
}

/** A store that keeps entries under other ids than it is given. */
function renaming(store: MemoryStore, rename: (id: string) => string): Partial<Store> {
  return {
    read: (id, parentId) => store.read(rename(id), parentId),
    acquire: (id, options) => store.acquire(rename(id), options),
    set: (id, draft) => store.set(rename(id), draft),
    remove: (ids) => store.remove(ids.map(rename)),
    times: (ids) => store.times(ids.map(rename)),
    expire: (id, freshUntil) => store.expire(rename(id), freshUntil),
  }
}

/** A store that keeps something else than what it is given. */
function altering(store: MemoryStore, alter: (draft: EntryDraft) => EntryDraft): Partial<Store> {
  return {
    set: (id, draft) => store.set(id, alter(draft)),
    fill: (lease, draft) => store.fill(lease, alter(draft)),
  }
}

function orphaned(lease: Lease): Lease {
  return { ...lease, parent: undefined }
}

function asking(store: MemoryStore, alter: (options: AcquireOptions, id: string) => AcquireOptions): Partial<Store> {
  return { acquire: (id, options) => store.acquire(id, alter(options, id)) }
}

const ENTRIES: readonly BrokenStore[] = [
  {
    name: 'keeps values as JSON',
    broken: ['values keep their types'],
    breakStore: (store) =>
      altering(store, (draft) => {
        const text = JSON.stringify(draft.value, (_, value: unknown) => (typeof value === 'bigint' ? 0 : value))
        return { ...draft, value: JSON.parse(text) as unknown }
      }),
  },
  {
    name: 'forgets what was said of an entry',
    broken: [
      'an entry comes back with all that was said of it, in every process',
      'an entry that says there is nothing says so when it is read',
    ],
    breakStore: (store) => altering(store, (draft) => ({ ...draft, negative: false, loadMs: 0 })),
  },
  {
    name: 'keeps nothing large',
    broken: ['a value of 1 MiB is stored whole'],
    breakStore: (store) => ({ set: (id, draft) => (draft.bytes > 500_000 ? undefined : store.set(id, draft)) }),
  },
  {
    name: 'folds the letters of ids',
    broken: ['ids that look alike are told apart, whatever characters are in them'],
    breakStore: (store) => renaming(store, (id) => id.toLowerCase()),
  },
  {
    name: 'ends ids at a NUL',
    broken: ['ids that look alike are told apart, whatever characters are in them'],
    breakStore: (store) => renaming(store, (id) => id.split('\0', 1)[0]!),
  },
  {
    name: 'cuts ids',
    broken: ['an id may be 100 KB long'],
    breakStore: (store) => renaming(store, (id) => id.slice(0, 65_536)),
  },
  {
    name: 'forgets entries when they are no longer fresh',
    broken: ['an entry is kept until its grace is over'],
    breakStore: (store, clock) => ({
      read(id, parentId) {
        const entry = store.read(id, parentId)
        return entry !== undefined && entry.freshUntil > clock.now() ? entry : undefined
      },
    }),
  },
  {
    name: 'adds tags instead of replacing them',
    broken: [
      'set replaces the value, the windows and the tags',
      'a load replaces the value, the windows and the tags of what was there',
    ],
    breakStore: (store) => {
      const withTags = (id: string, draft: EntryDraft): EntryDraft => {
        return { ...draft, tags: [...draft.tags, ...(store.read(id)?.tags ?? [])] }
      }
      return {
        set: (id, draft) => store.set(id, withTags(id, draft)),
        fill: (lease, draft) => store.fill(lease, withTags(lease.id, draft)),
      }
    },
  },
  {
    name: 'mixes up who reads what',
    broken: ['of many reads at once each gets its own entry'],
    breakStore(store) {
      let isReading = false
      return {
        async read(id, parentId) {
          if (isReading) return store.read('another', parentId)
          isReading = true
          await Promise.resolve()
          isReading = false
          return store.read(id, parentId)
        },
      }
    },
  },
  {
    name: 'keeps what it has read',
    broken: [
      'what was removed is gone, and nothing else is',
      'each round of setting, invalidating and reading sees the round before it, in every process',
    ],
    breakStore(store) {
      const kept = new Map<string, ReturnType<MemoryStore['read']>>()
      return {
        read(id, parentId) {
          const entry = kept.get(id) ?? store.read(id, parentId)
          if (entry !== undefined) kept.set(id, entry)
          return entry
        },
      }
    },
  },
  {
    name: 'answers for what was there in an order of its own',
    broken: [
      'remove answers with the times of the valid entries that were there, in the order it was asked',
      'times are those of the valid entries, in the order they were asked for, and change nothing',
      'a thousand entries are removed, and looked up, in one call and in order',
    ],
    breakStore: (store) => ({
      remove: (ids) => store.remove(ids).toReversed(),
      times: (ids) => store.times(ids).toReversed(),
    }),
  },
  {
    name: 'answers before it removes',
    broken: ['an id that is asked for twice is removed once'],
    breakStore: (store) => ({
      remove(ids) {
        const times = store.times(ids)
        store.remove(ids)
        return times
      },
    }),
  },
  {
    name: 'answers times of what never was',
    broken: ['where nothing is stored nothing is found', 'an entry that was invalidated has no times'],
    breakStore: (store) => ({
      times: (ids) =>
        store.times(ids).map((times) => times ?? { freshUntil: 1, staleUntil: 1, graceUntil: 1, seq: 0, tags: [] }),
    }),
  },
  {
    name: 'says that it gave new windows and does not',
    broken: ['expire gives an entry new windows, and leaves the rest of it as it was'],
    breakStore: (store) => ({ expire: (id) => store.times([id])[0] !== undefined }),
  },
  {
    name: 'drops an entry when its first windows are over',
    broken: ['an entry is kept until the end of the windows that expire gave it'],
    breakStore(store, clock) {
      return {
        read(id, parentId) {
          const entry = store.read(id, parentId)
          return entry !== undefined && clock.now() - entry.storedAt < 540 ? entry : undefined
        },
      }
    },
  },
  {
    name: 'makes an entry anew to give it windows',
    broken: ['expire does not bring back what is gone'],
    breakStore(store) {
      const drafts = new Map<string, EntryDraft>()
      return {
        set(id, draft) {
          drafts.set(id, draft)
          store.set(id, draft)
        },
        expire(id, freshUntil) {
          const draft = drafts.get(id)
          if (draft !== undefined)
            store.set(id, { ...draft, freshUntil, staleUntil: freshUntil, graceUntil: freshUntil })
          return draft !== undefined
        },
      }
    },
  },
  {
    name: 'never answers a ping',
    broken: ['a store that is there answers a ping'],
    breakStore: () => ({ ping: () => false }),
  },
  {
    name: 'tells everyone who ever listened',
    broken: ['of those who listen only the last is told'],
    breakStore(store) {
      const listeners: StoreListener[] = []
      return {
        listen: (listener) => void listeners.push(listener),
        read(id, parentId) {
          for (const listener of listeners) listener.onBytes(1, 0)
          return store.read(id, parentId)
        },
      }
    },
  },
  {
    name: 'cannot be closed twice',
    broken: ['close may be called twice, and ping does not reject after it'],
    breakStore(store) {
      let isClosed = false
      return {
        async close() {
          if (isClosed) throw new AssertionError({ message: 'closed' })
          isClosed = true
          await store.close()
        },
      }
    },
  },
]

const LEASES: readonly BrokenStore[] = [
  {
    name: 'lets everyone load',
    broken: [
      'while one loads everyone else is told that it is busy, in every process',
      'of many who ask at once one leads',
      'each child has a lease of its own',
      'a lease that is renewed lasts from then on',
      'a load is not refused for the invalidation of others',
    ],
    breakStore: (store) => ({
      acquire(id, options) {
        const acquired = store.acquire(id, options)
        return acquired.outcome === 'busy' ? store.acquire(id, { ...options, steal: true }) : acquired
      },
    }),
  },
  {
    name: 'gives every lease the same name',
    broken: [
      'whoever asks first for what is not there may load it',
      'a lease is for one id, and no two have the same token',
    ],
    breakStore: (store) => ({
      acquire(id, options) {
        const acquired = store.acquire(id, options)
        return acquired.outcome === 'lead' ? { ...acquired, lease: { ...acquired.lease, token: 'lease' } } : acquired
      },
    }),
  },
  {
    name: 'forgets where a lease stood among the stamps',
    broken: [
      'an entry is as old as the beginning of its load',
      'a load is not refused for what was invalidated before it began',
    ],
    breakStore: (store) => ({
      acquire(id, options) {
        const acquired = store.acquire(id, options)
        return acquired.outcome === 'lead' ? { ...acquired, lease: { ...acquired.lease, seq: 0 } } : acquired
      },
    }),
  },
  {
    name: 'gives an entry another name than that of its lease',
    broken: ['what was loaded is there for everyone, under the name and the seq of its lease'],
    breakStore: (store) => ({
      fill: (lease, draft) => store.fill(lease, { ...draft, entryId: 'fedcba9876543210' }),
    }),
  },
  {
    name: 'leads whoever asks, whatever is stored',
    broken: [
      'whoever asks after a load is answered with its entry',
      'whoever has seen another entry is answered with the one that is there',
    ],
    breakStore: (store) => ({
      acquire(id, options) {
        const acquired = store.acquire(id, options)
        return acquired.outcome === 'hit' ? store.acquire(id, { ...options, steal: true }) : acquired
      },
    }),
  },
  {
    name: 'does not let anybody replace what is stored',
    broken: [
      'whoever has seen the entry may replace it, one at a time',
      'a stale copy is there until a load replaces it, which is fresh',
    ],
    breakStore: (store) => asking(store, (options) => ({ ...options, seen: undefined })),
  },
  {
    name: 'lets nobody steal',
    broken: [
      'a lease can be stolen from whoever holds it, and its fill is refused then',
      'a lease can be stolen whatever is stored',
    ],
    breakStore: (store) => asking(store, (options) => ({ ...options, steal: false })),
  },
  {
    name: 'never ends a lease by itself',
    broken: ['whoever holds a lease beyond its time is replaced, and its fill is refused then'],
    breakStore: (store) => asking(store, (options) => ({ ...options, leaseMs: 1e12 })),
  },
  {
    name: 'does not renew a lease',
    broken: ['a lease that is renewed lasts from then on', 'a value that is set wins over the loads in flight'],
    breakStore: () => ({ extend: () => true }),
  },
  {
    name: 'keeps a lease that is released',
    broken: [
      'a lease that was released stores nothing, then or later, and the next who asks leads',
      'a load that stores nothing is told if another value is set meanwhile',
      'the load of a child that stores nothing is told if its parent was removed meanwhile',
      'a load that stores nothing is told if its id is removed meanwhile',
    ],
    breakStore: () => ({ release: () => 'released' }),
  },
  {
    name: 'removes what is stored when nothing is loaded',
    broken: ['a release leaves what is stored as it is'],
    breakStore: (store) => ({
      release(lease, tags) {
        const verdict = store.release(lease, tags)
        store.remove([lease.id])
        return verdict
      },
    }),
  },
  {
    name: 'stores a load without a lease',
    broken: [
      'a lease is good for one fill',
      'a load is refused if its id is removed meanwhile',
      'a child is refused if its parent was removed meanwhile',
      'a tag that is learnt from what was loaded fences as if it had been known before',
    ],
    breakStore: (store) => ({
      fill(lease, draft) {
        if (store.fill(lease, draft) === 'fenced') store.set(lease.id, draft)
        return 'stored'
      },
    }),
  },
  {
    name: 'says that it refused a load and stores it',
    broken: [
      'a load is refused if one of its tags is invalidated meanwhile',
      'a load is refused if one of its tags is invalidated softly meanwhile',
      'a load is refused if its namespace is invalidated meanwhile',
      'a load is refused if everything is invalidated meanwhile',
      'a load is refused if everything is invalidated softly meanwhile',
      'nobody waits for a load that will be refused: its id is removed',
    ],
    breakStore: (store) => ({
      fill(lease, draft) {
        const verdict = store.fill(lease, draft)
        if (verdict === 'fenced') store.set(lease.id, draft)
        return verdict
      },
    }),
  },
  {
    name: 'fences by the tags that were known before the load alone',
    broken: ['a tag that is learnt from what was loaded fences as if it had been known before'],
    breakStore(store) {
      const known = new Map<string, readonly string[]>()
      return {
        acquire(id, options) {
          known.set(id, options.tags)
          return store.acquire(id, options)
        },
        fill: (lease, draft) => store.fill(lease, { ...draft, tags: known.get(lease.id) ?? [] }),
      }
    },
  },
  {
    name: 'keeps the tags that were known before the load alone',
    broken: ['a tag that is learnt from what was loaded speaks for the entry'],
    breakStore(store) {
      const known = new Map<string, readonly string[]>()
      return {
        acquire(id, options) {
          known.set(id, options.tags)
          return store.acquire(id, options)
        },
        fill(lease, draft) {
          const verdict = store.release(lease, draft.tags)
          if (verdict === 'fenced') return verdict
          store.set(lease.id, { ...draft, tags: known.get(lease.id) ?? [] })
          return 'stored'
        },
      }
    },
  },
  {
    name: 'lets others wait for a load that will be refused',
    broken: [
      'nobody waits for a load that will be refused: one of its tags is invalidated',
      'nobody waits for a load that will be refused: its namespace is invalidated',
      'nobody waits for a load that will be refused: everything is invalidated softly',
      'nobody waits for the load of a child whose parent was removed, or made anew',
    ],
    breakStore(store) {
      const loading = new Set<string>()
      const ending = <T>(lease: Lease, verdict: T): T => {
        loading.delete(lease.id)
        return verdict
      }
      return {
        acquire(id, options) {
          if (loading.has(id) && options.steal !== true) return { outcome: 'busy' }
          const acquired = store.acquire(id, options)
          if (acquired.outcome === 'lead' && options.leaseMs > 1000) loading.add(id)
          return acquired
        },
        fill: (lease, draft) => ending(lease, store.fill(lease, draft)),
        release: (lease, tags) => ending(lease, store.release(lease, tags)),
      }
    },
  },
]

const INVALIDATIONS: readonly BrokenStore[] = [
  {
    name: 'stamps the first name alone',
    broken: ['several names invalidate whatever bears one of them'],
    breakStore: (store) => ({ invalidate: (stamps, soft) => store.invalidate(stamps.slice(0, 1), soft) }),
  },
  {
    name: 'stamps everything',
    broken: [
      'a tag invalidates the entries that bear it, in all namespaces, and no others',
      'a namespace invalidates its entries and no others',
      'a name that nobody bears invalidates nothing, nor does no name at all',
      'a tag of a child invalidates that child alone',
      'a soft invalidation reaches those who bear the name, and no others',
    ],
    breakStore: (store) => ({ invalidate: (_, soft) => store.invalidate([EVERYTHING], soft) }),
  },
  {
    name: 'stamps nothing',
    broken: [
      'a name may hold any character',
      'one invalidation reaches two thousand entries',
      'an invalidated entry is not there for whoever asks to load it',
      'also for a caller who knows none of its tags',
      'a namespace invalidates parents with their children, and refuses those in flight',
    ],
    breakStore: () => ({ invalidate: () => undefined }),
  },
  {
    name: 'does not know everything',
    broken: ['everything invalidates every entry, also those that bear no name'],
    breakStore: (store) => ({
      invalidate: (stamps, soft) =>
        store.invalidate(
          stamps.map((name) => (name === EVERYTHING ? 'n:suite' : name)),
          soft,
        ),
    }),
  },
  {
    name: 'remembers the last stamp alone',
    broken: ['what was invalidated stays so, whatever is invalidated or stored afterwards'],
    breakStore(store) {
      const gone = new Map<string, EntryDraft>()
      return {
        set(id, draft) {
          if (!gone.has(id)) gone.set(id, draft)
          store.set(id, draft)
        },
        invalidate(stamps, soft) {
          store.invalidate(stamps, soft)
          for (const [id, draft] of gone) if (stamps.includes('t:3')) store.set(id, draft)
        },
      }
    },
  },
  {
    name: 'gives up what is invalidated softly',
    broken: ['what is invalidated softly remains as a stale copy until its grace is over'],
    breakStore: (store) => ({ invalidate: (stamps) => store.invalidate(stamps) }),
  },
  {
    name: 'keeps stale copies of everything',
    broken: ['what is invalidated both softly and not is gone, in whichever order'],
    breakStore: (store) => ({ invalidate: (stamps) => store.invalidate(stamps, { soft: true }) }),
  },
]

const PARENTS: readonly BrokenStore[] = [
  {
    name: 'does not look at the parent',
    broken: [
      'a child is not there under another parent, nor is an entry that hangs on none',
      'removing the parent removes all its children',
      'a parent that is made anew does not bring back the children of the one before',
    ],
    breakStore: (store) => ({ read: (id) => store.read(id) }),
  },
  {
    name: 'looks only whether there is a parent',
    broken: ['a parent that is made anew does not bring back the children of the one before'],
    breakStore: (store) => ({
      read: (id, parentId) => (parentId === undefined || store.read(parentId) ? store.read(id) : undefined),
    }),
  },
  {
    name: 'makes a parent for each child',
    broken: ['whoever is to load a child is told its parent, which is made if it is not there'],
    breakStore: (store) => ({
      ...asking(store, (options, id) =>
        options.parentId === undefined ? options : { ...options, parentId: `p${id}` },
      ),
      read: (id, parentId) => store.read(id, parentId && `p${id}`),
    }),
  },
  {
    name: 'forgets the name of the parent',
    broken: ['a child is read with its parent, and bears its name'],
    breakStore: (store) => altering(store, (draft) => ({ ...draft, parentId: undefined })),
  },
  {
    name: 'refuses no child',
    broken: [
      'a child is refused if its parent was removed meanwhile',
      'a child is refused also if its parent was made anew',
    ],
    breakStore: (store) => ({
      fill: (lease, draft) => store.fill(orphaned(lease), draft),
    }),
  },
  {
    name: 'keeps a parent no longer than was asked',
    broken: ['a parent that had to be made is kept for as long as was asked, and as long as its longest-lived child'],
    breakStore: (store, clock) => ({
      fill(lease, draft) {
        const verdict = store.fill(lease, draft)
        if (lease.parent !== undefined) store.expire(lease.parent.id, clock.now() + 500)
        return verdict
      },
    }),
  },
]

const WAITING: readonly BrokenStore[] = [
  {
    name: 'knows no holds',
    broken: ['a name on hold is not filled until the hold is over'],
    breakStore: (store) => ({
      invalidate: (stamps, options) => store.invalidate(stamps, { ...options, holdMs: 0 }),
    }),
  },
  {
    name: 'holds up what is set, too',
    broken: ['what is set is stored also while its names are on hold'],
    breakStore(store) {
      let isHeld = false
      return {
        invalidate(stamps, options) {
          isHeld = options?.holdMs !== undefined
          return store.invalidate(stamps, options)
        },
        set: (id, draft) => (isHeld ? undefined : store.set(id, draft)),
      }
    },
  },
  {
    name: 'tells nobody of the end of a lease',
    broken: ['who watches a lease is told when it ends: filled, released, removed or set over'],
    breakStore: () => ({ watch: () => ({ ended: (withinMs) => sleep(withinMs), stop: () => undefined }) }),
  },
  {
    name: 'keeps those who watch a lease until it ends',
    broken: ['who watches a lease that does not end waits no longer than asked'],
    breakStore: (store) => ({
      watch(id) {
        const watch = store.watch(id)
        return { ended: (withinMs) => watch.ended(withinMs === 30 ? 5000 : withinMs), stop: () => watch.stop() }
      },
    }),
  },
]

export const BROKEN_STORES: readonly BrokenStore[] = [...ENTRIES, ...LEASES, ...INVALIDATIONS, ...PARENTS, ...WAITING]
