/** Bytes under our keys that are not what we stored there: damaged, mislaid, or another program's. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CacheDeserializationError, type CacheException } from '../../../src/exceptions.ts'
import { EVERYTHING } from '../../../src/key.ts'
import type { RedisStore } from '../../../src/stores/redis/redis-store.ts'
import { CHILD, ID, OTHER_ID, PARENT, StoreTrial, TAG, TAGS } from '../../../src/testing/store-trial.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { RedisStores } from '../../helpers/redis-stores.ts'

const ROOT = 'test:{#0}'
const EPOCH = { from: 4, to: 12 }

let server: RedisServer
let stores: RedisStores
let store: RedisStore
let trial: StoreTrial
let faults: CacheException[]

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  await server.flush()
  stores = new RedisStores(server)
  store = stores.open()
  trial = new StoreTrial(store, stores.open(), undefined)
  faults = []
  store.listen({ onEvict: () => undefined, onFault: (error) => void faults.push(error), onBytes: () => undefined })
})
afterEach(() => stores.closeAll())

async function stored(id: string): Promise<Buffer> {
  return (await store.connection.send(['GET', ROOT + id])) as Buffer
}

async function put(id: string, bytes: Buffer | string): Promise<void> {
  await store.connection.send(['SET', ROOT + id, bytes, 'PX', '60000'])
}

async function expectMissAndFault(id: string, about: string): Promise<void> {
  faults.length = 0
  expect(await store.read(id), about).toBeUndefined()
  expect(faults, about).toHaveLength(1)
  expect(faults[0], about).toBeInstanceOf(CacheDeserializationError)
}

describe('damaged entries', () => {
  test('one that was cut short, wherever, is a miss and a fault', async () => {
    await trial.set(ID, { name: 'tide' }, { tags: TAGS })
    const bytes = await stored(ID)
    for (let length = 1; length < bytes.length; length++) {
      await put(ID, bytes.subarray(0, length))
      await expectMissAndFault(ID, `cut at ${length}`)
    }
  })

  test('one with a flipped bit, wherever, is a miss, and a fault unless it is of another epoch', async () => {
    await trial.set(ID, { name: 'tide' }, { tags: TAGS })
    const bytes = await stored(ID)
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 1 << (at % 8)
      await put(ID, flipped)
      if (at < EPOCH.from || at >= EPOCH.to) await expectMissAndFault(ID, `flipped at ${at}`)
      else expect(await store.read(ID)).toBeUndefined()
    }
  })

  test("another key's entry is a miss and a fault", async () => {
    await trial.set(ID, 'one')
    await put(OTHER_ID, await stored(ID))
    await expectMissAndFault(OTHER_ID, 'mislaid')
    expect(await store.times([OTHER_ID])).toEqual([undefined])
  })

  test('a fault names no value', async () => {
    await trial.set(ID, 'a secret of the user')
    const bytes = await stored(ID)
    bytes[bytes.length - 2]! ^= 1
    await put(ID, bytes)
    await store.read(ID)
    expect(faults.map(String).join('\n')).not.toContain('secret')
  })

  test('a child whose parent is damaged is a miss', async () => {
    await trial.fill(await trial.leadChild(CHILD), 'a')
    await put(PARENT, (await stored(PARENT)).subarray(0, 20))
    expect(await store.read(CHILD, PARENT)).toBeUndefined()
    await trial.fill(await trial.leadChild(CHILD), 'b')
    await trial.expectValue(CHILD, 'b', PARENT)
  })

  test.each([
    ['cut within its stamp', 20],
    ['cut within its name', 33],
    ['cut within its header', 60],
    ['cut within its body', -1],
  ])('one that is %s may be replaced, and removed, as if it were not there', async (_, end) => {
    for (const way of ['fill', 'set', 'remove'] as const) {
      await trial.set(ID, { name: 'tide' }, { tags: TAGS })
      await put(ID, (await stored(ID)).subarray(0, end))
      expect(await store.expire(ID, Date.now() + 1000)).toBe(end === -1)
      if (way === 'fill') await trial.fill(await trial.lead(ID), 'new')
      if (way === 'set') await trial.set(ID, 'new')
      if (way === 'remove') await store.remove([ID])
      if (way === 'remove') expect(await server.call('EXISTS', ROOT + ID)).toBe(0)
      else await trial.expectValue(ID, 'new')
    }
  })
})

describe('values of another type', () => {
  const asList = async (id: string): Promise<void> => {
    await server.call('DEL', ROOT + id)
    await server.call('RPUSH', ROOT + id, 'a list')
  }

  test('are not there, and can be replaced and removed', async () => {
    await asList(ID)
    expect(await store.read(ID)).toBeUndefined()
    expect(await store.times([ID])).toEqual([undefined])
    expect(await store.expire(ID, Date.now() + 1000)).toBe(false)
    await trial.fill(await trial.lead(ID), 'loaded')
    await trial.expectValue(ID, 'loaded')
    await asList(ID)
    await trial.set(ID, 'set')
    await trial.expectValue(ID, 'set')
    await asList(ID)
    expect(await store.remove([ID])).toEqual([undefined])
    expect(await server.call('EXISTS', ROOT + ID)).toBe(0)
  })

  test('in the place of a lease are no lease', async () => {
    const lease = await trial.lead(ID)
    await asList('l:suite:one')
    expect(await store.fill(lease, trial.loaded(lease, 1))).toBe('fenced')
    await trial.fill(await trial.lead(ID), 'loaded')
    await trial.expectValue(ID, 'loaded')
    for (const text of ['', 'x', 'twelve bytes', 'a text that is longer than a lease is']) {
      await put('l:suite:one', text)
      await trial.fill(await trial.lead(ID, { steal: true }), text)
      await trial.expectValue(ID, text)
    }
  })

  test('in the place of a parent are no parent', async () => {
    const lease = await trial.leadChild(CHILD)
    await asList(PARENT)
    expect(await store.fill(lease, trial.loaded(lease, 1))).toBe('fenced')
    await trial.fill(await trial.leadChild(CHILD), 'a')
    await trial.expectValue(CHILD, 'a', PARENT)
  })
})

describe('plain strings of another program', () => {
  const texts = ['hello', '0', '{"a":1}', 'größe', 'x'.repeat(100_000), 'T', 'a text as long as a stamp and a name....']

  test('are strings, or Buffers if they are not to be decoded', async () => {
    const undecoded = stores.open({ decodeResponses: false })
    for (const text of texts) {
      await put(ID, text)
      expect((await store.read(ID))?.value === text).toBe(true)
      const entry = await undecoded.read(ID)
      expect(entry?.shareable).toBe(false)
      expect(Buffer.from(text).equals(entry?.value as Buffer)).toBe(true)
    }
    expect(faults).toEqual([])
  })

  test('have no tags, and so are not invalidated', async () => {
    await put(ID, 'hello')
    await store.invalidate([TAG, EVERYTHING])
    await trial.expectValue(ID, 'hello')
    expect((await store.read(ID))?.tags).toEqual([])
  })

  test('have the times that Redis gives them', async () => {
    for (const text of ['', ...texts]) {
      await put(ID, text)
      const [times] = await store.times([ID])
      expect(times?.freshUntil).toBeGreaterThan(Date.now() + 50_000)
      expect(times?.freshUntil).toBeLessThanOrEqual(Date.now() + 60_000)
      expect(await store.expire(ID, Date.now() + 5000)).toBe(true)
      expect(await server.call('PTTL', ROOT + ID)).toBeLessThanOrEqual(5000)
      expect((await store.read(ID))?.value === text).toBe(true)
    }
    await server.call('PERSIST', ROOT + ID)
    expect((await store.times([ID]))[0]?.freshUntil).toBe(Infinity)
  })

  test('are removed and replaced like any other', async () => {
    await put(ID, 'hello')
    expect(await store.remove([ID, OTHER_ID])).toEqual([expect.objectContaining({ tags: [] }), undefined])
    await trial.expectNothing(ID)
    await put(ID, 'hello')
    await trial.set(ID, 'ours')
    await trial.expectValue(ID, 'ours')
  })
})
