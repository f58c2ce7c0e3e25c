/** Callers who ask for the same thing at the same time, in one process and in two, and invalidations that come between. */
import { createCache, type CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { cachesOver, STORES } from './helpers/caches.ts'
import { Loader } from './helpers/loader.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'
import { SlowStore } from './helpers/slow-store.ts'

const DOWN = new Error('down')
const fail = (): Promise<never> => Promise.reject(DOWN)

/** Lets everything happen that needs nobody's help, a trip to Redis included. */
const settled = (cache: CacheManager): Promise<unknown> => cache.exists('nothing')

/** Resolves when so many callers have joined a load. */
async function joined(cache: CacheManager, callers: number): Promise<void> {
  await expect.poll(() => cache.getStatistics().coalesced, { interval: 1 }).toBe(callers)
}

describe.each(STORES)('getOrSet over %s', (kind) => {
  const { create, createTwo } = cachesOver(kind)
  let clock: ManualClock
  let cache: CacheManager
  let loader: Loader

  beforeEach(() => {
    clock = new ManualClock()
    cache = create({ clock })
    loader = new Loader()
  })

  describe('many callers', () => {
    test('200 at once are one load', async () => {
      const calls = Array.from({ length: 200 }, () => cache.getOrSet('a', loader.load))
      const run = await loader.started()
      await joined(cache, 199)
      run.resolve({ x: 1 })
      const values = await Promise.all(calls)
      expect(loader.runs).toHaveLength(1)
      expect(new Set(values).size).toBe(1)
    })

    test('so are those who come while it is under way', async () => {
      const first = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      const later = Array.from({ length: 20 }, () => cache.getOrSet('a', loader.load))
      await joined(cache, 20)
      run.resolve(1)
      expect(await Promise.all([first, ...later])).toEqual(Array.from({ length: 21 }, () => 1))
      expect(loader.runs).toHaveLength(1)
    })

    test('a failing loader fails them all once, with the same error, which is not cached', async () => {
      const calls = Array.from({ length: 50 }, () => cache.getOrSet('a', loader.load))
      ;(await loader.started()).reject(DOWN)
      for (const call of calls) await expect(call).rejects.toBe(DOWN)
      expect(loader.runs).toHaveLength(1)
      expect(await cache.getOrSet('a', () => 1)).toBe(1)
    })

    test('different keys, and the same key in different namespaces, are different loads', async () => {
      const calls = [
        cache.getOrSet('a', () => 1),
        cache.getOrSet('b', () => 2),
        cache.getOrSet('a', () => 3, { namespace: 'n' }),
      ]
      expect(await Promise.all(calls)).toEqual([1, 2, 3])
    })

    test('of two processes are one load', async () => {
      const [one, other] = createTwo({ clock })
      const calls = [one, other].flatMap((it) => Array.from({ length: 20 }, () => it.getOrSet('a', loader.load)))
      const run = await loader.started()
      await Promise.all([joined(one, 19), joined(other, 19)])
      run.resolve(1)
      expect(await Promise.all(calls)).toEqual(Array.from({ length: 40 }, () => 1))
      expect(loader.runs).toHaveLength(1)
    })

    test('who has waited long enough for another process loads beside it', async () => {
      const [one, other] = createTwo({ cache: { waitTime: '20ms' } })
      const first = one.getOrSet('a', loader.load)
      const run = await loader.started()
      expect(await other.getOrSet('a', () => 'beside')).toBe('beside')
      run.resolve('first')
      expect(await first).toBe('first')
      await expect.poll(() => other.get('a')).toBe('first')
    })

    test('what is loaded beside another process is for those who were there before it began, and for no others', async () => {
      const [one, other] = createTwo({ cache: { waitTime: '100ms' } })
      await one.begin('a')
      const beside = [other.getOrSet('a', loader.load), other.getOrSet('a', loader.load)]
      const run = await loader.started()
      const later = other.getOrSet('a', () => 'later')
      run.resolve('beside')
      expect(await Promise.all([...beside, later])).toEqual(['beside', 'beside', 'later'])
    })
  })

  test('nobody waits for ever: after waitTime one of those who wait loads beside a load that does not end', async () => {
    const cache = create({ cache: { waitTime: '500ms' } })
    void cache.getOrSet('a', () => new Promise<never>(() => {}))
    const waiting = Array.from({ length: 20 }, () => cache.getOrSet<unknown>('a', loader.load))
    const run = await loader.started()
    await expect.poll(() => cache.getStatistics().coalesced).toBe(20 + 19)
    run.resolve(1)
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 20 }, () => 1))
    expect(cache.getStatistics().loads).toBe(2)
  })

  test('a loader that asks for its own key is answered after waitTime', async () => {
    const cache = create({ cache: { waitTime: '50ms' } })
    let depth = 0
    const load = (): Promise<number> | number => (++depth < 3 ? cache.getOrSet('a', load) : depth)
    expect(await cache.getOrSet('a', load)).toBe(3)
  })

  test('a load that everybody has given up lets another one begin', async () => {
    const cache = create({ cache: { leaseTime: '90ms', waitTime: '10s' } })
    const endless = cache.getOrSet('a', () => new Promise<number>(() => {}), { hardTimeout: '20ms' })
    await expect(endless).rejects.toThrow(/no result for .* within 20 ms/)
    expect(await cache.getOrSet('a', () => 1)).toBe(1)
  })

  describe('a request that is alone', () => {
    const request = {
      id: 'k::a',
      key: 'a',
      namespace: '',
      tags: ['n:'],
      windows: { ttlMs: 1000, swrMs: 0, graceMs: 0 },
      isAlone: true,
    }

    test('is not waited for', async () => {
      const alone = cache.parts.loads.load({ ...request, run: loader.load })
      const run = await loader.started()
      const other = cache.getOrSet('a', loader.load)
      await settled(cache)
      expect(cache.getStatistics().coalesced).toBe(0)
      run.resolve(1)
      expect(await alone).toMatchObject({ value: 1, source: 'load' })
      expect(await other).toBe(1)
    })

    test('does not wait', async () => {
      const other = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      expect(await cache.parts.loads.load({ ...request, run: () => 'alone' })).toMatchObject({ value: 'alone' })
      run.resolve(1)
      expect(await other).toBe(1)
      await expect.poll(() => cache.get('a')).toBe(1)
    })
  })

  describe('a load begun before', () => {
    const OVERTAKING: [string, (it: CacheManager) => Promise<unknown>][] = [
      ['delete', (it) => it.delete('a')],
      ['invalidateTags', (it) => it.invalidateTags('red')],
      ['invalidateTags of a tag that it learns from what it loads', (it) => it.invalidateTags('blue')],
      ['a soft invalidation', (it) => it.invalidateTags('red', { soft: true })],
      ['clear', (it) => it.clear()],
      ['clear of the namespace', (it) => it.clear({ namespace: '' })],
    ]
    const options = { tags: ['red'] }

    describe.each(OVERTAKING)('%s', (_, overtake) => {
      test('is not served afterwards, but to the caller whose own loader it was', async () => {
        const own = cache.getOrSet('a', loader.load, options)
        const run = await loader.started()
        await overtake(cache)
        run.context.tag('blue')
        run.resolve('old')
        expect(await own).toBe('old')
        expect(await cache.get('a')).toBeUndefined()
        expect(await cache.getOrSet('a', () => 'new', options)).toBe('new')
      })

      test('is not handed to who joins after it', async () => {
        const own = cache.getOrSet('a', loader.load, options)
        const run = await loader.started()
        await overtake(cache)
        const next = cache.getOrSet('a', () => 'new', options)
        await settled(cache)
        run.context.tag('blue')
        run.resolve('old')
        expect(await next).toBe('new')
        expect(await own).toBe('old')
        expect(await cache.get('a')).toBe('new')
      })

      test('is not handed to who joins after it in the process that did not hear of it', async () => {
        const [one, other] = createTwo()
        const own = one.getOrSet('a', loader.load, options)
        const run = await loader.started()
        await overtake(other)
        const next = one.getOrSet('a', () => 'new', options)
        await joined(one, 1)
        run.context.tag('blue')
        run.resolve('old')
        expect(await next).toBe('new')
        expect(await own).toBe('old')
        expect(await one.get('a')).toBe('new')
      })
    })

    test('set does not replace what was set', async () => {
      const own = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      await cache.set('a', 'set')
      const next = cache.getOrSet('a', fail)
      run.resolve('old')
      expect(await own).toBe('old')
      expect(await next).toBe('set')
      expect(await cache.get('a')).toBe('set')
    })

    test('an invalidation is handed to who came before the load began: nobody waits in turn', async () => {
      const calls = Array.from({ length: 50 }, () => cache.getOrSet('a', loader.load, options))
      const run = await loader.started()
      await cache.invalidateTags('red')
      run.resolve('own')
      expect(await Promise.all(calls)).toEqual(Array.from({ length: 50 }, () => 'own'))
      expect(loader.runs).toHaveLength(1)
      expect(await cache.get('a')).toBeUndefined()
    })

    test('an invalidation: those who had joined load once more, together', async () => {
      const first = cache.getOrSet('a', loader.load, options)
      const run = await loader.started()
      const later = Array.from({ length: 50 }, () => cache.getOrSet('a', loader.load, options))
      await joined(cache, 50)
      await cache.invalidateTags('red')
      run.resolve('old')
      ;(await loader.started(2)).resolve('new')
      expect(await first).toBe('old')
      expect(await Promise.all(later)).toEqual(Array.from({ length: 50 }, () => 'new'))
      expect(loader.runs).toHaveLength(2)
    })

    test('an invalidation of a tag that a skipped load has learnt is not handed to who joined after it', async () => {
      const [one, other] = createTwo()
      const own = one.getOrSet('a', loader.load)
      const run = await loader.started()
      await other.invalidateTags('red')
      const next = one.getOrSet('a', () => 'new')
      await joined(one, 1)
      run.context.tag('red')
      run.context.skip()
      run.resolve('old')
      expect(await own).toBe('old')
      expect(await next).toBe('new')
    })

    test('delete of another key, or another tag, is stored', async () => {
      const own = cache.getOrSet('a', loader.load, options)
      const run = await loader.started()
      await cache.delete('b')
      await cache.invalidateTags('green')
      await cache.clear({ namespace: 'n' })
      run.resolve('value')
      await own
      await expect.poll(() => cache.get('a')).toBe('value')
    })

    test('an invalidation, behind a stale entry, does not bring it back', async () => {
      await cache.set('a', 'old', { ttl: 1, swr: 60, tags: ['red'] })
      clock.advance('1s')
      expect(await cache.getOrSet('a', loader.load, options)).toBe('old')
      const run = await loader.started()
      await cache.invalidateTags('red')
      run.resolve('older')
      await settled(cache)
      expect(await cache.getOrSet('a', () => 'new', options)).toBe('new')
    })
  })
})

describe('while the request for the lease is on its way', () => {
  let clock: ManualClock
  let slow: SlowStore
  let one: CacheManager
  let other: CacheManager

  beforeEach(() => {
    clock = new ManualClock()
    slow = new SlowStore(clock)
    const config = { store: slow.store, clock }
    one = createCache(config)
    other = createCache(config)
  })

  test('another process may have stored an entry: it is served, and the loader is not run', async () => {
    slow.onTheWayThere = async () => {
      await joined(one, 1)
      await other.set('a', 'other')
    }
    const loader = new Loader()
    const calls = [one.getOrSet('a', loader.load), one.getOrSet('a', loader.load)]
    expect(await Promise.all(calls)).toEqual(['other', 'other'])
    expect(one.getStatistics()).toMatchObject({ misses: 2, loads: 0 })
  })

  test('such an entry is not handed to who joins after it was invalidated', async () => {
    let next: Promise<string> | undefined
    slow.onTheWayThere = () => other.set('a', 'old')
    slow.onTheWayBack = async () => {
      await other.delete('a')
      next = one.getOrSet('a', () => 'new')
      await joined(one, 1)
    }
    expect(await one.getOrSet('a', () => 'new')).toBe('old')
    expect(await next).toBe('new')
  })

  test('an entry that is stale by then is replaced', async () => {
    slow.onTheWayThere = async () => {
      await other.set('a', 'stale', { ttl: 1, swr: 60 })
      clock.advance('1s')
    }
    expect(await one.getOrSet('a', () => 'new')).toBe('new')
    expect(await other.get('a')).toBe('new')
  })

  test('callers who give up meanwhile run no loader, and the lease is given back', async () => {
    const giveUp = new AbortController()
    const loader = new Loader()
    slow.onTheWayBack = () => giveUp.abort()
    await expect(one.getOrSet('a', loader.load, { signal: giveUp.signal })).rejects.toThrow('aborted')
    expect(await other.getOrSet('a', () => 'other')).toBe('other')
    expect(loader.runs).toHaveLength(0)
  })
})

describe('over Redis', () => {
  let server: RedisServer
  let cache: CacheManager
  let clock: ManualClock

  beforeAll(async () => {
    server = await startRedis()
  })
  beforeEach(() => {
    clock = new ManualClock()
    cache = createCache({ redis: { url: server.url }, clock })
  })
  afterEach(() => cache.close())
  afterAll(() => server.stop())

  const scripts = async (): Promise<number> => {
    const { evalsha = 0, eval: whole = 0 } = await server.commandStats()
    return evalsha + whole
  }

  test('a hundred callers of a stale entry ask for the lease once', async () => {
    await cache.set('a', 'old', { ttl: 1, swr: 60 })
    clock.advance('1s')
    const loader = new Loader()
    await server.resetStats()
    const calls = Array.from({ length: 100 }, () => cache.getOrSet('a', loader.load))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['old']))
    const run = await loader.started()
    await cache.getOrSet('a', loader.load)
    expect(await scripts()).toBeLessThanOrEqual(2)
    run.resolve('new')
    await expect.poll(() => cache.get('a')).toBe('new')
  })

  test('who has to ask anew reads what is there now, all in one command', async () => {
    const loader = new Loader()
    const own = cache.getOrSet('b', loader.load)
    const run = await loader.started()
    const later = Array.from({ length: 50 }, () => cache.getOrSet('b', loader.load))
    await joined(cache, 50)
    await cache.set('b', 'set')
    await server.resetStats()
    run.resolve('old')
    expect(await own).toBe('old')
    expect(new Set(await Promise.all(later))).toEqual(new Set(['set']))
    // One FILL, which was refused, and one MGET.
    expect(await server.commandStats()).toMatchObject({ mget: 1 })
    expect(await scripts()).toBeLessThanOrEqual(2)
  })
})
