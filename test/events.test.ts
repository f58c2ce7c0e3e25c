import { channel } from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import type { CacheEventName, CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import { Events, type CacheEvents } from '../src/events.ts'
import { cachesOver, STORES } from './helpers/caches.ts'
import { Loader } from './helpers/loader.ts'

const ABOUT = { key: 'a', namespace: 'n' }

test('a listener hears of its event, and of no other', () => {
  const events = new Events()
  const heard: unknown[] = []
  events.on('hit', (event) => heard.push(event))
  events.emit('hit', ABOUT)
  events.emit('miss', ABOUT)
  expect(heard).toEqual([ABOUT])
})

test('a listener that was taken off hears no more, and one that was put on twice hears once', () => {
  const events = new Events()
  let heard = 0
  const listener = (): void => void heard++
  events.on('hit', listener)
  events.on('hit', listener)
  events.emit('hit', ABOUT)
  expect(heard).toBe(1)
  events.off('hit', listener)
  events.emit('hit', ABOUT)
  expect(heard).toBe(1)
  expect(() => events.off('miss', listener)).not.toThrow()
})

test('an event that does not exist is refused, with those that do', () => {
  const events = new Events()
  // @ts-expect-error there is no such event
  expect(() => events.on('hits', () => {})).toThrow(/event: expected one of hit, stale, miss, .*, got hits/)
  // @ts-expect-error nor this
  expect(() => events.on('constructor', () => {})).toThrow(TypeError)
})

test('what an event carries is typed', () => {
  const events = new Events()
  events.on('load', (event) => expectTypeOf(event.durationMs).toBeNumber())
  events.on('clear', (event) => expectTypeOf(event.namespace).toEqualTypeOf<string | undefined>())
  expectTypeOf<CacheEvents['delete']>().toHaveProperty('deleted')
})

test('a listener that throws harms neither the others nor whoever emits, and is told of as an error', () => {
  const events = new Events()
  const mistake = new Error('mine')
  const heard: unknown[] = []
  events.on('hit', () => {
    throw mistake
  })
  events.on('hit', (event) => heard.push(event))
  events.on('error', (event) => heard.push(event.error))
  expect(() => events.emit('hit', ABOUT)).not.toThrow()
  expect(heard).toEqual([mistake, ABOUT])
})

test('so is one that rejects', async () => {
  const events = new Events()
  const mistake = new Error('mine')
  const heard: unknown[] = []
  events.on('hit', () => Promise.reject(mistake))
  events.on('error', (event) => heard.push(event.error))
  events.emit('hit', ABOUT)
  await turn()
  expect(heard).toEqual([mistake])
})

test('an error listener that throws is not told of itself', () => {
  const events = new Events()
  let heard = 0
  events.on('error', () => {
    heard++
    throw new Error('again')
  })
  expect(() => events.emit('error', { error: 1 })).not.toThrow()
  expect(heard).toBe(1)
})

test('an error that nobody listens for throws nothing', () => {
  expect(() => new Events().emit('error', { error: new Error('unheard') })).not.toThrow()
})

test('the same facts go to the diagnostics channels, whichever cache they are of', () => {
  const heard: unknown[] = []
  const subscriber = (message: unknown): void => void heard.push(message)
  channel('tidemark:fill').subscribe(subscriber)
  new Events().emit('fill', ABOUT)
  channel('tidemark:fill').unsubscribe(subscriber)
  new Events().emit('fill', ABOUT)
  expect(heard).toEqual([ABOUT])
})

test('whether anybody listens is known before an event is made', () => {
  const events = new Events()
  const listener = (): void => {}
  expect(events.has('stale')).toBe(false)
  events.on('stale', listener)
  expect(events.has('stale')).toBe(true)
  events.off('stale', listener)
  expect(events.has('stale')).toBe(false)
  channel('tidemark:stale').subscribe(listener)
  expect(events.has('stale')).toBe(true)
  channel('tidemark:stale').unsubscribe(listener)
})

describe.each(STORES)('what a cache over %s tells', (kind) => {
  const { create } = cachesOver(kind)
  const NAMES = [
    'hit',
    'stale',
    'miss',
    'load',
    'fill',
    'fence',
    'set',
    'delete',
    'invalidate',
    'clear',
    'error',
  ] as const
  let clock: ManualClock
  let cache: CacheManager
  let told: [name: CacheEventName, event: unknown][]

  beforeEach(() => {
    clock = new ManualClock()
    cache = create({ clock })
    told = []
    for (const name of NAMES) cache.on(name, (event) => told.push([name, event]))
  })

  const about = { key: 'a', namespace: 'n' }
  const options = { namespace: 'n' }

  test('a miss, its load and its fill, then a hit', async () => {
    await cache.getOrSet('a', () => 1, options)
    await cache.getOrSet('a', () => 1, options)
    await expect.poll(() => told.map(([name]) => name).toSorted()).toEqual(['fill', 'hit', 'load', 'miss'])
    expect(told).toContainEqual(['miss', about])
    expect(told).toContainEqual(['load', { ...about, durationMs: expect.any(Number) }])
    expect(told).toContainEqual(['fill', about])
    expect(told).toContainEqual(['hit', about])
  })

  test('a load that failed, too', async () => {
    await expect(cache.getOrSet('a', () => Promise.reject(new Error('down')))).rejects.toThrow('down')
    expect(told.map(([name]) => name)).toEqual(['miss', 'load'])
  })

  test('a load that was overtaken is fenced', async () => {
    await cache.getOrSet('a', () => cache.delete('a', options), options)
    await expect.poll(() => told.at(-1)).toEqual(['fence', about])
    expect(told.map(([name]) => name)).toEqual(['miss', 'delete', 'load', 'fence'])
  })

  test('so is a token that was overtaken', async () => {
    const token = await cache.begin('a', options)
    await cache.delete('a', options)
    expect(await token.set(1)).toBe(false)
    expect(told.at(-1)).toEqual(['fence', about])
  })

  test('a stale entry that is served', async () => {
    await cache.set('a', 1, { ttl: 1, swr: 60, namespace: 'n' })
    clock.advance('1s')
    const loader = new Loader()
    await cache.getOrSet('a', loader.load, options)
    expect(told).toEqual([
      ['set', about],
      ['stale', about],
    ])
    ;(await loader.started()).resolve(2)
  })

  test('deletes, invalidations and clears', async () => {
    await cache.set('a', 1, options)
    await cache.delete(['a', 'b'], options)
    await cache.invalidateTags(['red', 'blue'], { soft: true })
    await cache.invalidateTags('red')
    await cache.clear(options)
    await cache.clear()
    expect(told.slice(1)).toEqual([
      ['delete', { keys: ['a', 'b'], namespace: 'n', deleted: 1 }],
      ['invalidate', { tags: ['red', 'blue'], soft: true }],
      ['invalidate', { tags: ['red'], soft: false }],
      ['clear', { namespace: 'n' }],
      ['clear', { namespace: undefined }],
    ])
  })

  test('nothing to who has been taken off, nor anything to who listens to another cache', async () => {
    const listener = (): void => void told.push(['hit', 'again'])
    cache.on('miss', listener).off('miss', listener)
    await create().get('a')
    await cache.get('a')
    expect(told).toEqual([['miss', { key: 'a', namespace: '' }]])
  })

  test('a listener that throws does not fail the call', async () => {
    const mistake = new Error('mine')
    cache.on('set', () => {
      throw mistake
    })
    await cache.set('a', 1)
    expect(await cache.get('a')).toBe(1)
    expect(told).toContainEqual(['error', { error: mistake }])
  })
})
