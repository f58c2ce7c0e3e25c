/** What stands in Redis, how many commands a call takes, and whose keys are left alone. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { createCache } from '../../../src/create-cache.ts'
import type { CacheManager } from '../../../src/cache-manager.ts'
import { EVERYTHING, entryId, tagStamp } from '../../../src/key.ts'
import type { RedisStore } from '../../../src/stores/redis/redis-store.ts'
import { CHILD, ID, NAMESPACE, OTHER_ID, PARENT, StoreTrial, TAG, TAGS } from '../../../src/testing/store-trial.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { RedisStores } from '../../helpers/redis-stores.ts'
import { Wire } from '../../helpers/wire.ts'

const ROOT = 'test:{#0}'

let server: RedisServer
let wire: Wire
let stores: RedisStores
let store: RedisStore
let other: RedisStore
let trial: StoreTrial

beforeAll(async () => {
  server = await startRedis()
  wire = await Wire.tap(server)
})
afterAll(async () => {
  wire.close()
  await server.stop()
})
beforeEach(async () => {
  await server.flush()
  stores = new RedisStores(server)
  store = stores.open()
  other = stores.open()
  trial = new StoreTrial(store, other, undefined)
  // So that the connections are there when commands are counted.
  await Promise.all([store.ping(), other.ping()])
})
afterEach(() => stores.closeAll())

async function keys(): Promise<readonly string[]> {
  return ((await server.call('KEYS', '*')) as string[]).toSorted()
}

async function state(): Promise<{ epoch: string; floor: number; seq: number }> {
  const [epoch, floor, seq] = String(await server.call('GET', `${ROOT}w`)).split(' ')
  return { epoch: epoch!, floor: Number(floor), seq: Number(seq) }
}

async function stamps(): Promise<Map<string, number>> {
  const flat = (await server.call('ZRANGE', `${ROOT}t`, '0', '-1', 'WITHSCORES')) as string[]
  return new Map(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, Number(flat[i + 1])] as const] : [])))
}

async function pttl(name: string): Promise<number> {
  return Number(await server.call('PTTL', ROOT + name))
}

describe('what stands in Redis', () => {
  test('an entry under its id, beside the watermark and the stamps, all on one slot', async () => {
    await trial.set(entryId('users', 'user_1'), 1)
    expect(await keys()).toEqual([`${ROOT}k:users:user_1`, `${ROOT}m`, `${ROOT}t`, `${ROOT}w`])
    const entry = (await store.connection.send(['GET', `${ROOT}k:users:user_1`])) as Buffer
    const { epoch, seq } = await state()
    expect(entry.subarray(0, 12)).toEqual(Buffer.concat([Buffer.from('f7544d01', 'hex'), Buffer.from(epoch)]))
    expect([entry.readDoubleBE(12), entry.readDoubleBE(20)]).toEqual([seq, seq])
  })

  test('a lease beside its entry; a parent, its child and the lease of that', async () => {
    await trial.lead(ID)
    const lease = await trial.leadChild(CHILD)
    expect(await keys()).toEqual(
      ['l:suite:one', 'lv:suite:one\0a', 'm', 'p:suite:one', 't', 'w'].map((name) => ROOT + name),
    )
    await trial.fill(lease, 'a')
    expect(await keys()).toEqual(
      ['l:suite:one', 'm', 'p:suite:one', 't', 'v:suite:one\0a', 'w'].map((name) => ROOT + name),
    )
  })

  test('the watermark and its stamps: tags, namespaces and everything, hard and soft, and the floor', async () => {
    await store.invalidate([TAG, NAMESPACE])
    await store.invalidate([EVERYTHING, TAG], { soft: true })
    const { epoch, floor, seq } = await state()
    expect(epoch).toMatch(/^[0-9a-f]{8}$/)
    const found = await stamps()
    expect([...found.keys()].toSorted()).toEqual(['!', 'n:suite', 't:red', '~*', '~t:red'])
    expect(found.get('!')).toBe(floor)
    expect([found.get('~*'), found.get('~t:red')]).toEqual([seq, seq])
    expect(found.get('t:red')).toBe(found.get('n:suite'))
    expect([floor, found.get('t:red')!, seq]).toEqual([floor, found.get('t:red')!, seq].toSorted((x, y) => x - y))
    expect(found.get('t:red')).toBeLessThan(seq)
  })

  test('stamps are microseconds of the server, and grow however fast they come', async () => {
    const [seconds, micros] = ((await server.call('TIME')) as string[]).map(Number)
    await Promise.all(Array.from({ length: 200 }, async (_, n) => store.invalidate([tagStamp(String(n))])))
    const found = await stamps()
    expect(new Set(found.values()).size).toBe(201)
    const { seq } = await state()
    expect(seq - (seconds! * 1e6 + micros!)).toBeGreaterThan(0)
    expect(seq - (seconds! * 1e6 + micros!)).toBeLessThan(20e6)
  })

  test('nothing outlives its windows', async () => {
    const within = async (name: string, ms: number): Promise<void> => {
      const left = await pttl(name)
      expect(left).toBeGreaterThan(0)
      expect(left).toBeLessThanOrEqual(ms)
    }
    await trial.set(ID, 1, { ttlMs: 10_000, swrMs: 2000, graceMs: 3000 })
    await within('k:suite:one', 15_000)
    await store.expire(ID, Date.now() + 5000)
    await within('k:suite:one', 5000)
    await trial.fill(await trial.lead(OTHER_ID), 2, { ttlMs: 7000 })
    await within('k:suite:two', 7000)
    const lease = await trial.leadChild(CHILD, { leaseMs: 4000, parentMs: 6000 })
    await within('lv:suite:one\0a', 4000)
    await within('p:suite:one', 6000)
    await store.extend(lease, 9000)
    await within('lv:suite:one\0a', 9000)
    await trial.fill(lease, 'a', { ttlMs: 8000 })
    await within('v:suite:one\0a', 8000)
    await within('p:suite:one', 8000)
    const brief = await trial.lead(ID, { steal: true })
    await trial.fill(brief, 1, { ttlMs: 0.4 })
    expect(await pttl('k:suite:one')).toBeLessThanOrEqual(1)
  })

  test('prefixes do not meet', async () => {
    const stranger = new StoreTrial(
      stores.open({ keyPrefix: 'other:' }),
      stores.open({ keyPrefix: 'other:' }),
      undefined,
    )
    await trial.set(ID, 'ours', { tags: TAGS })
    await stranger.set(ID, 'theirs', { tags: TAGS })
    await stranger.store.invalidate([EVERYTHING])
    await stranger.expectNothing(ID)
    await trial.expectValue(ID, 'ours')
  })

  test('clear leaves every key of others in the database as it was', async () => {
    const names = Array.from({ length: 10_000 }, (_, n) => `foreign:${n}`)
    const lookalikes = ['test:', 'test:k:suite:one', 'test:{#1}k:suite:one', 'test', '{#0}w', '{#0}t', 'k:suite:one']
    const all = [...names, ...lookalikes]
    await server.call('MSET', ...all.flatMap((name) => [name, `value of ${name}`]))
    await server.call('ZADD', 'scores', '1', '!')
    await trial.set(ID, 1)
    await store.invalidate([EVERYTHING])
    await trial.expectNothing(ID)
    expect(await server.call('MGET', ...all)).toEqual(all.map((name) => `value of ${name}`))
    expect(await server.call('ZSCORE', 'scores', '!')).toBe('1')
  })

  test('bytes read and written are told', async () => {
    const told = { read: 0, written: 0 }
    const onBytes = (read: number, written: number): void => {
      told.read += read
      told.written += written
    }
    store.listen({ onEvict: () => undefined, onFault: () => undefined, onBytes })
    await trial.set(ID, 'x'.repeat(1000))
    const storedBytes = async (): Promise<number> => Number(await server.call('STRLEN', `${ROOT}k:suite:one`))
    const length = await storedBytes()
    expect(told).toEqual({ read: 0, written: length })
    await store.read(ID)
    await store.read(OTHER_ID)
    expect(told).toEqual({ read: length, written: length })
    await trial.fill(await trial.lead(ID, { steal: true }), 'x'.repeat(1000))
    expect(told.written).toBe(length + (await storedBytes()))
  })
})

describe('commands per call of the store', () => {
  test('many reads of one tick are one MGET, whoever makes them', async () => {
    const ids = Array.from({ length: 100 }, (_, n) => entryId('suite', String(n)))
    for (const id of ids.slice(0, 50)) await trial.set(id, id)
    const commands = await wire.during(async () => {
      const entries = await Promise.all([...ids, ...ids].map((id) => store.read(id)))
      expect(entries.filter((entry) => entry !== undefined)).toHaveLength(100)
    })
    expect(commands).toEqual(['MGET'])
  })

  test('those woken by one reply share the next', async () => {
    const readTwice = async (n: number): Promise<unknown> =>
      (await store.read(ID)) ?? store.read(entryId('suite', String(n)))
    const commands = await wire.during(() => Promise.all(Array.from({ length: 50 }, (_, n) => readTwice(n))))
    expect(commands).toEqual(['MGET', 'MGET'])
  })

  test('a child and its parent are read together', async () => {
    await trial.fill(await trial.leadChild(CHILD), 'a')
    expect(await wire.during(() => store.read(CHILD, PARENT))).toEqual(['MGET'])
  })

  test('after invalidations by another process one SYNC serves all who read, and the next hit needs none', async () => {
    const ids = Array.from({ length: 50 }, (_, n) => entryId('suite', String(n)))
    for (const id of ids) await trial.set(id, id, { tags: TAGS })
    const readAll = (): Promise<unknown> => Promise.all(ids.map((id) => store.read(id)))
    await other.invalidate([tagStamp('first')])
    await readAll()
    for (let n = 0; n < 20; n++) await other.invalidate([tagStamp(String(n))])
    expect(await wire.during(readAll)).toEqual(['MGET', 'EVALSHA SYNC'])
    expect(await wire.during(readAll)).toEqual(['MGET'])
  })

  test('an entry from after the last invalidation needs no stamps to be known', async () => {
    await other.invalidate([TAG])
    await trial.set(ID, 1, { tags: TAGS })
    expect(await wire.during(() => store.read(ID))).toEqual(['MGET'])
  })

  test('whoever asks to load what was invalidated is not sent it first', async () => {
    await trial.lead(OTHER_ID)
    await trial.set(ID, 'x'.repeat(100_000), { tags: TAGS })
    await other.invalidate([TAG])
    let bytes = 0
    store.listen({ onEvict: () => undefined, onFault: () => undefined, onBytes: (read) => (bytes += read) })
    expect(await wire.during(() => trial.lead(ID))).toEqual(['EVALSHA ACQUIRE'])
    expect((await trial.ask(ID)).outcome).toBe('busy')
    expect(bytes).toBe(0)
  })

  test('removing and looking up take one command for a hundred ids', async () => {
    const ids = Array.from({ length: 100 }, (_, n) => entryId('suite', String(n)))
    await trial.store.remove(ids)
    await trial.store.times(ids)
    expect(await wire.during(() => store.remove(ids))).toEqual(['EVALSHA REMOVE'])
    expect(await wire.during(() => store.times(ids))).toEqual(['EVALSHA HEADERS'])
  })
})

describe('commands per call of the cache', () => {
  let cache: CacheManager

  const filled = (): Promise<void> => new Promise((resolve) => void cache.on('fill', () => resolve()))

  beforeEach(async () => {
    cache = createCache({ redis: { url: server.url }, cache: { keyPrefix: 'test:' } })
    // So that Redis knows each script, and the connection is there.
    const fill = filled()
    await cache.getOrSet('warm', () => 1, { tags: ['warm'] })
    await fill
    await cache.set('warm', 1)
    await cache.ttl('warm')
    await cache.delete('warm')
    await cache.clear()
  })
  afterEach(() => cache.close())

  test('a hit takes one', async () => {
    await cache.set('a', { n: 1 }, { tags: ['t'] })
    expect(await wire.during(() => cache.get('a'))).toEqual(['MGET'])
    expect(await wire.during(() => cache.getOrSet('a', () => 2))).toEqual(['MGET'])
  })

  test('a miss takes one to read, one to be given the lease and one to fill', async () => {
    const commands = await wire.during(async () => {
      const fill = filled()
      await cache.getOrSet('a', () => 1, { tags: ['t'] })
      await fill
    })
    expect(commands).toEqual(['MGET', 'EVALSHA ACQUIRE', 'EVALSHA FILL'])
  })

  test('fifty callers who miss together take no more than one', async () => {
    const commands = await wire.during(async () => {
      const fill = filled()
      const callers = Array.from({ length: 50 }, () => cache.getOrSet('a', () => 1))
      expect(await Promise.all(callers)).toEqual(Array.from({ length: 50 }, () => 1))
      await fill
    })
    expect(commands).toEqual(['MGET', 'EVALSHA ACQUIRE', 'EVALSHA FILL'])
  })

  test('set, delete, exists and ttl take one', async () => {
    expect(await wire.during(() => cache.set('a', 1, { tags: ['t'] }))).toEqual(['EVALSHA SET'])
    expect(await wire.during(() => cache.exists(['a', 'b']))).toEqual(['EVALSHA HEADERS'])
    expect(await wire.during(() => cache.ttl('a'))).toEqual(['EVALSHA HEADERS'])
    expect(await wire.during(() => cache.delete(['a', 'b', 'c']))).toEqual(['EVALSHA REMOVE'])
  })

  test('an invalidation takes one, however many entries it reaches', async () => {
    // Fewer at once than would open another connection, which begins with a greeting.
    for (const count of [1, 200]) {
      const entries = Array.from({ length: count }, (_, n) => [`key ${n}`, n] as const)
      await cache.setMany(entries, { tags: ['t'] })
      expect(await wire.during(() => cache.invalidateTags(['t', 'u']))).toEqual(['EVALSHA INVALIDATE'])
      expect(await cache.exists(entries.map(([key]) => key))).toBe(0)
      await cache.setMany(entries)
      expect(await wire.during(() => cache.clear())).toEqual(['EVALSHA INVALIDATE'])
      expect(await cache.exists(entries.map(([key]) => key))).toBe(0)
    }
  })
})

test('windows are given to the entry that is there, also if it was replaced a moment ago', async () => {
  await trial.set(ID, 'old', { ttlMs: 10_000 })
  const { connection } = store
  const run = connection.run.bind(connection)
  vi.spyOn(connection, 'run').mockImplementationOnce(async (...args) => {
    const reply = await run(...args)
    await other.set(ID, trial.draft('new, and longer', { ttlMs: 20_000 }))
    return reply
  })
  const until = Date.now() + 30_000
  expect(await store.expire(ID, until)).toBe(true)
  await trial.expectValue(ID, 'new, and longer')
  expect((await other.times([ID]))[0]?.freshUntil).toBe(until)
})

describe('scripts', () => {
  test('are sent whole once, and by their names from then on', async () => {
    const set = (): Promise<void> => trial.set(ID, 1)
    await store.read(ID)
    expect(await wire.during(set)).toEqual(['EVAL'])
    expect(await wire.during(set)).toEqual(['EVALSHA SET'])
    await server.call('SCRIPT', 'FLUSH')
    expect(await wire.during(set)).toEqual(['EVALSHA SET', 'EVAL'])
    expect(await wire.during(set)).toEqual(['EVALSHA SET'])
  })

  test('are sent again if Redis has forgotten them, and nothing is lost', async () => {
    const flush = (): Promise<unknown> => server.call('SCRIPT', 'FLUSH')
    await flush()
    const lease = await trial.lead(ID)
    await flush()
    await trial.fill(lease, 1)
    await flush()
    await trial.expectValue(ID, 1)
    await other.invalidate([TAG])
    await flush()
    await trial.expectNothing(ID)
    await flush()
    expect(await store.remove([ID])).toEqual([undefined])
  })
})
