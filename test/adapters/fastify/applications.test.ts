/** Two applications, one cache: nobody is sent what the other one answers. */
import type { FastifyInstance } from 'fastify'
import { describe, expect, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import tidemark, { cached, setupCache, type CacheRouteOptions, type CacheSetupOptions } from 'tidemark/fastify'
import { cachesOver, STORES } from '../../helpers/caches.ts'
import { get, inMemory, makeApp, summary } from './harness.ts'

interface Made extends CacheSetupOptions {
  readonly says: string
  readonly options?: Partial<CacheRouteOptions>
}

function make(cache: CacheManager, { says, options, ...setup }: Made): FastifyInstance {
  const app = makeApp()
  setupCache(app, cache, setup)
  app.get('/stats', cached(cache, { ttl: 60, ...options }), async () => says)
  return app
}

const REFUSED =
  /applications of one cache:\n {2}\/stats: expected setupCache\(app, cache, { name }\).* got a second application/

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  test('of different names they have entries of their own, whatever Host a client makes up', async () => {
    const cache = caches.create()
    const admin = make(cache, { says: 'secret', name: 'admin' })
    const site = make(cache, { says: 'public' })
    const shop = make(cache, { says: 'shop', name: 'shop' })
    const headers = { host: 'admin.internal' }
    expect(summary(await get(admin, '/stats', headers))).toBe('MISS secret')
    expect(summary(await get(site, '/stats', headers))).toBe('MISS public')
    expect(summary(await get(shop, '/stats', headers))).toBe('MISS shop')
    expect(summary(await get(admin, '/stats', headers))).toBe('HIT secret')
  })

  test('of one name they share, as the processes of one application do', async () => {
    const [one, other] = caches.createTwo()
    const first = make(one, { says: 'first', name: 'site' })
    const second = make(one, { says: 'second', name: 'site' })
    const third = make(other, { says: 'third', name: 'site' })
    expect(summary(await get(first, '/stats'))).toBe('MISS first')
    for (const app of [second, third]) expect(summary(await get(app, '/stats'))).toBe('HIT first')
  })

  test('without a name the processes of one application share', async () => {
    const [one, other] = caches.createTwo()
    expect(summary(await get(make(one, { says: 'one' }), '/stats'))).toBe('MISS one')
    expect(summary(await get(make(other, { says: 'other' }), '/stats'))).toBe('HIT one')
  })
})

test('without names they are refused when a route of theirs would use the same entries', async () => {
  const cache = inMemory()
  make(cache, { says: 'one' })
  expect(() => make(cache, { says: 'two' })).toThrow(REFUSED)
  expect(() => make(cache, { says: 'three', options: { namespace: 'other' } })).not.toThrow()
})

test('one that was closed is in nobody’s way', async () => {
  const cache = inMemory()
  await make(cache, { says: 'one' }).close()
  expect(() => make(cache, { says: 'two' })).not.toThrow()
})

test.each([
  [['a.test'], ['b.test'], true],
  [['a.test'], ['b.test', 'A.test'], false],
  [['a.test:80'], ['a.test'], false],
  [['a.test'], undefined, false],
])('hosts %j and %j tell them apart: %s', (some, others, areApart) => {
  const cache = inMemory()
  make(cache, { says: 'one', options: { hosts: some } })
  const second = (): FastifyInstance => make(cache, { says: 'two', options: { hosts: others } })
  if (areApart) expect(second).not.toThrow()
  else expect(second).toThrow(REFUSED)
})

test('the plugin takes a name, too', async () => {
  const cache = inMemory()
  make(cache, { says: 'one' })
  const app = makeApp()
  await app.register(tidemark, { manager: cache, name: 'two' })
  app.get('/stats', cached(cache, { ttl: 60 }), async () => 'two')
  expect(summary(await get(app, '/stats'))).toBe('MISS two')
})

test.each([
  [{ name: '' }, "name: expected a non-empty string, got ''"],
  [{ name: 7 }, 'name: expected a non-empty string, got 7'],
  [{ nam: 'a' }, "nam: expected a known option (did you mean 'name'?), got an unknown option"],
])('%j is refused', (setup, message) => {
  expect(() => setupCache(makeApp(), inMemory(), setup as CacheSetupOptions)).toThrow(message)
})
