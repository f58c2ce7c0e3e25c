import { describe, expect, test } from 'vitest'
import { createCache } from 'tidemark'
import { CacheConfigurationError, CacheKeyError } from '../src/exceptions.ts'
import { loadSettingsOf, stampsOf, windowsOf, type GetOrSetOptions } from '../src/options.ts'

const LIMITS = { defaultTtlMs: 3_600_000, maxTtlMs: 86_400_000 }

describe('windows', () => {
  test('default to the default ttl, and to no stale windows', () => {
    expect(windowsOf({}, LIMITS)).toEqual({ ttlMs: 3_600_000, swrMs: 0, graceMs: 0 })
    expect(windowsOf({ ttl: undefined, swr: 0, grace: 0 }, LIMITS)).toEqual({ ttlMs: 3_600_000, swrMs: 0, graceMs: 0 })
  })

  test('are seconds, or carry their unit', () => {
    expect(windowsOf({ ttl: 5, swr: '250ms', grace: '1h' }, LIMITS)).toEqual({
      ttlMs: 5000,
      swrMs: 250,
      graceMs: 3_600_000,
    })
  })

  test('are each clamped to the longest ttl', () => {
    expect(windowsOf({ ttl: '2d', swr: '3d', grace: '4d' }, LIMITS)).toEqual({
      ttlMs: 86_400_000,
      swrMs: 86_400_000,
      graceMs: 86_400_000,
    })
  })
})

describe('the settings of a load', () => {
  test('leave out what nobody asked for', () => {
    expect(loadSettingsOf('n', {}, LIMITS)).toEqual({
      tags: ['n:n'],
      windows: { ttlMs: 3_600_000, swrMs: 0, graceMs: 0 },
      negativeTtlMs: undefined,
      compress: undefined,
      softTimeoutMs: undefined,
      hardTimeoutMs: undefined,
      signal: undefined,
      isForced: undefined,
    })
  })

  test('clamp the ttl of nothing as any other', () => {
    expect(loadSettingsOf('', { negativeTtl: '2d' }, LIMITS).negativeTtlMs).toBe(86_400_000)
    expect(loadSettingsOf('', { negativeTtl: 30 }, LIMITS).negativeTtlMs).toBe(30_000)
  })

  test.each([
    [{ ttl: 0 }, 'ttl', 'a duration above zero', '0'],
    [{ ttl: -1 }, 'ttl', 'a duration above zero', '-1'],
    [{ ttl: '5' }, 'ttl', 'a duration above zero', "'5'"],
    [{ ttl: null }, 'ttl', 'a duration above zero', 'null'],
    [{ swr: 'soon' }, 'swr', 'a duration above zero', "'soon'"],
    [{ grace: {} }, 'grace', 'a duration above zero', 'an object'],
    [{ negativeTtl: -5 }, 'negativeTtl', 'a duration above zero', '-5'],
    [{ softTimeout: '1 w' }, 'softTimeout', 'a duration above zero', "'1 w'"],
    [{ softTimeout: '5s', hardTimeout: 1 }, 'softTimeout', 'at most hardTimeout (1)', "'5s'"],
    [{ jitter: 2 }, 'jitter', 'a number from 0 to 1', '2'],
    [{ compress: 'yes' }, 'compress', 'true or false', "'yes'"],
    [{ forceRefresh: 1 }, 'forceRefresh', 'true or false', '1'],
    [{ hardTimeout: true }, 'hardTimeout', 'a duration above zero', 'true'],
    [{ tags: 7 }, 'tags', 'an array of strings', '7'],
    [{ tags: null }, 'tags', 'an array of strings', 'null'],
    [{ signal: {} }, 'signal', 'an AbortSignal', 'an object'],
  ])('%o is refused by name', (options, path, expected, got) => {
    expect(() => loadSettingsOf('', options as GetOrSetOptions, LIMITS)).toThrow(CacheConfigurationError)
    expect(() => loadSettingsOf('', options as GetOrSetOptions, LIMITS)).toThrow(
      expect.objectContaining({ faults: [{ path, expected: expect.stringContaining(expected), got }] }),
    )
  })
})

describe('stamps', () => {
  test('are the namespace, then the tags', () => {
    expect(stampsOf('users', ['red', 'blue'])).toEqual(['n:users', 't:red', 't:blue'])
    expect(stampsOf('users', 'red')).toEqual(['n:users', 't:red'])
    expect(stampsOf('')).toEqual(['n:'])
  })

  test('a tag that is none is refused', () => {
    expect(() => stampsOf('', ['ok', ''])).toThrow(CacheKeyError)
  })
})

describe('the options of a call', () => {
  const cache = createCache({ redis: false, logger: { info: () => {}, warn: () => {}, error: () => {} } })

  test.each([
    ['clear', () => cache.clear('users' as never)],
    ['clear', () => cache.clear({ ns: 'users' } as never)],
    ['set', () => cache.set('a', 1, 60 as never)],
    ['set', () => cache.set('a', 1, { tll: 60 } as never)],
    ['get', () => cache.get('a', { namespce: 'x' } as never)],
    ['delete', () => cache.delete('a', 'b' as never)],
    ['getOrSet', () => cache.getOrSet('a', () => 1, { forceRefesh: true } as never)],
    ['invalidateTags', () => cache.invalidateTags('t', { sotf: true } as never)],
    ['setMany', () => cache.setMany({ a: 1 } as never)],
    ['setMany', () => cache.setMany(['ab'] as never)],
    ['get, which has no ttl', () => cache.get('a', { ttl: 60 } as never)],
    ['clear, which is never soft', () => cache.clear({ soft: true } as never)],
    ['invalidateTags, to which namespaces mean nothing', () => cache.invalidateTags('t', { namespace: 'n' } as never)],
    ['a token, which has a namespace', async () => (await cache.begin('a')).set(1, { namespace: 'n' } as never)],
    ['getMany', () => cache.getMany('a' as never)],
  ])('that are misspelt or none are refused by %s', async (_name, call) => {
    await expect(call()).rejects.toBeInstanceOf(CacheConfigurationError)
  })

  test('setMany stores nothing if one of its entries is none', async () => {
    const entries = [['early', 1], undefined] as never
    await expect(cache.setMany(entries)).rejects.toThrow('entries[1]: expected a key and its value, got undefined')
    expect(await cache.get('early')).toBeUndefined()
  })

  test.each<[string, string[], () => Promise<unknown>]>([
    ['set', ['ttl', 'swr', 'tll'], () => cache.set('a', 1, { ttl: -1, swr: 'soon', tll: 5 } as never)],
    ['getOrSet', ['jitter', 'tags'], () => cache.getOrSet('a', () => 1, { jitter: 2, tags: 7 } as never)],
    [
      'a token',
      ['grace', 'compress'],
      async () => (await cache.begin('a')).set(1, { grace: -1, compress: 1 } as never),
    ],
    ['invalidateTags', ['soft', 'strict'], () => cache.invalidateTags('t', { soft: 'yes', strict: 1 } as never)],
    ['invalidateTags', ['holdFor'], () => cache.invalidateTags('t', { holdFor: '2d' })],
  ])('are all told of by %s: %j', async (_name, paths, call) => {
    const error = (await call().catch((refused: unknown) => refused)) as CacheConfigurationError
    expect(error).toBeInstanceOf(CacheConfigurationError)
    expect(error.faults.map(({ path }) => path)).toEqual(paths)
  })

  test('a loader that is none is refused on a hit as well', async () => {
    await cache.set('there', 1)
    await expect(cache.getOrSet('there', undefined as never)).rejects.toThrow('loader: expected a function')
  })

  test('are named by the call that refuses one: its own, and no others', async () => {
    await expect(cache.set('a', 1, { forceRefresh: true } as never)).rejects.toThrow(
      'forceRefresh: expected one of namespace, ttl, tags, swr, grace, jitter, compress, got an unknown option',
    )
    await expect(cache.set('a', 1, { tll: 60 } as never)).rejects.toThrow(
      "tll: expected a known option (did you mean 'ttl'?)",
    )
    await expect(cache.get('a', { ttl: 60 } as never)).rejects.toThrow('ttl: expected one of namespace, got')
  })
})
