import {
  CacheConfigurationError,
  CacheSerializationError,
  LoadTimeoutError,
  type CacheManager,
  type GetOrSetOptions,
  type LoadContext,
} from 'tidemark'
import { setTimeout as sleep } from 'node:timers/promises'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, expectTypeOf, test, vi } from 'vitest'
import { cachesOver, STORES } from './helpers/caches.ts'
import { Loader } from './helpers/loader.ts'

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

  describe('a miss', () => {
    test('runs the loader, and stores what it returns', async () => {
      expect(await cache.getOrSet('a', () => ({ x: 1 }))).toEqual({ x: 1 })
      expect(await cache.get('a')).toEqual({ x: 1 })
      expect(await cache.ttl('a')).toBe(3600)
      expect(await cache.getOrSet('a', fail)).toEqual({ x: 1 })
    })

    test.each([[null], [0], [''], [false], [[]]])(
      '%j is a result like others: the loader is not run again',
      async (value) => {
        expect(await cache.getOrSet<unknown>('a', () => value)).toStrictEqual(value)
        expect(await cache.getOrSet('a', fail)).toStrictEqual(value)
        expect(await cache.exists('a')).toBe(1)
      },
    )

    test('undefined is not stored: the loader is run each time', async () => {
      let runs = 0
      const load = (): undefined => void runs++
      expect(await cache.getOrSet('a', load)).toBeUndefined()
      expect(await cache.getOrSet('a', load)).toBeUndefined()
      expect(runs).toBe(2)
      expect(await cache.exists('a')).toBe(0)
    })

    test('the loader may be synchronous, and its error is the same one', async () => {
      const load = (): number => {
        throw DOWN
      }
      await expect(cache.getOrSet('a', load)).rejects.toBe(DOWN)
      expect(await cache.getOrSet('a', () => 1)).toBe(1)
    })

    test('what is handed out is the same on the miss, for who joins and on every hit', async () => {
      const value = {
        at: new Date(5),
        nothing: undefined,
        list: [1],
        user: new (class User {
          id = 1
        })(),
      }
      const kept = { at: new Date(5), list: [1], user: { id: 1 } }
      const first = cache.getOrSet<typeof value>('a', loader.load as never)
      const joined = cache.getOrSet<typeof value>('a', loader.load as never)
      ;(await loader.started()).resolve(value)
      for (const got of [
        await first,
        await joined,
        await cache.getOrSet<typeof value>('a', fail),
        (await cache.get<typeof value>('a'))!,
      ]) {
        expect(got).toStrictEqual(kept)
        got.at.setTime(0)
        expect(() => got.list.push(2)).toThrow(TypeError)
      }
      value.list.push(3)
      expect(await cache.get('a')).toStrictEqual(kept)
    })

    test('the result has the type of what the loader returns', async () => {
      expectTypeOf(await cache.getOrSet('a', async () => 1)).toBeNumber()
    })

    test('options are those of set', async () => {
      await cache.getOrSet('a', () => 1, { ttl: '5m', tags: ['red'], namespace: 'n' })
      expect(await cache.ttl('a', { namespace: 'n' })).toBe(300)
      await cache.invalidateTags('red')
      expect(await cache.exists('a', { namespace: 'n' })).toBe(0)
    })

    test.each<[GetOrSetOptions, string]>([
      [{ ttl: -1 }, 'ttl'],
      [{ swr: 'soon' as '1s' }, 'swr'],
      [{ softTimeout: -1 }, 'softTimeout'],
      [{ hardTimeout: 'x' as '1s' }, 'hardTimeout'],
      [{ negativeTtl: Number.NaN }, 'negativeTtl'],
      [{ signal: 5 as unknown as AbortSignal }, 'signal'],
      [{ tags: 7 as unknown as string[] }, 'tags'],
      [{ strict: true } as object, 'strict'],
    ])('%o is refused by name, before the loader runs', async (options, name) => {
      const refusal = cache.getOrSet('a', loader.load, options)
      await expect(refusal).rejects.toThrow(CacheConfigurationError)
      await expect(refusal).rejects.toThrow(new RegExp(`${name}: expected .*, got `))
      expect(loader.runs).toHaveLength(0)
    })

    test('a loader that is none is refused', async () => {
      await expect(cache.getOrSet('a', 5 as never)).rejects.toThrow('loader: expected a function, got 5')
    })
  })

  describe('the windows', () => {
    const windows = { ttl: 10, swr: 20, grace: 30 }

    beforeEach(() => cache.set('a', 'old', windows))

    test('fresh: served, and the loader is not run', async () => {
      clock.advance('9999ms')
      expect(await cache.getOrSet('a', loader.load, windows)).toBe('old')
      await settled(cache)
      expect(loader.runs).toHaveLength(0)
    })

    test('swr: served at once, and refreshed behind exactly once', async () => {
      clock.advance('10s')
      for (let i = 0; i < 20; i++) expect(await cache.getOrSet('a', loader.load, windows)).toBe('old')
      const run = await loader.started()
      expect(run.context.stale).toBe('old')
      run.resolve('new')
      await expect.poll(() => cache.get('a')).toBe('new')
      expect(await cache.ttl('a')).toBe(10)
      expect(loader.runs).toHaveLength(1)
    })

    test('swr: a refresh that fails leaves the stale entry, and the next caller tries again', async () => {
      clock.advance('29999ms')
      const errors: unknown[] = []
      cache.on('error', (event) => errors.push(event))
      expect(await cache.getOrSet('a', fail, windows)).toBe('old')
      await expect.poll(() => errors).toEqual([{ error: DOWN, key: 'a', namespace: '' }])
      expect(await cache.getOrSet('a', () => 'new', windows)).toBe('old')
      await expect.poll(() => cache.get('a')).toBe('new')
    })

    test('grace: the loader is waited for', async () => {
      clock.advance('30s')
      expect(await cache.getOrSet('a', () => 'new', windows)).toBe('new')
    })

    test('grace: served if the loader fails, and told of', async () => {
      clock.advance('59999ms')
      const errors: unknown[] = []
      cache.on('error', ({ error }) => errors.push(error))
      expect(await cache.getOrSet('a', fail, windows)).toBe('old')
      expect(errors).toEqual([DOWN])
      expect(await cache.getOrSet('a', () => 'new', windows)).toBe('new')
    })

    test('then it is gone', async () => {
      clock.advance('60s')
      await expect(cache.getOrSet('a', fail, windows)).rejects.toBe(DOWN)
    })

    test('a refresh goes on although everybody who has joined it has left', async () => {
      clock.advance('10s')
      await cache.getOrSet('a', loader.load, windows)
      const run = await loader.started()
      clock.advance('50s')
      await expect(cache.getOrSet('a', loader.load, { hardTimeout: '5ms' })).rejects.toThrow(LoadTimeoutError)
      expect(run.context.signal.aborted).toBe(false)
      run.resolve('new')
      await expect.poll(() => cache.get('a')).toBe('new')
    })

    test('swr: a refresh that never ends is given up after waitTime, and the next caller refreshes', async () => {
      const impatient = create({ clock, cache: { waitTime: '50ms', leaseTime: '100ms' } })
      const errors: unknown[] = []
      impatient.on('error', ({ error }) => errors.push(error))
      await impatient.getOrSet('a', () => 'old', windows)
      clock.advance('10s')
      expect(await impatient.getOrSet('a', loader.load, windows)).toBe('old')
      const hung = await loader.started()
      await expect.poll(() => hung.context.signal.aborted).toBe(true)
      expect(errors).toEqual([expect.any(LoadTimeoutError)])
      expect((errors[0] as Error).message).toMatch(/^a refresh is given up: no result for "a" within \d+ ms$/)
      const refreshed = async (): Promise<unknown> => impatient.getOrSet('a', () => 'new', windows)
      await expect.poll(refreshed, { timeout: 5000 }).toBe('new')
    })

    test('swr: a refresh may take twice as long as the load before it, whatever waitTime is', async () => {
      const impatient = create({ clock, cache: { waitTime: '1ms' } })
      const first = impatient.getOrSet('a', loader.load, windows)
      const run = await loader.started()
      await sleep(100)
      run.resolve('old')
      await first
      await settled(impatient)
      clock.advance('10s')
      await impatient.getOrSet('a', loader.load, windows)
      const refresh = await loader.started(2)
      await sleep(50)
      expect(refresh.context.signal.aborted).toBe(false)
      refresh.resolve('new')
      await expect.poll(() => impatient.get('a')).toBe('new')
    })

    test('the stale value is a copy, too', async () => {
      await cache.set('d', new Date(5), { ttl: 1, swr: 10 })
      clock.advance('1s')
      const stale = await cache.getOrSet('d', () => new Date(6), windows)
      stale.setTime(0)
      expect(await cache.getOrSet('d', () => new Date(6), windows)).not.toEqual(new Date(0))
    })
  })

  describe('softTimeout', () => {
    test('a stale entry in its grace is the answer if the load is late, and the load goes on', async () => {
      await cache.set('a', 'old', { ttl: 1, grace: 60 })
      clock.advance('1s')
      const late = cache.getOrSet('a', loader.load, { softTimeout: '10ms' })
      const run = await loader.started()
      expect(await late).toBe('old')
      expect(run.context.signal.aborted).toBe(false)
      run.resolve('new')
      await expect.poll(() => cache.get('a')).toBe('new')
    })

    test('that it is late is logged as that, once a minute for each namespace', async () => {
      const lines: string[] = []
      const told = create({ clock, logger: { info() {}, warn: (line) => void lines.push(line), error() {} } })
      const windows = { ttl: 1, grace: 60, softTimeout: 0.01 }
      for (const namespace of ['', 'n']) await told.set('a', 'old', { ttl: 1, grace: 60, namespace })
      clock.advance('1s')
      for (const namespace of ['', '', 'n']) {
        expect(await told.getOrSet('a', loader.load, { ...windows, namespace })).toBe('old')
      }
      expect(lines.filter((line) => !line.includes('no Redis'))).toEqual([
        'tidemark: a load is late, and goes on: no result for "a" within 10 ms; what is stale is served (ERR_CACHE_LOAD_TIMEOUT)',
        'tidemark: a load is late, and goes on: no result for "a" within 10 ms, namespace "n"; what is stale is served (ERR_CACHE_LOAD_TIMEOUT)',
      ])
      expect(told.getStatistics().errors).toBe(3)
      for (const run of [await loader.started(), await loader.started(2)]) run.resolve('new')
    })

    test('a load inside of it that was not in time is a failure', async () => {
      const lines: string[] = []
      const told = create({ clock, logger: { info() {}, warn: (line) => void lines.push(line), error() {} } })
      await told.set('a', 'old', { ttl: 1, grace: 60 })
      clock.advance('1s')
      const inner = (): Promise<unknown> => told.getOrSet('b', loader.load, { hardTimeout: '5ms' })
      expect(await told.getOrSet('a', inner)).toBe('old')
      expect(lines.at(-1)).toContain('a load failed, what is stale is served: LoadTimeoutError: no result for')
      ;(await loader.started()).resolve('new')
    })

    test('without one it has no effect', async () => {
      const first = cache.getOrSet('a', loader.load, { softTimeout: '1ms' })
      const run = await loader.started()
      await expect(cache.getOrSet('a', loader.load, { hardTimeout: '20ms' })).rejects.toThrow(LoadTimeoutError)
      run.resolve('new')
      expect(await first).toBe('new')
    })
  })

  describe('hardTimeout', () => {
    test('the caller is told, and what is loaded nevertheless is stored', async () => {
      const late = cache.getOrSet('a', loader.load, { hardTimeout: '100ms', namespace: 'n' })
      const told = late.catch((error: unknown) => error)
      const run = await loader.started()
      expect(await told).toBeInstanceOf(LoadTimeoutError)
      expect(await told).toMatchObject({ message: 'no result for "a" within 100 ms', key: 'a', namespace: 'n' })
      expect(run.context.signal.aborted).toBe(true)
      run.resolve('new')
      await expect.poll(() => cache.get('a', { namespace: 'n' })).toBe('new')
    })

    test('a stale entry in its grace is the answer instead', async () => {
      await cache.set('a', 'old', { ttl: 1, grace: 60 })
      clock.advance('1s')
      expect(await cache.getOrSet('a', loader.load, { hardTimeout: '5ms' })).toBe('old')
      ;(await loader.started()).resolve('new')
    })

    test('those who are more patient, or joined, are not told', async () => {
      const patient = cache.getOrSet('a', loader.load)
      const late = cache.getOrSet('a', loader.load, { hardTimeout: '5ms' })
      await expect(late).rejects.toThrow(LoadTimeoutError)
      const run = await loader.started()
      expect(run.context.signal.aborted).toBe(false)
      run.resolve(1)
      expect(await patient).toBe(1)
    })

    test('holds for the whole call, however often it has to ask anew', async () => {
      const leader = cache.getOrSet('a', loader.load)
      await loader.started()
      const joined = cache.getOrSet('a', loader.load, { hardTimeout: '1s' })
      const startedAt = performance.now()
      const rejected = expect(joined).rejects.toThrow(LoadTimeoutError)
      await vi.waitFor(() => expect(performance.now() - startedAt).toBeGreaterThan(600), { timeout: 5000 })
      await cache.delete('a')
      loader.runs[0]!.resolve('overtaken')
      expect(await leader).toBe('overtaken')
      await rejected
      expect(performance.now() - startedAt).toBeLessThan(1500)
    })

    test('a year is not over at once', async () => {
      const first = cache.getOrSet('a', loader.load, { hardTimeout: '365d' })
      ;(await loader.started()).resolve(1)
      expect(await first).toBe(1)
    })
  })

  describe("a caller's signal", () => {
    test('ends the wait of this caller alone', async () => {
      const giveUp = new AbortController()
      const left = cache.getOrSet('a', loader.load, { signal: giveUp.signal })
      const stays = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      giveUp.abort(DOWN)
      await expect(left).rejects.toBe(DOWN)
      expect(run.context.signal.aborted).toBe(false)
      run.resolve(1)
      expect(await stays).toBe(1)
    })

    test('the loader is told when the last one has left', async () => {
      const giveUps = [new AbortController(), new AbortController()]
      const calls = giveUps.map(({ signal }) => cache.getOrSet('a', loader.load, { signal }))
      const run = await loader.started()
      giveUps[1]!.abort()
      await expect(calls[1]).rejects.toThrow('aborted')
      expect(run.context.signal.aborted).toBe(false)
      giveUps[0]!.abort()
      await expect(calls[0]).rejects.toThrow('aborted')
      expect(run.context.signal.aborted).toBe(true)
    })

    test('who comes after the last one has left is not told of it: the loader runs anew', async () => {
      const giveUp = new AbortController()
      const left = cache.getOrSet('a', loader.load, { signal: giveUp.signal })
      const run = await loader.started()
      giveUp.abort(DOWN)
      await expect(left).rejects.toBe(DOWN)
      const next = cache.getOrSet('a', loader.load)
      run.reject(run.context.signal.reason)
      ;(await loader.started(2)).resolve(2)
      expect(await next).toBe(2)
    })

    test('that has aborted before runs nothing', async () => {
      await expect(cache.getOrSet('a', loader.load, { signal: AbortSignal.abort(DOWN) })).rejects.toBe(DOWN)
      await settled(cache)
      expect(loader.runs).toHaveLength(0)
    })

    test('that aborts gets no stale entry', async () => {
      await cache.set('a', 'old', { ttl: 1, grace: 60 })
      clock.advance('1s')
      const giveUp = new AbortController()
      const left = cache.getOrSet('a', loader.load, { signal: giveUp.signal })
      const run = await loader.started()
      giveUp.abort(DOWN)
      await expect(left).rejects.toBe(DOWN)
      run.resolve(1)
    })

    test('a hit is served whatever the signal says', async () => {
      await cache.set('a', 1)
      expect(await cache.getOrSet('a', fail, { signal: AbortSignal.abort(DOWN) })).toBe(1)
    })
  })

  describe('negativeTtl', () => {
    test.each([[null], [undefined]])('%s is kept as long as it says', async (nothing) => {
      expect(await cache.getOrSet<unknown>('a', () => nothing, { ttl: 60, negativeTtl: 5, swr: 60, grace: 60 })).toBe(
        nothing,
      )
      expect(await cache.getOrSet<unknown>('a', fail)).toBe(nothing)
      expect(await cache.get('a')).toBe(nothing)
      expect(await cache.ttl('a')).toBe(5)
      expect(await cache.exists('a')).toBe(1)
      clock.advance('5s')
      await expect(cache.getOrSet('a', fail)).rejects.toBe(DOWN)
    })

    test('a value is kept for its ttl', async () => {
      await cache.getOrSet('a', () => 0, { ttl: 60, negativeTtl: 5 })
      expect(await cache.ttl('a')).toBe(60)
    })
  })

  describe('what a loader says', () => {
    const withContext =
      (say: (context: LoadContext) => unknown) =>
      (context: LoadContext<string>): string => {
        say(context)
        return 'value'
      }

    test('whose load it is', async () => {
      let seen: LoadContext | undefined
      await cache.getOrSet(
        'a',
        withContext((context) => (seen = context)),
        { namespace: 'n' },
      )
      expect(seen).toMatchObject({ key: 'a', namespace: 'n' })
      expect(seen!.signal).toBeInstanceOf(AbortSignal)
      expect(seen).not.toHaveProperty('stale')
    })

    test('tags, learnt from what was loaded, beside those of the call', async () => {
      const load = withContext(({ tag }) => (tag('red', 'blue'), tag('red')))
      for (const tag of ['red', 'blue', 'green']) {
        await cache.getOrSet('a', load, { tags: ['green'] })
        expect(await cache.exists('a')).toBe(1)
        await cache.invalidateTags(tag)
        expect(await cache.exists('a')).toBe(0)
      }
    })

    test('its ttl, which is clamped', async () => {
      await cache.getOrSet(
        'a',
        withContext(({ ttl }) => ttl('5s')),
        { ttl: 60 },
      )
      expect(await cache.ttl('a')).toBe(5)
      await cache.getOrSet(
        'b',
        withContext(({ ttl }) => ttl('7d')),
        { ttl: 60 },
      )
      expect(await cache.ttl('b')).toBe(86_400)
    })

    test('that the result is to be skipped: it is handed out, frozen, and not stored', async () => {
      const first = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      const second = cache.getOrSet('a', loader.load)
      await joined(cache, 1)
      run.context.skip()
      run.resolve({ list: [1] })
      const got = [await first, await second] as { list: number[] }[]
      for (const one of got) {
        expect(one).toEqual({ list: [1] })
        expect(() => one.list.push(2)).toThrow(TypeError)
      }
      expect(await cache.exists('a')).toBe(0)
    })

    test('a result that is skipped may be anything', async () => {
      const errors: unknown[] = []
      cache.on('error', ({ error }) => errors.push(error))
      const stream = { pipe: () => {} }
      expect(await cache.getOrSet('a', ({ skip }) => (skip(), stream))).toBe(stream)
      expect(errors).toEqual([])
    })

    test('the value that is about to be replaced', async () => {
      await cache.set('a', { n: 1 }, { ttl: 1, grace: 60 })
      clock.advance('1s')
      expect(await cache.getOrSet<{ n: number }>('a', ({ stale }) => ({ n: stale!.n + 1 }))).toEqual({ n: 2 })
    })

    test('the value that is about to be replaced is a copy, if it cannot be frozen', async () => {
      await cache.set('a', new Date(5), { ttl: 1, grace: 60 })
      clock.advance('1s')
      const spoil = ({ stale }: LoadContext<Date>): Promise<Date> => (stale!.setTime(0), fail())
      expect(await cache.getOrSet('a', spoil)).toEqual(new Date(5))
    })

    test('a bad tag or ttl fails its load', async () => {
      await expect(
        cache.getOrSet(
          'a',
          withContext(({ tag }) => tag('')),
        ),
      ).rejects.toThrow('tag: expected a non-empty string')
      await expect(
        cache.getOrSet(
          'a',
          withContext(({ ttl }) => ttl(-1)),
        ),
      ).rejects.toThrow(CacheConfigurationError)
      expect(await cache.exists('a')).toBe(0)
    })
  })

  describe('forceRefresh', () => {
    test('loads although there is a fresh entry, and replaces it', async () => {
      await cache.set('a', 'old')
      expect(await cache.getOrSet('a', () => 'new', { forceRefresh: true })).toBe('new')
      expect(await cache.get('a')).toBe('new')
    })

    test('joins no load, and its result wins over that of an older one', async () => {
      const old = cache.getOrSet('a', loader.load)
      const run = await loader.started()
      expect(await cache.getOrSet('a', () => 'new', { forceRefresh: true })).toBe('new')
      run.resolve('old')
      expect(await old).toBe('old')
      await expect.poll(() => cache.get('a')).toBe('new')
    })

    test('a failure leaves the entry', async () => {
      await cache.set('a', 'old')
      await expect(cache.getOrSet('a', fail, { forceRefresh: true })).rejects.toBe(DOWN)
      expect(await cache.get('a')).toBe('old')
    })
  })

  describe('what cannot be stored', () => {
    const bad = { rows: [{ run: () => 1 }] }

    test('is returned, told of, and keeps nobody waiting', async () => {
      const errors: unknown[] = []
      cache.on('error', (event) => errors.push(event))
      expect(await cache.getOrSet('a', () => bad)).toBe(bad)
      expect(errors).toEqual([{ error: expect.any(CacheSerializationError), key: 'a', namespace: '' }])
      expect(errors[0]).toHaveProperty('error.message', 'rows[0].run: a function cannot be stored')
      expect(cache.getStatistics().errors).toBe(1)
      const startedAt = performance.now()
      expect(await cache.getOrSet('a', () => 1)).toBe(1)
      expect(performance.now() - startedAt).toBeLessThan(1000)
    })

    test("is its own caller's alone: those who waited load themselves", async () => {
      const make = (): object => ({ rows: [{ run: () => 1 }] })
      const calls = [0, 1, 2].map(() => cache.getOrSet('a', loader.load))
      const first = await loader.started()
      await joined(cache, 2)
      first.resolve(make())
      for (const own of [await loader.started(2), await loader.started(3)]) own.resolve(make())
      expect(new Set(await Promise.all(calls)).size).toBe(3)
      expect(loader.runs).toHaveLength(3)
    })

    test("rejects with onError: 'throw', and keeps nobody waiting either", async () => {
      const strict = create({ cache: { onError: 'throw' } })
      await expect(strict.getOrSet('a', () => bad)).rejects.toThrow(CacheSerializationError)
      expect(await strict.getOrSet('a', () => 1)).toBe(1)
    })
  })

  test('a loader that takes longer than leaseTime keeps its lease', async () => {
    const [one, other] = createTwo({ cache: { leaseTime: '500ms' } })
    const first = one.getOrSet('a', loader.load)
    const run = await loader.started()
    const startedAt = performance.now()
    const second = other.getOrSet('a', loader.load)
    await expect.poll(() => performance.now() - startedAt, { timeout: 5000 }).toBeGreaterThan(900)
    run.resolve(1)
    expect(await Promise.all([first, second])).toEqual([1, 1])
    expect(loader.runs).toHaveLength(1)
  })
})

describe('over Redis', () => {
  const { create, createTwo } = cachesOver('Redis')

  test('a value that is refused by the store itself keeps nobody waiting', async () => {
    const cache = create()
    const tags = Array.from({ length: 30_000 }, (_, n) => `tag ${n} ${'x'.repeat(30)}`)
    const errors: unknown[] = []
    cache.on('error', ({ error }) => errors.push(error))
    const load = ({ tag }: LoadContext): number => (tag(...tags), 1)
    expect(await cache.getOrSet('a', load)).toBe(1)
    await expect.poll(() => errors).toEqual([expect.any(CacheSerializationError)])
    const startedAt = performance.now()
    expect(await cache.getOrSet('a', () => 2)).toBe(2)
    expect(performance.now() - startedAt).toBeLessThan(1000)
  })

  test('a holder that has died is replaced when its lease is over', async () => {
    const [one, other] = createTwo({ cache: { leaseTime: '50ms' } })
    await one.begin('a')
    expect(await other.getOrSet('a', () => 1)).toBe(1)
    await expect.poll(() => one.get('a')).toBe(1)
  })

  test('callers who give up while they wait for another process run no loader', async () => {
    const [one, other] = createTwo()
    const token = await one.begin('a')
    const loader = new Loader()
    await expect(other.getOrSet('a', loader.load, { hardTimeout: '20ms' })).rejects.toThrow(LoadTimeoutError)
    await token.release()
    expect(await other.getOrSet('a', () => 2)).toBe(2)
    expect(loader.runs).toHaveLength(0)
  })
})
