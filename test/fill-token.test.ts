import { setTimeout } from 'node:timers/promises'
import { CacheConfigurationError, CacheSerializationError, type CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { cachesOver, STORES } from './helpers/caches.ts'

describe.each(STORES)('a token of begin, over %s', (kind) => {
  const { create, createTwo } = cachesOver(kind)
  let cache: CacheManager

  beforeEach(() => {
    cache = create({ clock: new ManualClock() })
  })

  test('stores what was made since, with its options', async () => {
    const token = await cache.begin('a', { namespace: 'n' })
    expect(await token.set({ x: 1 }, { ttl: 5, tags: ['red'] })).toBe(true)
    expect(await cache.get('a', { namespace: 'n' })).toEqual({ x: 1 })
    expect(await cache.ttl('a', { namespace: 'n' })).toBe(5)
    await cache.invalidateTags('red')
    expect(await cache.get('a', { namespace: 'n' })).toBeUndefined()
  })

  test.each<[string, (it: CacheManager) => Promise<unknown>]>([
    ['delete', (it) => it.delete('a')],
    ['set', (it) => it.set('a', 'set')],
    ['an invalidation of a tag that it learns later', (it) => it.invalidateTags('red')],
    ['a soft invalidation', (it) => it.invalidateTags('red', { soft: true })],
    ['clear', (it) => it.clear()],
    ['clear of its namespace', (it) => it.clear({ namespace: '' })],
    ['another begin', (it) => it.begin('a')],
    ['a forced load', (it) => it.getOrSet('a', () => 'forced', { forceRefresh: true })],
  ])('stores nothing after %s', async (_, overtake) => {
    const token = await cache.begin('a')
    await overtake(cache)
    expect(await token.set('old', { tags: ['red'] })).toBe(false)
    expect(await cache.get('a')).not.toBe('old')
  })

  test.each<[string, (it: CacheManager) => Promise<unknown>]>([
    ['delete of another key', (it) => it.delete('b')],
    ['an invalidation of a tag that it does not bear', (it) => it.invalidateTags('blue')],
    ['clear of another namespace', (it) => it.clear({ namespace: 'n' })],
  ])('stores after %s', async (_, happen) => {
    const token = await cache.begin('a')
    await happen(cache)
    expect(await token.set('new', { tags: ['red'] })).toBe(true)
    expect(await cache.get('a')).toBe('new')
  })

  test('is good for one set', async () => {
    const token = await cache.begin('a')
    expect(await token.set(1)).toBe(true)
    expect(await token.set(2)).toBe(false)
    expect(await cache.get('a')).toBe(1)
  })

  test('given back, it stores nothing and keeps nobody waiting', async () => {
    const token = await cache.begin('a')
    await token.release()
    expect(await token.set(1)).toBe(false)
    expect(await cache.getOrSet('a', () => 2)).toBe(2)
  })

  test('has no place of its own beyond the lease time: Redis refuses it, and memory once another load takes it', async () => {
    const hasty = create({ cache: { leaseTime: '20ms' } })
    const [alone, followed] = [await hasty.begin('a'), await hasty.begin('b')]
    await setTimeout(40)
    expect(await alone.set(1)).toBe(kind === 'memory')
    expect(await hasty.getOrSet('b', () => 2)).toBe(2)
    expect(await followed.set(1)).toBe(false)
  })

  test('the youngest wins', async () => {
    const first = await cache.begin('a')
    const second = await cache.begin('a')
    expect(await first.set(1)).toBe(false)
    expect(await second.set(2)).toBe(true)
    expect(await cache.get('a')).toBe(2)
  })

  test('refuses what cannot be stored and options that make no sense, and stays good', async () => {
    const token = await cache.begin('a')
    await expect(token.set(() => {})).rejects.toThrow(CacheSerializationError)
    await expect(token.set(1, { ttl: -1 })).rejects.toThrow(CacheConfigurationError)
    expect(await token.set(1)).toBe(true)
  })

  test('of another process fences this one', async () => {
    const [one, other] = createTwo()
    const first = await one.begin('a')
    const second = await other.begin('a')
    expect(await first.set(1)).toBe(false)
    expect(await second.set(2)).toBe(true)
    expect(await one.get('a')).toBe(2)
  })
})
