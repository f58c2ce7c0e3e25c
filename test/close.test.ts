/** What is left of a cache that was closed: the same over each kind of store. */
import { cached, type CacheManager } from 'tidemark'
import { beforeEach, describe, expect, test } from 'vitest'
import { cachesOver, STORES } from './helpers/caches.ts'

describe.each(STORES)('a closed cache over %s', (kind) => {
  const caches = cachesOver(kind)
  let cache: CacheManager

  beforeEach(async () => {
    cache = caches.create()
    await cache.set('a', 1)
    await cache.close()
  })

  test.each<[string, () => Promise<unknown>]>([
    ['get', () => cache.get('a')],
    ['getMany', () => cache.getMany(['a'])],
    ['set', () => cache.set('a', 1)],
    ['delete', () => cache.delete('a')],
    ['exists', () => cache.exists('a')],
    ['ttl', () => cache.ttl('a')],
    ['expire', () => cache.expire('a', 60)],
    ['begin', () => cache.begin('a')],
    ['invalidateTags', () => cache.invalidateTags('red')],
    ['clear', () => cache.clear()],
  ])('rejects %s, and says why', async (_, call) => {
    // It is no outage.
    await expect(call()).rejects.toMatchObject({ name: 'CacheException', code: 'ERR_CACHE' })
    await expect(call()).rejects.toThrow(/closed by close\(\)/)
  })

  test('is not there', async () => {
    expect(await cache.ping()).toBe(false)
  })

  test('fails no loader and no function', async () => {
    expect(await cache.getOrSet('a', () => 2)).toBe(2)
    const twice = cached(cache, { key: (n: number) => `n${n}` })(async (n: number) => 2 * n)
    expect(await twice(2)).toBe(4)
  })

  test("with onError: 'throw' rejects getOrSet too", async () => {
    const strict = caches.create({ cache: { onError: 'throw' } })
    await strict.close()
    await expect(strict.getOrSet('a', () => 2)).rejects.toThrow(/closed by close\(\)/)
  })

  test('may be closed again', async () => {
    await cache.close()
    await cache[Symbol.asyncDispose]()
  })
})
