/** An invalidation that could not be delivered rejects, is not forgotten, and until it is delivered nothing is served. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createCache, RedisConnectionError, RedisReplyError, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { Undelivered } from '../../../src/stores/redis/undelivered.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let proxy: FaultProxy
let cut: CacheManager
let whole: CacheManager

beforeEach(async () => {
  server = await startRedis()
  proxy = await startFaultProxy({ target: server })
  cut = createCache({ redis: { host: proxy.host, port: proxy.port, socketTimeout: '200ms' }, logger: SILENT })
  whole = createCache({ redis: { url: server.url }, logger: SILENT })
  await whole.set('k', 'old', { tags: ['t'] })
  await cut.get('k')
})
afterEach(async () => {
  await Promise.all([cut.close(), whole.close()])
  await proxy.close()
  await server.stop()
})

function cutOff(): void {
  proxy.refuse()
  proxy.cut()
}

const INVALIDATIONS = [
  ['delete', () => cut.delete('k')],
  ['invalidateTags', () => cut.invalidateTags('t')],
  ['soft invalidateTags', () => cut.invalidateTags('t', { soft: true })],
  ['clear', () => cut.clear()],
] as const

describe.each(INVALIDATIONS)('%s', (_how, invalidate) => {
  test('rejects, and is delivered to all when Redis is back, without another call', async () => {
    cutOff()
    await expect(invalidate()).rejects.toBeInstanceOf(RedisConnectionError)
    expect(await whole.get('k')).toBe('old')
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
  })

  test('comes before the first read of this process', async () => {
    cutOff()
    await invalidate().catch(() => undefined)
    await proxy.accept()
    let value: unknown = 'unreachable'
    while (value === 'unreachable') value = await cut.get('k').catch(() => 'unreachable')
    expect(value).toBeUndefined()
  })

  test('keeps getOrSet of this process from the stored entry as long as it lasts', async () => {
    cutOff()
    await invalidate().catch(() => undefined)
    expect(await cut.getOrSet('k', () => 'loaded')).toBe('loaded')
  })
})

describe('thousands of them', () => {
  const MANY = Array.from({ length: 12 }, (_, n) => Array.from({ length: 500 }, (_x, i) => `${n}-${i}`))

  test('are one: the namespace of their keys, and of others nothing is lost', async () => {
    const place = { namespace: 'a:b' }
    await whole.set('k', 'old', place)
    await whole.set('other', 'old', { namespace: 'c' })
    cutOff()
    await Promise.allSettled(MANY.map((keys) => cut.delete(keys, place)))
    await proxy.accept()
    await expect.poll(() => whole.get('k', place), { timeout: 5000 }).toBeUndefined()
    expect(await whole.get('other', { namespace: 'c' })).toBe('old')
    expect(await whole.get('k')).toBe('old')
    await whole.set('k', 'new', place)
    await expect.poll(() => cut.get('k', place).catch(() => undefined), { timeout: 5000 }).toBe('new')
  })

  test('of as many namespaces are one: everything', async () => {
    cutOff()
    const namespaces = Array.from({ length: 10_001 }, (_, i) => `n${i}`)
    await Promise.allSettled(namespaces.map((namespace) => cut.delete('another', { namespace })))
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
  })

  test('of tags are one: everything', async () => {
    cutOff()
    await Promise.allSettled(
      MANY.flatMap((tags) => [cut.invalidateTags(tags), cut.invalidateTags(tags.map((t) => `${t}!`))]),
    )
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
  })
})

describe('with holdFor', () => {
  const held = async (): Promise<number> => Number(await server.call('PTTL', 'cache:{#0}h'))

  test('it is delivered with what is left of it', async () => {
    cutOff()
    await expect(cut.invalidateTags('t', { holdFor: '1m' })).rejects.toBeInstanceOf(RedisConnectionError)
    await cut.invalidateTags('t').catch(() => undefined)
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
    expect(await whole.getOrSet('r', () => 'from a replica that lags', { tags: ['t'] })).toBe(
      'from a replica that lags',
    )
    expect(await whole.get('r')).toBeUndefined()
    expect(await held()).toBeGreaterThan(50_000)
    expect(await held()).toBeLessThanOrEqual(60_000)
  })

  test('it is delivered without, once that is over', async () => {
    cutOff()
    await cut.invalidateTags('t', { holdFor: '1ms' }).catch(() => undefined)
    await proxy.accept()
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
    expect(await held()).toBe(-2)
  })
})

test('the rejection says that it is queued, and why', async () => {
  cutOff()
  for (const [, invalidate] of INVALIDATIONS) {
    await expect(invalidate()).rejects.toThrow(/ECONN\w+.*; it is queued and will be delivered when Redis answers$/)
  }
})

describe('at close()', () => {
  const lines: string[] = []
  let closing: CacheManager

  beforeEach(() => {
    lines.length = 0
    const redis = { host: proxy.host, port: proxy.port, socketTimeout: '200ms' } as const
    closing = createCache({ redis, logger: { ...SILENT, warn: (line) => void lines.push(line) } })
  })

  test('what is still undelivered is told', async () => {
    await closing.get('k')
    cutOff()
    await closing.delete('k').catch(() => undefined)
    await closing.invalidateTags('t').catch(() => undefined)
    await Promise.all([closing.close(), closing.close()])
    const told = lines.filter((line) => line.includes('undelivered'))
    expect(told).toHaveLength(1)
    expect(told[0]).toBe(
      'tidemark: closed with 2 invalidations undelivered: what they name may be served until its ttl ends (ERR_CACHE)',
    )
    expect(await whole.get('k')).toBe('old')
  })
})

describe('after close()', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  test('nothing is tried any more, though a try was under way', async () => {
    let fail: (error: Error) => void = () => {}
    const remove = (): Promise<never> => new Promise((_, reject) => (fail = reject))
    const undelivered = new Undelivered({ remove, invalidate: remove })
    undelivered.addIds(['k::a'])
    await vi.runOnlyPendingTimersAsync()
    void undelivered.close(0)
    fail(new RedisConnectionError('closed'))
    await vi.runOnlyPendingTimersAsync()
    undelivered.addStamps(['t:a'], {})
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('refused again and again', () => {
  let code: string
  let tries: readonly string[][]
  let undelivered: Undelivered

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    tries = []
    const invalidate = (names: readonly string[]): Promise<unknown> => {
      tries = [...tries, [...names]]
      return code === '' ? Promise.resolve() : Promise.reject(new RedisReplyError('refused', code))
    }
    undelivered = new Undelivered({ remove: invalidate, invalidate })
  })
  afterEach(() => void vi.useRealTimers())

  const triesWithin = async (ms: number): Promise<number> => {
    const before = tries.length
    await vi.advanceTimersByTimeAsync(ms)
    return tries.length - before
  }

  test.each(['BUSY', 'MISCONF', 'OOM', 'NOREPLICAS', 'ERR'])(
    'for %s, they are delivered a second after that is over',
    async (why) => {
      code = why
      undelivered.addStamps(['t:a'], {})
      expect(await triesWithin(60_000)).toBeGreaterThan(50)
      code = ''
      await vi.advanceTimersByTimeAsync(1300)
      expect(undelivered.isEmpty).toBe(true)
    },
  )

  test('for a right that is missing, they are tried less and less; what is new does not wait for them', async () => {
    code = 'NOPERM'
    undelivered.addStamps(['t:a'], {})
    await vi.advanceTimersByTimeAsync(120_000)
    expect(await triesWithin(60_000)).toBeLessThan(4)
    await vi.advanceTimersByTimeAsync(5000)
    undelivered.addStamps(['t:b'], {})
    expect(await triesWithin(1300)).toBe(1)
    expect(tries.at(-1)).toEqual(['t:a', 't:b'])
  })
})

describe('many of them', () => {
  const held = (count: number): Undelivered => {
    const undelivered = new Undelivered({ remove: () => Promise.resolve(), invalidate })
    for (let n = 1; n <= count; n++) undelivered.addStamps([`t:${n}`], { holdMs: n * 10_000 })
    return undelivered
  }
  let asked: string[]
  let invalidate: (names: readonly string[]) => Promise<unknown>

  beforeEach(() => void (asked = []))

  test('are sent together: they take one round trip', async () => {
    let answer: () => void = () => {}
    const answered = new Promise<void>((resolve) => (answer = resolve))
    invalidate = (names) => {
      asked.push(...names)
      if (asked.length === 20) answer()
      return answered
    }
    const undelivered = held(20)
    await undelivered.replay()
    expect(undelivered.isEmpty).toBe(true)
    await undelivered.close(0)
  })

  test('are delivered though Redis refuses one of them', async () => {
    invalidate = (names) => {
      asked.push(...names)
      return names.includes('t:1') ? Promise.reject(new RedisReplyError('refused', 'ERR')) : Promise.resolve()
    }
    const undelivered = held(3)
    await undelivered.replay()
    expect(asked).toEqual(['t:1', 't:2', 't:3'])
    expect(['t:1', 't:2', 't:3'].map((tag) => undelivered.concerns('k::a', [tag]))).toEqual([true, false, false])
    expect(undelivered.waiting).toBe(1)
    await undelivered.close(0)
  })
})

test('a full Redis takes invalidations, and no entries', async () => {
  await server.call('CONFIG', 'SET', 'maxmemory', '1mb')
  await whole.invalidateTags('t', { holdFor: '1s' })
  expect(await whole.get('k')).toBeUndefined()
  await whole.delete('k')
  const failure = whole.set('k', 'new')
  await expect(failure).rejects.toBeInstanceOf(RedisReplyError)
  await expect(failure).rejects.toMatchObject({ code: 'ERR_CACHE_REDIS_REPLY', replyCode: 'OOM' })
})

describe.each([false, true])('refused by Redis, with l1: %s', (l1) => {
  let limited: CacheManager

  beforeEach(async () => {
    await server.call('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all')
    await whole.set('other', 'valid', { tags: ['u'] })
    const redis = { url: server.url, username: 'limited', password: 'secret' }
    limited = createCache({ redis, cache: { l1 }, logger: SILENT })
    for (const key of ['k', 'other']) await expect.poll(() => limited.get(key)).toBeDefined()
  })
  afterEach(() => limited.close())

  const allow = (command: string): Promise<unknown> => server.call('ACL', 'SETUSER', 'limited', `+${command}`)
  const forbid = (command: string): Promise<unknown> => server.call('ACL', 'SETUSER', 'limited', `-${command}`)

  test.each([
    ['delete', 'del', () => limited.delete('k')],
    ['invalidateTags', 'zadd', () => limited.invalidateTags('t')],
  ])('%s rejects, and this process serves all but what it names, until it is delivered', async (_, command, call) => {
    await forbid(command)
    await expect(call()).rejects.toBeInstanceOf(RedisReplyError)
    for (let n = 0; n < 3; n++) {
      expect(await limited.get('k')).toBeUndefined()
      expect(await limited.get('other')).toBe('valid')
      // Without DEL no lease can be ended.
      if (command === 'del') continue
      expect(await limited.getOrSet('k', () => `loaded ${n}`, { tags: ['t'] })).toBe(`loaded ${n}`)
    }
    await allow(command)
    await expect.poll(() => whole.get('k'), { timeout: 5000 }).toBeUndefined()
    await whole.set('k', 'new', { tags: ['t'] })
    await expect.poll(() => limited.get('k'), { timeout: 5000 }).toBe('new')
  })

  test('what an invalidation that was refused names is not there for the other calls either', async () => {
    await forbid('zadd')
    await expect(limited.invalidateTags('t')).rejects.toBeInstanceOf(RedisReplyError)
    expect([await limited.exists('k'), await limited.exists('other')]).toEqual([0, 1])
    expect(await limited.ttl('k')).toBeUndefined()
    expect([await limited.expire('k', 100), await limited.expire('other', 100)]).toEqual([false, true])
    expect([await limited.delete('k'), await limited.delete('other')]).toEqual([0, 1])
  })

  test('clear rejects, and this process serves nothing until it is delivered', async () => {
    await forbid('zadd')
    await expect(limited.clear()).rejects.toBeInstanceOf(RedisReplyError)
    expect(await limited.getMany(['k', 'other'])).toEqual([undefined, undefined])
    await allow('zadd')
    await expect.poll(() => whole.get('other'), { timeout: 5000 }).toBeUndefined()
  })
  test('close() tries once more', async () => {
    await forbid('del')
    await expect(limited.delete('k')).rejects.toThrow(/; it is queued and will be delivered when Redis takes it$/)
    // Tried before this read, and refused again: the next try is a while away.
    await limited.get('other')
    await allow('del')
    await limited.close()
    expect(await whole.get('k')).toBeUndefined()
  })
})
