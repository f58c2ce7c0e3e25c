import {
  CacheConfigurationError,
  CacheKeyError,
  CacheSerializationError,
  type CacheManager,
  type SetOptions,
} from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import { snapshot } from '../src/codec/snapshot.ts'
import { lifeOf, newDraft } from '../src/entry.ts'
import { namespaceStamp, parentId, variantId } from '../src/key.ts'
import { cachesOver, STORES } from './helpers/caches.ts'
import { Loader } from './helpers/loader.ts'

describe.each(STORES)('a cache over %s', (kind) => {
  const { create, createTwo } = cachesOver(kind)
  let clock: ManualClock
  let cache: CacheManager

  beforeEach(() => {
    clock = new ManualClock()
    cache = create({ clock })
  })

  describe('get and set', () => {
    test.each([
      [null],
      [0],
      [''],
      [false],
      [[]],
      ['text'],
      [{ a: { b: [1, null] } }],
      [new Date(5)],
      [Buffer.from('ab')],
      [new Uint8Array([1, 2])],
      [10n],
      [Number.NaN],
      [new Map([['a', new Set([1])]])],
    ])('%o is a value like others', async (value) => {
      await cache.set('a', value)
      const got = await cache.get('a')
      expect(got).toStrictEqual(value)
      expect(Object.getPrototypeOf(Object(got))).toBe(Object.getPrototypeOf(Object(value)))
    })

    test('what is not there is undefined', async () => {
      expect(await cache.get('a')).toBeUndefined()
    })

    test('a value is typed by whoever asks', async () => {
      expectTypeOf(await cache.get<{ id: number }>('a')).toEqualTypeOf<{ id: number } | undefined>()
    })

    test('a set replaces the value and its windows', async () => {
      await cache.set('a', 1, { ttl: 10 })
      await cache.set('a', 2, { ttl: 20 })
      expect([await cache.get('a'), await cache.ttl('a')]).toEqual([2, 20])
    })

    test('a value is fresh for its ttl, and not a millisecond longer', async () => {
      await cache.set('a', 1, { ttl: '2s' })
      clock.advance('1999ms')
      expect(await cache.get('a')).toBe(1)
      clock.advance('1ms')
      expect(await cache.get('a')).toBeUndefined()
    })

    test('a stale value is not served by get', async () => {
      await cache.set('a', 1, { ttl: 1, swr: 60, grace: 60 })
      clock.advance('1s')
      expect(await cache.get('a')).toBeUndefined()
      expect(await cache.exists('a')).toBe(0)
      expect(await cache.ttl('a')).toBeUndefined()
    })

    test('what was set cannot be changed by changing what was given', async () => {
      const value = { list: [1], at: new Date(5) }
      await cache.set('a', value)
      value.list.push(2)
      value.at.setTime(0)
      expect(await cache.get('a')).toEqual({ list: [1], at: new Date(5) })
    })

    test('what comes out is frozen; what cannot be frozen is a copy', async () => {
      await cache.set('a', { list: [1], at: new Date(5), seen: new Map([['x', 1]]), bytes: Buffer.from('ab') })
      const got = (await cache.get<{ list: number[]; at: Date; seen: Map<string, number>; bytes: Buffer }>('a'))!
      expect(() => got.list.push(2)).toThrow(TypeError)
      got.at.setTime(0)
      got.seen.clear()
      got.bytes.fill(0)
      expect(await cache.get('a')).toEqual({
        list: [1],
        at: new Date(5),
        seen: new Map([['x', 1]]),
        bytes: Buffer.from('ab'),
      })
    })

    test.each([
      [{ rows: [{ run: () => {} }] }, 'rows[0].run: a function cannot be stored'],
      [{ id: Symbol('x') }, 'id: a symbol cannot be stored'],
      [undefined, 'value: undefined cannot be stored'],
    ])('what cannot be stored is refused by its path: %o', async (value, message) => {
      const refusal = cache.set('a', value)
      await expect(refusal).rejects.toThrow(CacheSerializationError)
      await expect(refusal).rejects.toMatchObject({ message, key: 'a', namespace: '' })
      expect(await cache.exists('a')).toBe(0)
    })

    test('one tag may stand alone', async () => {
      await cache.set('a', 1, { tags: 'red' })
      expect(await cache.getOrSet('b', () => 2, { tags: 'red' })).toBe(2)
      await cache.invalidateTags('red')
      expect(await cache.exists(['a', 'b'])).toBe(0)
    })

    test('a cycle is refused by its path', async () => {
      const loop: Record<string, unknown> = {}
      loop['self'] = { loop }
      await expect(cache.set('a', loop)).rejects.toThrow('self.loop: a cycle cannot be stored')
    })

    test.each([
      [{ ttl: -1 }, 'ttl'],
      [{ ttl: 0 }, 'ttl'],
      [{ swr: 'soon' }, 'swr'],
      [{ grace: Number.NaN }, 'grace'],
      [{ tags: 7 }, 'tags'],
      [{ forceRefresh: true }, 'forceRefresh'],
      [{ soft: true }, 'soft'],
    ])('a bad option is refused by name: %o', async (options, name) => {
      const refusal = cache.set('a', 1, options as SetOptions)
      await expect(refusal).rejects.toThrow(CacheConfigurationError)
      await expect(refusal).rejects.toThrow(new RegExp(`${name}: expected .*, got `))
      expect(await cache.exists('a')).toBe(0)
    })

    test('several are got and set at once, in their order', async () => {
      await cache.setMany(Object.entries({ a: 1, b: null }), { ttl: 60, namespace: 'n' })
      await cache.setMany(new Map([['c', 0]]))
      expect(await cache.getMany(['b', 'x', 'a'], { namespace: 'n' })).toEqual([null, undefined, 1])
      expect(await cache.getMany(['c'])).toEqual([0])
      expect(await cache.getMany([])).toEqual([])
    })

    test('a value is got whether it was asked to be compressed or not', async () => {
      const value = 'x'.repeat(100_000)
      await cache.set('a', value, { compress: true })
      await cache.set('b', value, { compress: false })
      expect(await cache.getMany(['a', 'b'])).toEqual([value, value])
    })
  })

  describe('ttl', () => {
    test('is an hour, unless somebody says otherwise', async () => {
      await cache.set('a', 1)
      expect(await cache.ttl('a')).toBe(3600)
    })

    test.each([
      [5, 5],
      ['250ms', 0.25],
      ['30s', 30],
      ['5m', 300],
      ['1h', 3600],
      ['1d', 86_400],
      ['7d', 86_400],
      [1e9, 86_400],
    ] as const)('%j is %d seconds; a day is the longest', async (ttl, seconds) => {
      await cache.set('a', 1, { ttl })
      expect(await cache.ttl('a')).toBe(seconds)
    })

    test('a configured default and maximum hold', async () => {
      const short = create({ clock, cache: { defaultTtl: '1m', maxTtl: '2m' } })
      await short.set('a', 1)
      await short.set('b', 1, { ttl: '3m', swr: '3m' })
      expect(await short.ttl('a')).toBe(60)
      expect(await short.ttl('b')).toBe(120)
    })

    test('counts down, and is undefined for what is not there', async () => {
      await cache.set('a', 1, { ttl: 10 })
      clock.advance('2500ms')
      expect(await cache.ttl('a')).toBe(7.5)
      expect(await cache.ttl('b')).toBeUndefined()
      clock.advance('7500ms')
      expect(await cache.ttl('a')).toBeUndefined()
    })
  })

  describe('expire', () => {
    test('gives a new ttl from now on', async () => {
      await cache.set('a', 1, { ttl: 10 })
      clock.advance('5s')
      expect(await cache.expire('a', '1m')).toBe(true)
      expect(await cache.ttl('a')).toBe(60)
      expect(await cache.get('a')).toBe(1)
      expect(await cache.expire('a', 1)).toBe(true)
      expect(await cache.ttl('a')).toBe(1)
    })

    test('is clamped, and leaves no stale windows', async () => {
      await cache.set('a', 1, { ttl: 10, swr: 1000, grace: 1000 })
      expect(await cache.expire('a', '7d')).toBe(true)
      expect(await cache.ttl('a')).toBe(86_400)
      await cache.expire('a', 5)
      clock.advance('5s')
      expect(await cache.getOrSet('a', () => 2)).toBe(2)
    })

    test('is false for what is not there, or not fresh any more', async () => {
      expect(await cache.expire('a', 5)).toBe(false)
      await cache.set('a', 1, { ttl: 1, grace: 60 })
      clock.advance('1s')
      expect(await cache.expire('a', 5)).toBe(false)
      expect(await cache.get('a')).toBeUndefined()
    })

    test("is false for the name of a route's responses, which keep their windows", async () => {
      const { store } = cache.parts
      const [id, parent] = [variantId('', 'a', 'v'), parentId('', 'a')]
      const about = { tags: [namespaceStamp('')], leaseMs: 1000, parentId: parent, parentMs: 60_000 }
      const acquired = await store.acquire(id, about)
      if (acquired.outcome !== 'lead') throw new Error('expected a lease')
      const { lease } = acquired
      const facts = {
        entryId: lease.token,
        parentId: lease.parent?.entryId,
        loadMs: 0,
        tags: about.tags,
        negative: false,
      }
      const life = lifeOf({ ttlMs: 10_000, swrMs: 0, graceMs: 0 }, clock.now())
      expect(await store.fill(lease, newDraft(snapshot('response'), life, facts))).toBe('stored')
      expect(await cache.ttl('a')).toBe(10)
      expect(await cache.expire('a', 60)).toBe(false)
      expect(await cache.ttl('a')).toBe(10)
    })

    test('refuses a ttl that is none', async () => {
      await cache.set('a', 1)
      await expect(cache.expire('a', 0)).rejects.toThrow(CacheConfigurationError)
      await expect(cache.expire('a', -1)).rejects.toThrow('ttl: expected a duration above zero')
      expect(await cache.get('a')).toBe(1)
    })
  })

  describe('delete and exists', () => {
    test('count what was fresh', async () => {
      await cache.set('a', 1)
      await cache.set('b', null)
      await cache.set('old', 1, { ttl: 1, swr: 60 })
      clock.advance('1s')
      expect(await cache.exists('a')).toBe(1)
      expect(await cache.exists(['a', 'b', 'old', 'x'])).toBe(2)
      expect(await cache.delete(['a', 'b', 'old', 'x'])).toBe(2)
      expect(await cache.exists(['a', 'b', 'old'])).toBe(0)
      expect(await cache.delete('a')).toBe(0)
    })

    test('count a key once that is named twice, and none that is not named', async () => {
      await cache.set('a', 1)
      expect(await cache.exists(['a', 'a'])).toBe(1)
      expect(await cache.exists([])).toBe(0)
      expect(await cache.delete([])).toBe(0)
      expect(await cache.delete(['a', 'a'])).toBe(1)
    })

    test('more keys than one command takes', async () => {
      const keys = Array.from({ length: 450 }, (_, i) => `k${i}`)
      await cache.setMany(keys.map((key) => [key, 1] as const))
      expect(await cache.exists(keys)).toBe(450)
      expect(await cache.delete([...keys, 'x'])).toBe(450)
      expect(await cache.getMany(keys)).toEqual(keys.map(() => undefined))
    })

    test('delete takes stale copies away, too', async () => {
      await cache.set('a', 1, { ttl: 1, swr: 60, grace: 60 })
      clock.advance('1s')
      await cache.delete('a')
      await expect(cache.getOrSet('a', () => Promise.reject(new Error('down')))).rejects.toThrow('down')
    })
  })

  describe('keys', () => {
    const BAD = ['', '\uD800', 5, undefined, null, {}]

    test.each(BAD.map((bad) => [bad]))('%j is refused by every method', async (bad) => {
      const key = bad as string
      const calls = [
        cache.get(key),
        cache.set(key, 1),
        cache.delete(key),
        cache.delete(['ok', key]),
        cache.exists(key),
        cache.ttl(key),
        cache.expire(key, 1),
        cache.getOrSet(key, () => 1),
        cache.begin(key),
        cache.getMany([key]),
        cache.invalidateTags(key),
        cache.invalidateTags(['ok', key]),
        cache.set('ok', 1, { tags: [key] }),
      ]
      for (const call of calls) await expect(call).rejects.toThrow(CacheKeyError)
      expect(await cache.exists('ok')).toBe(0)
    })

    test.each([['\uD800'], [5], [null], [{}]])('%j is refused as a namespace', async (bad) => {
      const namespace = bad as string
      const calls = [
        cache.get('a', { namespace }),
        cache.set('a', 1, { namespace }),
        cache.delete('a', { namespace }),
        cache.getOrSet('a', () => 1, { namespace }),
        cache.clear({ namespace }),
      ]
      for (const call of calls) await expect(call).rejects.toThrow(CacheKeyError)
      expect(() => cache.namespace(namespace)).toThrow(CacheKeyError)
    })

    test.each([['a:b'], ['{x}'], ['*'], ['\0'], ['a\r\nb'], ['ключ'], ['😀'], ['__proto__'], ['x'.repeat(10_000)]])(
      '%j is a key like others',
      async (key) => {
        await cache.set(key, 1, { namespace: 'n' })
        expect(await cache.get(key, { namespace: 'n' })).toBe(1)
        expect(await cache.delete(key, { namespace: 'n' })).toBe(1)
      },
    )
  })

  describe('namespaces', () => {
    test('a key belongs to one', async () => {
      await cache.set('a', 1)
      await cache.set('a', 2, { namespace: 'n' })
      expect(await cache.get('a')).toBe(1)
      expect(await cache.get('a', { namespace: 'n' })).toBe(2)
      expect(await cache.delete('a', { namespace: 'n' })).toBe(1)
      expect(await cache.get('a')).toBe(1)
    })

    test('`a:b` + `c` is not `a` + `b:c`', async () => {
      await cache.set('c', 1, { namespace: 'a:b' })
      expect(await cache.get('b:c', { namespace: 'a' })).toBeUndefined()
    })

    test('one may be preset, and overridden by a call', async () => {
      const users = cache.namespace('users')
      await users.set('a', 1)
      expect(await cache.get('a', { namespace: 'users' })).toBe(1)
      expect(await users.get('a')).toBe(1)
      expect(await users.get('a', { namespace: '' })).toBeUndefined()
      expect(await users.getOrSet('a', () => 2, { namespace: 'other' })).toBe(2)
      expect(await users.namespace('other').get('a')).toBe(2)
    })

    test('clearing one leaves the others', async () => {
      for (const namespace of ['', 'a', 'b']) await cache.set('k', 1, { namespace })
      await cache.clear({ namespace: 'a' })
      expect(await cache.exists('k')).toBe(1)
      expect(await cache.exists('k', { namespace: 'a' })).toBe(0)
      expect(await cache.exists('k', { namespace: 'b' })).toBe(1)
      await cache.namespace('b').clear()
      expect(await cache.exists('k', { namespace: 'b' })).toBe(0)
      expect(await cache.exists('k')).toBe(1)
    })

    test('clearing the default one leaves the others, however it is named', async () => {
      for (const clear of [() => cache.clear({ namespace: '' }), () => cache.namespace('').clear()]) {
        for (const namespace of ['', 'a']) await cache.set('k', 1, { namespace })
        await clear()
        expect(await cache.exists('k')).toBe(0)
        expect(await cache.exists('k', { namespace: 'a' })).toBe(1)
      }
    })

    test('clearing without one clears all of them', async () => {
      for (const namespace of ['', 'a', 'b']) await cache.set('k', 1, { namespace })
      await cache.clear()
      for (const namespace of ['', 'a', 'b']) expect(await cache.exists('k', { namespace })).toBe(0)
      await cache.set('k', 2)
      expect(await cache.get('k')).toBe(2)
    })
  })

  describe('tags', () => {
    beforeEach(async () => {
      await cache.set('red', 1, { tags: ['red'] })
      await cache.set('both', 2, { tags: ['red', 'blue'], namespace: 'n' })
      await cache.set('none', 3)
    })

    const left = async (): Promise<unknown[]> => [
      await cache.get('red'),
      await cache.get('both', { namespace: 'n' }),
      await cache.get('none'),
    ]

    test('an invalidation reaches all entries that bear the tag, over all namespaces, and no others', async () => {
      await cache.invalidateTags('blue')
      expect(await left()).toEqual([1, undefined, 3])
      await cache.invalidateTags('red')
      expect(await left()).toEqual([undefined, undefined, 3])
    })

    test('several at once', async () => {
      await cache.invalidateTags(['unknown', 'red'])
      expect(await left()).toEqual([undefined, undefined, 3])
      await cache.invalidateTags([])
      expect(await left()).toEqual([undefined, undefined, 3])
    })

    test('what is stored after it is there', async () => {
      await cache.invalidateTags('red')
      await cache.set('red', 4, { tags: ['red'] })
      expect(await cache.get('red')).toBe(4)
      await cache.set('red', 5)
      await cache.invalidateTags('red')
      expect(await cache.get('red')).toBe(5)
    })

    test('a tag is not a namespace, nor a key', async () => {
      await cache.invalidateTags(['n', 'none', '*', 'n:n', 't:red'])
      expect(await left()).toEqual([1, 2, 3])
    })

    test('a soft invalidation leaves a stale copy, which is served while it is refreshed', async () => {
      await cache.invalidateTags('red', { soft: true })
      expect(await left()).toEqual([undefined, undefined, 3])
      const loader = new Loader<number>()
      expect(await cache.getOrSet('red', loader.load, { tags: ['red'] })).toBe(1)
      const run = await loader.started()
      expect(run.context.stale).toBe(1)
      expect(await cache.getOrSet('red', loader.load, { tags: ['red'] })).toBe(1)
      run.resolve(10)
      await expect.poll(() => cache.get('red')).toBe(10)
      expect(loader.runs).toHaveLength(1)
    })

    test('a hard invalidation after a soft one takes the stale copy away', async () => {
      await cache.invalidateTags('red', { soft: true })
      await cache.invalidateTags('red')
      expect(await cache.getOrSet('red', () => 10)).toBe(10)
    })

    test('strict resolves as well', async () => {
      await cache.invalidateTags('red', { strict: true })
      expect(await cache.get('red')).toBeUndefined()
    })
  })

  test('what one process does the other sees', async () => {
    const [one, other] = createTwo()
    await one.set('a', { x: 1 }, { tags: ['red'] })
    expect(await other.get('a')).toEqual({ x: 1 })
    await other.invalidateTags('red')
    expect(await one.get('a')).toBeUndefined()
    await one.set('a', 2)
    expect(await other.delete('a')).toBe(1)
    expect(await one.get('a')).toBeUndefined()
    await one.set('a', 3)
    await other.clear()
    expect(await one.get('a')).toBeUndefined()
  })

  test('ping says whether the store answers', async () => {
    expect(await cache.ping()).toBe(true)
  })

  test('it is closed by `await using`, and closing twice does no harm', async () => {
    const own = create()
    await own.set('a', 1)
    expect(own[Symbol.asyncDispose]).toBeTypeOf('function')
    await own[Symbol.asyncDispose]()
    await expect(own.close()).resolves.toBeUndefined()
  })
})

describe('over Redis', () => {
  const { create } = cachesOver('Redis')

  test('clear touches no other prefix, and no foreign key, of the same database', async () => {
    const [one, other] = [create({ cache: { keyPrefix: 'one:' } }), create({ cache: { keyPrefix: 'one:more:' } })]
    await one.set('a', 1)
    await other.set('a', 2)
    const [server] = await one.parts.connection!.servers()
    await server!.send(['SET', 'one:foreign', 'x'])
    await one.clear()
    expect(await one.get('a')).toBeUndefined()
    expect(await other.get('a')).toBe(2)
    expect(String(await server!.send(['GET', 'one:foreign']))).toBe('x')
  })
})
