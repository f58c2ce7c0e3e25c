/** What a cache does while Redis is away: nobody hangs, nobody is handed what may be old, and it comes back by itself. */
import {
  createCache,
  RedisConnectionError,
  type ApplicationConfig,
  type CacheConfig,
  type CacheManager,
} from 'tidemark'
import { ManualClock, startFaultProxy } from 'tidemark/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Loader } from './helpers/loader.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

/** Every verb by which a caller asks for the cache itself. */
const VERBS: [string, (cache: CacheManager) => Promise<unknown>][] = [
  ['get', (cache) => cache.get('a')],
  ['getMany', (cache) => cache.getMany(['a', 'b'])],
  ['set', (cache) => cache.set('a', 1)],
  ['setMany', (cache) => cache.setMany([['a', 1]])],
  ['delete', (cache) => cache.delete('a')],
  ['exists', (cache) => cache.exists(['a', 'b'])],
  ['ttl', (cache) => cache.ttl('a')],
  ['expire', (cache) => cache.expire('a', 60)],
  ['begin', (cache) => cache.begin('a')],
  ['invalidateTags', (cache) => cache.invalidateTags('red')],
  ['clear', (cache) => cache.clear()],
  ['clear of a namespace', (cache) => cache.clear({ namespace: 'n' })],
]

const TIMEOUT_MS = 300

const unhandled: unknown[] = []
const onUnhandled = (reason: unknown): void => void unhandled.push(reason)
beforeAll(() => void process.on('unhandledRejection', onUnhandled))
afterAll(() => void process.off('unhandledRejection', onUnhandled))

let open: CacheManager[] = []
let logged: string[] = []
let keyPrefix = ''
let tests = 0

function make(url: string, settings: CacheConfig = {}, rest: ApplicationConfig = {}): CacheManager {
  const logger = { info: () => {}, warn: (message: string) => logged.push(message), error: () => {} }
  const redis = { url, socketTimeout: `${TIMEOUT_MS}ms`, socketConnectTimeout: `${TIMEOUT_MS}ms` } as const
  const cache = createCache({ redis, cache: { keyPrefix, ...settings }, logger, ...rest })
  open.push(cache)
  return cache
}

beforeEach(() => {
  logged = []
  keyPrefix = `test-${tests++}:`
})
afterEach(async () => {
  await Promise.all(open.map((cache) => cache.close()))
  open = []
  await new Promise(setImmediate)
  expect(unhandled).toEqual([])
})

/** How long it took, in milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

/** Nobody listens there. */
const REFUSING = 'redis://127.0.0.1:1'

describe('Redis refuses connections', () => {
  let cache: CacheManager

  beforeEach(() => {
    cache = make(REFUSING)
  })

  test.each(VERBS)('%s rejects', async (_, call) => {
    await expect(call(cache)).rejects.toThrow(RedisConnectionError)
    await expect(call(cache)).rejects.toThrow(/127\.0\.0\.1:1 cannot be reached.*ECONNREFUSED/)
  })

  test('each call is told its own key and namespace, also those that shared a command', async () => {
    const calls = ['a', 'b', 'c'].map((key) => cache.get(key, { namespace: 'n' }))
    const errors = (await Promise.allSettled(calls)).map((outcome) => (outcome as PromiseRejectedResult).reason)
    const told = ['a', 'b', 'c'].map((key) => expect.objectContaining({ key, namespace: 'n' }))
    expect(errors).toEqual(told)
    await expect(cache.set('d', 1)).rejects.toMatchObject({ key: 'd', namespace: '' })
    await expect(cache.clear({ namespace: 'n' })).rejects.toMatchObject({ namespace: 'n' })
  })

  test('ping is false', async () => {
    expect(await cache.ping()).toBe(false)
  })

  test('getOrSet loads', async () => {
    expect(await timed(() => cache.getOrSet('a', () => 1))).toBeLessThan(TIMEOUT_MS)
    expect(await cache.getOrSet('a', () => null)).toBeNull()
    expect(await cache.getOrSet('a', () => 2, { forceRefresh: true })).toBe(2)
    expect(cache.getStatistics()).toMatchObject({ hits: 0, misses: 3, loads: 3 })
  })

  test('getOrSet loads once for all who ask at the same time, and hands them the same', async () => {
    const loader = new Loader()
    const calls = Array.from({ length: 200 }, () => cache.getOrSet('a', loader.load))
    const run = await loader.started()
    calls.push(...Array.from({ length: 20 }, () => cache.getOrSet('a', loader.load)))
    await expect.poll(() => cache.getStatistics().coalesced).toBe(219)
    run.resolve({ at: new Date(5), list: [1] })
    for (const value of (await Promise.all(calls)) as { at: Date; list: number[] }[]) {
      expect(value).toEqual({ at: new Date(5), list: [1] })
      value.at.setTime(0)
      expect(() => value.list.push(2)).toThrow(TypeError)
    }
    expect(loader.runs).toHaveLength(1)
  })

  test("a loader's own error passes through untouched", async () => {
    const error = new Error('down')
    await expect(cache.getOrSet('a', () => Promise.reject(error))).rejects.toBe(error)
  })

  test('an invalidation rejects, and who asks after it is not handed a load begun before', async () => {
    for (const invalidate of [() => cache.delete('a'), () => cache.invalidateTags('red'), () => cache.clear()]) {
      const loader = new Loader()
      const own = cache.getOrSet('a', loader.load, { tags: ['red'] })
      const run = await loader.started()
      await expect(invalidate()).rejects.toThrow(RedisConnectionError)
      expect(await cache.getOrSet('a', () => 'new', { tags: ['red'] })).toBe('new')
      run.resolve('old')
      expect(await own).toBe('old')
    }
  })

  test("with onError: 'throw' getOrSet rejects, and runs no loader", async () => {
    const strict = make(REFUSING, { onError: 'throw' })
    const loader = new Loader()
    await expect(strict.getOrSet('a', loader.load)).rejects.toThrow(RedisConnectionError)
    await expect(strict.getOrSet('a', loader.load, { forceRefresh: true })).rejects.toThrow(RedisConnectionError)
    expect(loader.runs).toHaveLength(0)
  })

  test('it is counted, told of with its key, and logged once', async () => {
    const told: unknown[] = []
    cache.on('error', (event) => told.push(event))
    await cache.getOrSet('a', () => 1, { namespace: 'n' })
    await expect(cache.get('b')).rejects.toThrow(RedisConnectionError)
    expect(cache.getStatistics().errors).toBe(2)
    expect(told).toEqual([
      { error: expect.any(RedisConnectionError), key: 'a', namespace: 'n' },
      { error: expect.any(RedisConnectionError), key: 'b', namespace: '' },
    ])
    expect(logged).toEqual([
      expect.stringMatching(
        /^tidemark: Redis at \S+ cannot be reached: .*ECONNREFUSED.* \(ERR_CACHE_REDIS_CONNECTION\)$/,
      ),
    ])
  })
})

describe('Redis', () => {
  let server: RedisServer
  let cache: CacheManager

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    cache = make(server.url)
    await cache.set('a', 1)
  })

  describe('is stopped in mid-work', () => {
    afterEach(() => server.restart())

    test('everything rejects or loads, and works again when it is back', async () => {
      await server.kill()
      for (const [, call] of VERBS) await expect(call(cache)).rejects.toThrow(RedisConnectionError)
      expect(await cache.getOrSet('a', () => 2)).toBe(2)
      expect(await cache.ping()).toBe(false)

      await server.restart()
      await expect.poll(() => cache.ping(), { timeout: 5000 }).toBe(true)
      expect(await cache.get('a')).toBeUndefined()
      expect(await cache.getOrSet('a', () => 3)).toBe(3)
      await expect.poll(() => cache.get('a')).toBe(3)
      for (const [, call] of VERBS) await call(cache)
    })

    test('a load that it interrupts is handed out, to its caller and to those who joined', async () => {
      const loader = new Loader()
      const own = cache.getOrSet('b', loader.load)
      const run = await loader.started()
      const joined = [cache.getOrSet('b', () => 'anew'), cache.getOrSet('b', () => 'anew')]
      await expect.poll(() => cache.getStatistics().coalesced, { interval: 1 }).toBe(2)
      await server.kill()
      run.resolve('own')
      expect(await own).toBe('own')
      // Nobody can confirm that no invalidation overtook it: who joined does not take it on trust.
      expect(await Promise.all(joined)).toEqual(['anew', 'anew'])
      // The fill, and two reads: they do not ask for a lease as well.
      expect(cache.getStatistics()).toMatchObject({ loads: 2, errors: 3 })
    })

    test('a refresh that it interrupts does no harm', async () => {
      const clock = new ManualClock()
      const own = make(server.url, {}, { clock })
      await own.set('b', 'old', { ttl: 1, swr: 60 })
      clock.advance('1s')
      const loader = new Loader()
      expect(await own.getOrSet('b', loader.load)).toBe('old')
      const run = await loader.started()
      await server.kill()
      run.resolve('new')
      expect(await own.getOrSet('b', () => 'loaded')).toBe('loaded')
    })

    test('a token of begin rejects', async () => {
      const token = await cache.begin('b')
      await server.kill()
      await expect(token.set(1)).rejects.toThrow(RedisConnectionError)
      await expect(token.release()).rejects.toThrow(RedisConnectionError)
      expect(cache.getStatistics().errors).toBe(2)
    })
  })

  describe('is silent', () => {
    beforeEach(() => server.pause())
    afterEach(() => server.resume())

    test("a caller's signal ends its wait for Redis, too, and nobody else's", async () => {
      const cache = make(server.url, {}, { redis: { url: server.url, socketTimeout: '10s' } })
      const giveUp = new AbortController()
      const left = cache.getOrSet('b', () => 1, { signal: giveUp.signal })
      const stays = cache.getOrSet('b', () => 2)
      giveUp.abort(new Error('enough'))
      await expect(left).rejects.toThrow('enough')
      server.resume()
      expect(await stays).toBe(2)
    })

    test('every verb rejects within the deadline', async () => {
      const took = await timed(() =>
        Promise.all(VERBS.map(([, call]) => expect(call(cache)).rejects.toThrow(RedisConnectionError))),
      )
      expect(took).toBeLessThan(2 * TIMEOUT_MS)
      expect(await cache.ping()).toBe(false)
    })

    test('getOrSet loads within the deadline, once for all, and afterwards at once', async () => {
      let loads = 0
      const load = (): number => ++loads
      const took = await timed(async () => {
        const values = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('a', load)))
        expect(new Set(values)).toEqual(new Set([1]))
      })
      expect(took).toBeGreaterThanOrEqual(TIMEOUT_MS - 10)
      expect(took).toBeLessThan(2 * TIMEOUT_MS)
      expect(await timed(() => cache.getOrSet('a', load))).toBeLessThan(TIMEOUT_MS / 2)
      expect(loads).toBe(2)
    })

    test("with onError: 'throw' it rejects within the deadline", async () => {
      const strict = make(server.url, { onError: 'throw' })
      const took = await timed(() => expect(strict.getOrSet('a', () => 1)).rejects.toThrow(RedisConnectionError))
      expect(took).toBeLessThan(2 * TIMEOUT_MS)
    })

    test('it works again when it speaks again', async () => {
      expect(await cache.getOrSet('a', () => 2)).toBe(2)
      server.resume()
      await expect.poll(() => cache.ping(), { timeout: 5000 }).toBe(true)
      expect(await cache.get('a')).toBe(1)
      expect(await cache.getOrSet('c', () => 3)).toBe(3)
      await expect.poll(() => cache.get('c')).toBe(3)
    })
  })

  test('who can ask it shares no load that could not, which an invalidation may have overtaken, but the next', async () => {
    const other = make(server.url)
    const loader = new Loader()
    server.pause()
    const cutOff = cache.getOrSet('b', loader.load, { tags: ['red'] })
    const run = await loader.started()
    server.resume()
    await expect.poll(() => cache.ping(), { timeout: 5000 }).toBe(true)
    await other.invalidateTags('red')
    const next = [0, 1].map(() => cache.getOrSet('b', loader.load, { tags: ['red'] }))
    run.resolve('old')
    const nextRun = await loader.started(2)
    nextRun.resolve('new')
    expect(await Promise.all(next)).toEqual(['new', 'new'])
    expect(await cutOff).toBe('old')
    await expect.poll(() => cache.get('b')).toBe('new')
  })

  describe('is slow, and alive', () => {
    test('getOrSet has one deadline for all that it asks, and leaves no lease behind', async () => {
      const proxy = await startFaultProxy({ target: server })
      const { host, port } = proxy
      const slow = make('', {}, { redis: { host, port, socketTimeout: '1s' } })
      await slow.getOrSet('warm', () => 1)
      proxy.delay({ down: 700 })
      const startedAt = performance.now()
      expect(await slow.getOrSet('slow', () => 1)).toBe(1)
      expect(performance.now() - startedAt).toBeLessThan(1350)
      await expect.poll(() => server.call('KEYS', '*l::slow'), { timeout: 5000 }).toEqual([])
      await proxy.close()
    })
  })

  describe('is full: it can be read, and takes no writes', () => {
    beforeEach(async () => {
      await server.call('CONFIG', 'SET', 'maxmemory', '1mb')
    })
    afterEach(() => server.call('CONFIG', 'SET', 'maxmemory', '0'))

    test('one load runs at a time: those who came while it ran share the next one', async () => {
      const loader = new Loader()
      const first = cache.getOrSet('full', loader.load)
      const run = await loader.started()
      const later = Array.from({ length: 50 }, () => cache.getOrSet('full', loader.load))
      await expect.poll(() => cache.getStatistics().coalesced).toBe(50)
      expect(loader.runs).toHaveLength(1)
      run.resolve('first')
      const next = await loader.started(2)
      next.resolve('next')
      expect(await first).toBe('first')
      expect(new Set(await Promise.all(later))).toEqual(new Set(['next']))
      expect(loader.runs).toHaveLength(2)
    })

    test('who comes after an invalidation by another process is handed what was read after it', async () => {
      const loader = new Loader()
      const first = cache.getOrSet('full', loader.load, { tags: ['red'] })
      const run = await loader.started()
      await make(server.url).invalidateTags('red')
      const later = cache.getOrSet('full', loader.load, { tags: ['red'] })
      run.resolve('old')
      const next = await loader.started(2)
      next.resolve('new')
      expect(await later).toBe('new')
      expect(await first).toBe('old')
    })

    test('a load that fails does not fail those who came too late for it', async () => {
      const loader = new Loader()
      const first = cache.getOrSet('full', loader.load)
      const run = await loader.started()
      const later = cache.getOrSet('full', loader.load)
      await expect.poll(() => cache.getStatistics().coalesced).toBe(1)
      run.reject(new Error('down'))
      await expect(first).rejects.toThrow('down')
      const next = await loader.started(2)
      next.resolve('next')
      expect(await later).toBe('next')
    })
  })

  test('closing while a load is under way hands out the load', async () => {
    const loader = new Loader()
    const own = cache.getOrSet('b', loader.load)
    const run = await loader.started()
    await cache.close()
    run.resolve(1)
    expect(await own).toBe(1)
    await expect(cache.get('b')).rejects.toThrow('was closed by close()')
  })

  test('a fill under way is delivered before the connection is closed', async () => {
    await cache.getOrSet('filled', () => 1)
    await cache.close()
    expect(await make(server.url).get('filled')).toBe(1)
  })
})
