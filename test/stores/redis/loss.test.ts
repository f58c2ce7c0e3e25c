/** Whatever Redis loses or forgets, nothing that was invalidated comes back to life. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { entryId, EVERYTHING, tagStamp } from '../../../src/key.ts'
import type { RedisStore } from '../../../src/stores/redis/redis-store.ts'
import { MAX_STAMPS } from '../../../src/stores/watermark.ts'
import { ID, NAMESPACE, OTHER_ID, OTHER_TAG, StoreTrial, TAG, TAGS } from '../../../src/testing/store-trial.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { RedisStores } from '../../helpers/redis-stores.ts'

const W = 'test:{#0}w'
const T = 'test:{#0}t'
const HOURS = 3_600_000

let server: RedisServer
let stores: RedisStores
let store: RedisStore
let other: RedisStore
let trial: StoreTrial

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  await server.flush()
  stores = new RedisStores(server)
  store = stores.open()
  other = stores.open()
  trial = new StoreTrial(store, other, undefined)
})
afterEach(() => stores.closeAll())

/** What a process sees that has just started. */
async function expectNothingAnew(...ids: readonly string[]): Promise<void> {
  const fresh = stores.open()
  for (const id of ids) expect(await fresh.read(id)).toBeUndefined()
}

describe('what is lost', () => {
  const lossOf: readonly (readonly [what: string, lose: () => Promise<unknown>])[] = [
    ['the watermark', () => server.call('DEL', W)],
    ['the stamps', () => server.call('DEL', T)],
    ['both', () => server.call('DEL', W, T)],
    ['everything', () => server.call('FLUSHALL')],
    ['the marker among the stamps', () => server.call('ZREM', T, '!')],
    ['a marker that was raised: the stamps are older than the watermark', () => server.call('ZADD', T, '1', '!')],
    ['the floor: the watermark is older than the stamps', () => server.call('SET', W, 'abcdefab 1 1 0 0')],
    ['half of the watermark', () => server.call('SETRANGE', W, '4', '\0\0\0\0\0\0\0\0')],
    ['the watermark, for a text of another program', () => server.call('SET', W, 'hello')],
    [
      'the watermark, for a list of another program',
      async () => {
        await server.call('DEL', W)
        await server.call('RPUSH', W, 'hello')
      },
    ],
    ['the stamps, for a text of another program', () => server.call('SET', T, 'hello')],
  ]

  test.each(lossOf)('%s: all is invalid from the next write on, and nothing comes back', async (_, lose) => {
    await trial.set(ID, 'invalid', { tags: TAGS })
    await store.invalidate([TAG])
    await trial.set(OTHER_ID, 'valid')
    const lease = await trial.lead(entryId('suite', 'loading'))
    await trial.expectNothing(ID)
    const watermark = await server.call('GET', W)

    await lose()
    await trial.expectNothing(ID)
    await expectNothingAnew(ID)
    const loaded = trial.loaded(lease, 'from before')
    expect(await store.fill(lease, loaded)).toBe('fenced')

    await trial.set(entryId('suite', 'new'), 'new', { tags: TAGS })
    expect(await server.call('GET', W)).not.toBe(watermark)
    await trial.expectNothing(ID)
    await trial.expectNothing(OTHER_ID)
    await expectNothingAnew(ID, OTHER_ID)
    expect(await store.times([ID, OTHER_ID])).toEqual([undefined, undefined])
    await trial.expectValue(entryId('suite', 'new'), 'new')

    await trial.fill(await trial.lead(OTHER_ID), 'loaded anew')
    await other.invalidate([TAG])
    await trial.expectNothing(entryId('suite', 'new'))
    await trial.expectNothing(ID)
  })

  test.each(lossOf)('%s: whoever reads first, nothing invalid is found meanwhile', async (_, lose) => {
    await trial.set(ID, 'invalid', { tags: TAGS })
    await other.invalidate([TAG])
    await lose()
    await expectNothingAnew(ID)
    expect((await trial.ask(ID)).outcome).toBe('lead')
    expect(await other.remove([ID])).toEqual([undefined])
  })

  test('a process that knew the lost epoch takes nothing of it for valid, nor the other way round', async () => {
    for (let n = 0; n < 5; n++) {
      await trial.set(ID, n, { tags: TAGS })
      await (n % 2 === 0 ? store : other).invalidate([OTHER_TAG])
      await trial.expectValue(ID, n)
      await server.call('DEL', n % 2 === 0 ? W : T)
      await (n % 2 === 0 ? other : store).invalidate([OTHER_TAG])
      await trial.expectNothing(ID)
    }
  })
})

describe('stamps that are forgotten', () => {
  test('when they are older than any entry: the floor rises to them', async () => {
    const forgetful = new StoreTrial(stores.open({ stampsMs: 50 }), other, undefined)
    await forgetful.set(ID, 'invalid', { tags: TAGS })
    await forgetful.set(OTHER_ID, 'from before')
    const early = await forgetful.lead(entryId('suite', 'early'), { tags: [NAMESPACE] })
    await forgetful.store.invalidate([TAG])
    await forgetful.set(entryId('suite', 'after'), 'from after', { tags: TAGS })
    const lease = await forgetful.lead(entryId('suite', 'loading'), { tags: [NAMESPACE] })
    const stamp = Number(await server.call('ZSCORE', T, TAG))
    await forgetful.pass(80)
    await forgetful.expectValue(OTHER_ID, 'from before')

    await forgetful.store.invalidate([OTHER_TAG])
    expect(await server.call('ZRANGE', T, '0', '-1')).toEqual(['!', OTHER_TAG])
    expect(Number(await server.call('ZSCORE', T, '!'))).toBe(stamp)
    expect(String(await server.call('GET', W)).split(' ')[1]).toBe(String(stamp))
    await expectNothingAnew(ID, OTHER_ID)
    for (const id of [ID, OTHER_ID]) await forgetful.expectNothing(id)
    await forgetful.expectValue(entryId('suite', 'after'), 'from after')
    await forgetful.fill(lease, 'loaded', { tags: [NAMESPACE] })
    // Whether the forgotten name was one of its tags is not known any more.
    expect(await other.fill(early, forgetful.loaded(early, 'overtaken', { tags: [NAMESPACE] }))).toBe('fenced')
  })

  test('when there are too many: they are bounded, however many come at once', async () => {
    await trial.set(ID, 'invalid', { tags: TAGS })
    await store.invalidate([TAG])
    await trial.set(OTHER_ID, 'from after')
    for (const from of [0, 60_000, 120_000]) {
      await store.invalidate(Array.from({ length: 60_000 }, (_, n) => tagStamp(String(from + n))))
      expect(await server.call('ZCARD', T)).toBeLessThanOrEqual(MAX_STAMPS)
    }
    await trial.expectNothing(ID)
    await expectNothingAnew(ID, OTHER_ID)
    await trial.set(ID, 'new', { tags: TAGS })
    await trial.expectValue(ID, 'new')
    await other.invalidate([TAG])
    await trial.expectNothing(ID)
  })
})

describe('a server whose clock was an hour ahead and is set back', () => {
  beforeEach(async () => {
    const ahead = String((Date.now() + HOURS) * 1000)
    await server.call('SET', W, `abcdefab ${ahead} ${ahead} 0`)
    await server.call('ZADD', T, ahead, '!')
  })

  test('still gives greater stamps than before', async () => {
    for (let n = 0; n < 3; n++) {
      await trial.set(ID, n, { tags: TAGS })
      const lease = await trial.lead(OTHER_ID)
      await trial.expectValue(ID, n)
      await other.invalidate([TAG])
      await trial.expectNothing(ID)
      expect(await store.fill(lease, trial.loaded(lease, n))).toBe('fenced')
    }
  })

  test('and loses its stamps: what was stored and leased before does not count, what comes after does', async () => {
    const loading = entryId('suite', 'loading')
    await trial.set(ID, 'invalid', { tags: TAGS })
    await other.invalidate([TAG])
    await trial.set(OTHER_ID, 'valid')
    await trial.expectNothing(ID)
    const lease = await trial.lead(loading)
    await server.call('DEL', W)

    expect(await store.fill(lease, trial.loaded(lease, 'from before'))).toBe('fenced')
    await trial.lead(entryId('suite', 'leased'), {}, other)
    await server.call('DEL', T)
    await trial.lead(entryId('suite', 'leased'))
    for (const id of [ID, OTHER_ID, loading]) await trial.expectNothing(id)

    for (let n = 0; n < 3; n++) {
      await trial.set(ID, n, { tags: TAGS })
      await trial.expectValue(ID, n)
      await other.invalidate([TAG])
      await trial.expectNothing(ID)
    }
  })
})

describe('clocks of processes', () => {
  test('that are hours apart take no part in what is valid', async () => {
    const early = stores.open({ clock: { now: () => Date.now() - 5 * HOURS } })
    const late = stores.open({ clock: { now: () => Date.now() + 5 * HOURS } })
    for (const [writer, breaker] of [
      [early, late],
      [late, early],
    ] as const) {
      const skewed = new StoreTrial(writer, breaker, undefined)
      for (const names of [[TAG], [NAMESPACE], [EVERYTHING]]) {
        await skewed.set(ID, 'old', { tags: TAGS })
        const lease = await skewed.lead(OTHER_ID)
        await skewed.expectValue(ID, 'old')
        await breaker.invalidate(names)
        await skewed.expectNothing(ID)
        expect(await writer.fill(lease, skewed.loaded(lease, 'overtaken'))).toBe('fenced')
        await skewed.fill(await skewed.lead(OTHER_ID), 'new')
        await skewed.expectValue(OTHER_ID, 'new')
        await breaker.remove([OTHER_ID])
      }
    }
  })

  test('take no part in how long Redis keeps an entry', async () => {
    const late = stores.open({ clock: { now: () => Date.now() + 5 * HOURS } })
    const storedAt = Date.now() + 5 * HOURS
    await late.set(ID, trial.draft(1, { storedAt, freshUntil: storedAt + 1000, graceUntil: storedAt + 2000 }))
    expect(Number(await server.call('PTTL', 'test:{#0}k:suite:one'))).toBeLessThanOrEqual(2000)
  })
})
