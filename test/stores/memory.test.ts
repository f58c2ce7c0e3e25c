/** What is special about the store in memory: its bounds, and that it forgets without ever believing what was invalid. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { entryId, tagStamp } from '../../src/key.ts'
import { MemoryStore, type MemoryStoreOptions } from '../../src/stores/memory.ts'
import { MAX_STAMPS } from '../../src/stores/watermark.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { ID, NAMESPACE, OTHER_ID, StoreTrial, TAG, TAGS } from '../../src/testing/store-trial.ts'

const DAY_MS = 86_400_000

interface Opened {
  readonly store: MemoryStore
  readonly trial: StoreTrial
  readonly clock: ManualClock
  readonly evicted: string[]
}

function open(options: Partial<MemoryStoreOptions> = {}): Opened {
  const clock = new ManualClock()
  const defaults = { maxEntries: 1000, maxBytes: 1e7, strategy: 'LRU', stampsMs: DAY_MS, clock } as const
  const store = new MemoryStore({ ...defaults, ...options })
  const evicted: string[] = []
  store.listen({ onEvict: (id) => evicted.push(id), onFault: () => undefined, onBytes: () => undefined })
  return { store, trial: new StoreTrial(store, store, clock), clock, evicted }
}

const ids = ['a', 'b', 'c', 'd'].map((name) => entryId('suite', name))
const [a, b, c, d] = ids as [string, string, string, string]

async function left(trial: StoreTrial): Promise<readonly string[]> {
  const times = await trial.store.times(ids)
  return ids.filter((_, n) => times[n] !== undefined)
}

describe('bounds', () => {
  test('LRU gives up what was not used for the longest time', async () => {
    const { trial, store, evicted } = open({ maxEntries: 3, strategy: 'LRU' })
    for (const id of [a, b, c]) await trial.set(id, id)
    store.read(a)
    await trial.set(d, d)
    expect(evicted).toEqual([b])
    expect(await left(trial)).toEqual([a, c, d])
  })

  test('FIFO gives up the oldest, whatever was used', async () => {
    const { trial, store, evicted } = open({ maxEntries: 3, strategy: 'FIFO' })
    for (const id of [a, b, c]) await trial.set(id, id)
    store.read(a)
    await trial.set(d, d)
    expect(evicted).toEqual([a])
    expect(await left(trial)).toEqual([b, c, d])
  })

  test.each(['LRU', 'FIFO'] as const)('%s: an entry that is stored anew is young again', async (strategy) => {
    const { trial, evicted } = open({ maxEntries: 3, strategy })
    for (const id of [a, b, c, a, d]) await trial.set(id, id)
    expect(evicted).toEqual([b])
  })

  test('entries are given up so that their bytes stay within the bound', async () => {
    const { trial, evicted } = open({ maxBytes: 10_500 })
    for (const id of ids) await trial.set(id, 'x'.repeat(3000))
    expect(evicted).toEqual([a])
    expect(await left(trial)).toEqual([b, c, d])
  })

  test('bytes are those of the value in memory, of the id, and of what stands around them', async () => {
    const { trial } = open({ maxBytes: 100_000 })
    for (let n = 0; n < 500; n++) await trial.set(entryId('suite', String(n)), 1)
    const kept = await trial.store.times(Array.from({ length: 500 }, (_, n) => entryId('suite', String(n))))
    const count = kept.filter((times) => times !== undefined).length
    expect(count).toBeGreaterThan(200)
    expect(count).toBeLessThan(251)
    await trial.set(entryId('suite', 'k'.repeat(45_000)), 1)
    const after = await trial.store.times(Array.from({ length: 500 }, (_, n) => entryId('suite', String(n))))
    expect(after.filter((times) => times !== undefined).length).toBeLessThan(count / 4)
  })

  test('tags count', async () => {
    const { trial } = open({ maxBytes: 100_000 })
    const tags = Array.from({ length: 100 }, (_, n) => tagStamp(`tag ${n}`))
    for (const id of ids) await trial.set(id, 1, { tags })
    for (let n = 0; n < 30; n++) await trial.set(entryId('suite', String(n)), 1, { tags })
    expect(await left(trial)).toEqual([])
  })

  test('an entry that alone exceeds the bound is not kept, nor is what it was to replace, and all else is', async () => {
    const { trial, evicted } = open({ maxBytes: 10_000 })
    await trial.set(a, 1)
    await trial.set(b, 2)
    await trial.set(a, 'x'.repeat(10_000))
    expect(evicted).toEqual([a])
    expect(await left(trial)).toEqual([b])
  })

  test('a load that is too large is stored for nobody, and the next who asks leads', async () => {
    const { trial, evicted } = open({ maxBytes: 10_000 })
    await trial.fill(await trial.lead(a), 'x'.repeat(10_000))
    expect(evicted).toEqual([a])
    await trial.lead(a)
  })

  test('what is removed, replaced, invalidated or cleared by close is not said to be given up', async () => {
    const { trial, store, evicted } = open({ maxEntries: 2 })
    await trial.set(a, 1)
    await trial.set(a, 2)
    store.remove([a])
    await trial.set(b, 1, { tags: TAGS })
    store.invalidate([TAG])
    store.read(b)
    await trial.set(c, 1)
    await store.close()
    expect(evicted).toEqual([])
  })
})

describe('a hit', () => {
  test('is answered at once, without a promise', async () => {
    const { trial, store } = open()
    await trial.set(ID, { a: 1 })
    expect(store.read(ID)).toMatchObject({ value: { a: 1 } })
    expect(store.read(OTHER_ID)).toBeUndefined()
  })

  test('hands out the very object that is stored', async () => {
    const { trial, store } = open()
    await trial.set(ID, { a: 1 })
    expect(store.read(ID)?.value).toBe(store.read(ID)?.value)
  })
})

describe('stamps', () => {
  test('grow also while the clock stands still or goes back', async () => {
    let now = Date.UTC(2026, 0, 1)
    const { trial, store } = open({ clock: { now: () => now } })
    for (const step of [0, -3_600_000, 0, 1, -1]) {
      now += step
      await trial.set(ID, step, { tags: TAGS })
      await trial.expectValue(ID, step)
      store.invalidate([TAG])
      await trial.expectNothing(ID)
    }
  })

  test('that are older than any entry are forgotten, and nothing that was invalid becomes valid', async () => {
    const { trial, store, clock } = open({ stampsMs: 60_000 })
    const facts = { ttlMs: DAY_MS }
    await trial.set(a, 'invalid', { ...facts, tags: TAGS })
    await trial.set(b, 'from before')
    const lease = await trial.lead(d)
    store.invalidate([TAG])
    await trial.set(c, 'from after', { ...facts, tags: TAGS })
    expect(await left(trial)).toEqual([b, c])

    clock.advance('61s')
    store.invalidate([tagStamp('other')])
    // Whether `b` bears the forgotten name is not known any more: it is as old as what does.
    expect(await left(trial)).toEqual([c])
    expect(store.fill(lease, trial.loaded(lease, 1, { tags: [NAMESPACE] }))).toBe('fenced')
  })

  test('that are still needed are not forgotten', async () => {
    const { trial, store, clock } = open({ stampsMs: 60_000 })
    await trial.set(b, 'from before')
    store.invalidate([TAG])
    clock.advance('59s')
    store.invalidate([tagStamp('other')])
    expect(await left(trial)).toEqual([b])
  })

  test('are forgotten from the oldest on when there are too many, and nothing that was invalid becomes valid', async () => {
    const { trial, store } = open()
    const names = (from: number): string[] =>
      Array.from({ length: MAX_STAMPS / 2 }, (_, n) => tagStamp(String(from + n)))
    await trial.set(a, 'invalid', { tags: TAGS })
    await trial.set(b, 'from before')
    store.invalidate([TAG])
    await trial.set(c, 'from after')
    store.invalidate(names(0))
    expect(await left(trial)).toEqual([b, c])
    store.invalidate(names(MAX_STAMPS))
    expect(await left(trial)).toEqual([c])
    store.invalidate(names(2 * MAX_STAMPS))
    expect(await left(trial)).toEqual([])
    await trial.set(d, 'new')
    expect(await left(trial)).toEqual([d])
  })
})

describe('names on hold', () => {
  test('that are too many become everything, until the last of them ends', async () => {
    const { store, trial, clock } = open()
    store.invalidate([TAG], { holdMs: 60_000 })
    for (let n = 0; n < 10_000; n++) store.invalidate([tagStamp(String(n))], { holdMs: 30_000 })
    const fill = async (): Promise<string> => store.fill(await trial.lead(OTHER_ID), trial.draft('new'))
    expect(await fill()).toBe('fenced')
    clock.advance('59s')
    expect(await fill()).toBe('fenced')
    clock.advance('1s')
    expect(await fill()).toBe('stored')
  })

  test('that outlast those before them go on', async () => {
    const { store, trial, clock } = open()
    store.invalidate([TAG], { holdMs: 60_000 })
    store.invalidate(['t:short'], { holdMs: 1000 })
    clock.advance('2s')
    store.invalidate(['t:other'], { holdMs: 1000 })
    const lease = await trial.lead(ID, { tags: TAGS })
    expect(store.fill(lease, trial.loaded(lease, 'new'))).toBe('fenced')
  })
})

describe('leases', () => {
  test('a load that blocked this process beyond its lease is stored, if nobody took it', async () => {
    const { trial, clock } = open()
    const lease = await trial.lead(ID, { leaseMs: 1000 })
    clock.advance('1h')
    await trial.fill(lease, 'late')
    await trial.expectValue(ID, 'late')
  })

  test('that nobody ends are given up when there are many, the oldest first', async () => {
    const { trial, store, clock } = open()
    const first = await trial.lead(a, { leaseMs: 1000 })
    const second = await trial.lead(b, { leaseMs: 1000 })
    for (let n = 0; n < 998; n++) await trial.lead(entryId('suite', String(n)), { leaseMs: 1000 })
    expect(store.extend(first, 1000)).toBe(true)
    clock.advance('1h')
    await trial.lead(c)
    expect(store.fill(second, trial.loaded(second, 1))).toBe('fenced')
    expect(store.fill(first, trial.loaded(first, 1))).toBe('stored')
  })

  test('that are in force are all kept, however many there are', async () => {
    const { trial, store } = open()
    const first = await trial.lead(a)
    for (let n = 0; n < 3000; n++) await trial.lead(entryId('suite', String(n)))
    expect(store.fill(first, trial.loaded(first, 1))).toBe('stored')
  })
})

describe('a clock of the machine that is set', () => {
  const HOUR_MS = 3_600_000

  function openSettable(): Opened & { set(byMs: number): void; pass(ms: number): void } {
    let wall = Date.UTC(2026, 0, 1)
    let passed = 5
    const opened = open({ clock: { now: () => wall, passed: () => passed } })
    const set = (byMs: number): void => void (wall += byMs)
    const pass = (ms: number): void => {
      passed += ms
      wall += ms
    }
    return { ...opened, set, pass }
  }

  test.each([HOUR_MS, -HOUR_MS])('by %s ms neither ends a lease nor prolongs it', (byMs) => {
    const { store, set, pass } = openSettable()
    const ask = (): string => store.acquire(ID, { tags: TAGS, leaseMs: 1000 }).outcome
    expect(ask()).toBe('lead')
    set(byMs)
    pass(999)
    expect(ask()).toBe('busy')
    pass(1)
    expect(ask()).toBe('lead')
  })

  test.each([HOUR_MS, -HOUR_MS])('by %s ms neither ends a hold nor prolongs it', (byMs) => {
    const { store, set, pass } = openSettable()
    const load = (): string => {
      const acquired = store.acquire(ID, { tags: TAGS, leaseMs: 1000 })
      return acquired.outcome === 'lead' ? store.release(acquired.lease, TAGS) : acquired.outcome
    }
    store.invalidate([TAG], { holdMs: 1000 })
    set(byMs)
    pass(999)
    expect(load()).toBe('fenced')
    pass(1)
    expect(load()).toBe('released')
  })

  test('by default is not what they go by', () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    const { store } = open({ clock: systemClock })
    expect(store.acquire(ID, { tags: TAGS, leaseMs: 60_000 }).outcome).toBe('lead')
    vi.setSystemTime(Date.now() + HOUR_MS)
    expect(store.acquire(ID, { tags: TAGS, leaseMs: 60_000 }).outcome).toBe('busy')
  })
})
