import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { CacheManager } from 'tidemark'
import { ManualClock } from 'tidemark/testing'
import type { Entry } from '../../src/entry.ts'
import { responseKey, type ResponseKey } from '../../src/http/key.ts'
import type { Hit, Lead } from '../../src/http/lead.ts'
import type { Headers } from '../../src/http/message.ts'
import { ResponseCache, type Begun } from '../../src/http/response-cache.ts'
import type { RoutePolicy } from '../../src/http/route-policy.ts'
import { cachesOver, STORES } from '../helpers/caches.ts'
import { makePolicy, makeRequest, makeResponse, nextFill, type RequestFacts } from './facts.ts'

const noRerun = (): never => {
  throw new Error('a refresh was not expected')
}

function lead(begun: Begun): Lead {
  if (begun.kind !== 'lead') throw new Error(`expected a lead, got ${JSON.stringify(begun)}`)
  return begun
}

function hit(begun: Begun): Hit & { readonly body: string } {
  if (begun.kind !== 'hit') throw new Error(`expected a hit, got ${begun.kind}`)
  return { ...begun, body: begun.response.body.toString() }
}

describe.each(STORES)('on %s', (kind) => {
  const caches = cachesOver(kind)

  function start(policy: Partial<RoutePolicy> = {}): Route {
    const clock = new ManualClock()
    return new Route(caches.create({ clock }), clock, policy)
  }

  class Route {
    readonly cache: CacheManager
    readonly clock: ManualClock
    readonly responses: ResponseCache

    constructor(cache: CacheManager, clock: ManualClock, policy: Partial<RoutePolicy>) {
      this.cache = cache
      this.clock = clock
      this.responses = new ResponseCache(cache, makePolicy(policy))
    }

    begin(facts: RequestFacts = {}, rerun: (lead: Lead) => void = noRerun): Promise<Begun> {
      return Promise.resolve(this.responses.begin(makeRequest(facts), rerun))
    }

    /** Requests that wait for somebody else's load. */
    async joining(count: number, facts: RequestFacts = {}): Promise<readonly Promise<Begun>[]> {
      const before = this.cache.getStatistics().coalesced
      const begun = Array.from({ length: count }, () => this.begin(facts))
      await expect.poll(() => this.cache.getStatistics().coalesced, { interval: 2 }).toBe(before + count)
      return begun
    }

    async fill(body: string, headers: Headers = {}, facts: RequestFacts = {}): Promise<void> {
      const filled = nextFill(this.cache)
      lead(await this.begin(facts)).finish(makeResponse(body, headers), {})
      await filled
    }
  }

  test('the first leads, the next is answered with what it made', async () => {
    const route = start()
    const first = lead(await route.begin())
    expect(first.forward).toBe('uri-miss')
    const filled = nextFill(route.cache)
    first.finish(makeResponse('hello', { 'content-type': 'text/plain', 'x-id': '1' }, 404), { 'x-id': '1' })
    await filled
    route.clock.advance(20)
    const next = hit(await route.begin())
    expect(next).toMatchObject({ isStale: false, ageSeconds: 20, ttlSeconds: 40, body: 'hello' })
    expect(next.response).toMatchObject({
      status: 404,
      headers: { 'content-type': 'text/plain', date: 'Thu, 01 Jan 2026 00:00:00 GMT' },
    })
    expect(next.response.headers).not.toHaveProperty('x-id')
  })

  test('what a long key is stored under is its hash, and two with one hash are not each other', async () => {
    const route = start()
    const [alice, bob] = ['alice', 'bob'].map((who) => ({ name: 'all', search: `who=${who}${'.'.repeat(200)}` })) as [
      RequestFacts,
      RequestFacts,
    ]
    await route.fill("alice's", {}, alice)
    const { store, loads } = route.cache.parts
    const [ofAlice, ofBob] = [alice, bob].map((facts) => responseKey(makeRequest(facts), makePolicy())) as [
      ResponseKey,
      ResponseKey,
    ]
    // As it would stand there if both had the same hash.
    const entry = (await loads.find(ofAlice)) as Entry
    await store.set(ofBob.id, entry)
    expect(await loads.find(ofBob)).toMatchObject({ entryId: entry.entryId })
    lead(await route.begin(bob)).drop('gone')
    await route.fill("bob's", {}, bob)
    expect(hit(await route.begin(bob)).body).toBe("bob's")
    expect(hit(await route.begin(alice)).body).toBe("alice's")
  })

  test('a long key that turns out to vary is known to those who waited', async () => {
    const route = start({ kind: 'rfc9111', windows: { ttlMs: 3_600_000, swrMs: 0, graceMs: 0 } })
    const facts = { search: 'x'.repeat(200), headers: { foo: '1' } }
    const first = lead(await route.begin(facts))
    const others = await route.joining(3, facts)
    first.finish(makeResponse('hello', { 'cache-control': 'max-age=60', vary: 'foo' }), {})
    for (const other of await Promise.all(others)) expect(hit(other).body).toBe('hello')
    expect(hit(await route.begin(facts)).body).toBe('hello')
  })

  test('a hit in memory makes no promise', async () => {
    const route = start()
    await route.fill('hello')
    const begun = route.responses.begin(makeRequest(), noRerun)
    expect(begun instanceof Promise).toBe(kind === 'Redis')
    await begun
  })

  test('those who come while it leads wait for it', async () => {
    const route = start()
    const first = lead(await route.begin())
    const others = await route.joining(20)
    first.finish(makeResponse('hello'), {})
    for (const other of await Promise.all(others)) expect(hit(other).body).toBe('hello')
    expect(route.cache.getStatistics()).toMatchObject({ loads: 1, coalesced: 20, misses: 21 })
  })

  test('those who wait for a response that may not be stored run the handler, in parallel, and so does who comes after', async () => {
    const route = start()
    const first = lead(await route.begin())
    const others = await route.joining(2)
    first.drop('refused')
    const led = (await Promise.all(others)).map(lead)
    const after = lead(await route.begin())
    led.forEach((one) => one.drop('refused'))
    after.finish(makeResponse('hello'), {})
  })

  test('for two seconds; then one leads again', async () => {
    const route = start()
    lead(await route.begin()).drop('refused')
    route.clock.advance(2)
    const first = lead(await route.begin())
    const [other] = await route.joining(1)
    first.finish(makeResponse('hello'), {})
    expect(hit(await other!).body).toBe('hello')
  })

  test('a response that may be stored is stored also while nobody waits', async () => {
    const route = start()
    lead(await route.begin()).drop('refused')
    // Its lease is given back a moment later; as long as it is held only its holder can store.
    await setImmediate()
    await route.fill('hello')
    expect(hit(await route.begin()).body).toBe('hello')
  })

  test('when whoever leads is gone, one of those who wait leads, and the others wait for that one', async () => {
    const route = start()
    const first = lead(await route.begin())
    const others = await route.joining(3)
    first.drop('gone')
    const second = lead(await Promise.race(others))
    await expect.poll(() => route.cache.getStatistics().coalesced, { interval: 2 }).toBe(5)
    second.finish(makeResponse('hello'), {})
    const begun = await Promise.all(others)
    expect(begun.map((one) => one.kind).toSorted()).toEqual(['hit', 'hit', 'lead'])
    expect(route.cache.getStatistics().loads).toBe(2)
  })

  test('the first word about a lead counts', async () => {
    const route = start()
    const first = lead(await route.begin())
    first.finish(makeResponse('hello'), {})
    first.drop('refused')
    first.finish(makeResponse('other'), {})
    expect(first.isOver).toBe(true)
    expect(hit(await route.begin()).body).toBe('hello')
    // Had the drop counted, nobody would wait now.
    await route.cache.delete('/')
    const second = lead(await route.begin())
    const [other] = await route.joining(1)
    second.finish(makeResponse('again'), {})
    expect(hit(await other!).body).toBe('again')
  })

  test('a dropped lead stores nothing', async () => {
    const route = start()
    const first = lead(await route.begin())
    first.drop('failed')
    first.finish(makeResponse('hello'), {})
    expect((await route.begin()).kind).toBe('lead')
  })

  test('HEAD and Range are answered from what is stored, and fill nothing', async () => {
    const route = start()
    expect(await route.begin({ method: 'HEAD' })).toEqual({ kind: 'bypass', reason: 'head' })
    expect(await route.begin({ headers: { range: 'bytes=0-1' } })).toEqual({ kind: 'bypass', reason: 'range' })
    await route.fill('hello')
    expect(hit(await route.begin({ method: 'HEAD' })).body).toBe('hello')
    expect(hit(await route.begin({ headers: { range: 'bytes=0-1' } })).body).toBe('hello')
  })

  test('the name and the tags reach what is stored', async () => {
    const route = start({ namespace: 'items' })
    const facts = { name: 'list', tags: ['shop'] }
    await route.fill('one', {}, facts)
    expect(hit(await route.begin(facts)).body).toBe('one')
    expect(await route.cache.delete('list', { namespace: 'items' })).toBe(1)
    await route.fill('two', {}, facts)
    await route.cache.invalidateTags('shop')
    await route.fill('three', {}, facts)
    await route.cache.clear({ namespace: 'items' })
    expect((await route.begin(facts)).kind).toBe('lead')
  })

  test('deleting a name takes all its variants, and those alone', async () => {
    const route = start({ vary: ['accept-language'] })
    const german = { headers: { 'accept-language': 'de' } }
    await route.fill('hello')
    await route.fill('hallo', {}, german)
    await route.fill('other', {}, { path: '/other' })
    expect(await route.cache.delete('/')).toBe(1)
    expect((await route.begin()).kind).toBe('lead')
    expect((await route.begin(german)).kind).toBe('lead')
    expect(hit(await route.begin({ path: '/other' })).body).toBe('other')
  })

  test('what is deleted while the handler runs is not stored', async () => {
    const route = start()
    const first = lead(await route.begin())
    await route.cache.delete('/')
    first.finish(makeResponse('outdated'), {})
    lead(await route.begin()).finish(makeResponse('current'), {})
    expect(hit(await route.begin()).body).toBe('current')
  })

  describe('a request with an Authorization', () => {
    const alice = { headers: { authorization: 'alice' } }

    test('neither waits for others nor lets others wait for it', async () => {
      const route = start()
      const first = lead(await route.begin(alice))
      const second = lead(await route.begin(alice))
      const anonymous = start().begin()
      first.drop('refused')
      second.drop('refused')
      lead(await anonymous).drop('gone')
    })

    test('is not answered with what is stored for everybody, and leaves it there', async () => {
      const route = start()
      await route.fill('for everybody')
      const begun = lead(await route.begin(alice))
      expect(begun.refusal({ status: 200, headers: {} }, {})).toBe('authorization')
      begun.drop('refused')
      expect(hit(await route.begin()).body).toBe('for everybody')
    })

    test('shares a response that says that it may', async () => {
      const route = start()
      await route.fill('hello', { 'cache-control': 'public' }, alice)
      expect(hit(await route.begin({ headers: { authorization: 'bob' } })).body).toBe('hello')
      expect(hit(await route.begin()).body).toBe('hello')
    })

    test('does not keep others from storing theirs, however many there are', async () => {
      const route = start()
      lead(await route.begin(alice)).drop('refused')
      const many = await Promise.all(Array.from({ length: 5 }, () => route.begin(alice)))
      // None of them holds the lease: an anonymous request does not wait for theirs, and its response is stored.
      await route.fill('hello')
      expect(hit(await route.begin()).body).toBe('hello')
      many.map(lead).forEach((one) => one.drop('refused'))
    })

    test('does not make anonymous requests run the handler in parallel', async () => {
      const route = start()
      lead(await route.begin(alice)).drop('refused')
      const first = lead(await route.begin())
      const [other] = await route.joining(1)
      first.finish(makeResponse('hello'), {})
      expect(hit(await other!).body).toBe('hello')
    })

    test('that was given up fills the next time, if its response may be shared', async () => {
      const route = start()
      lead(await route.begin(alice)).drop('gone')
      await setImmediate()
      await route.fill('hello', { 'cache-control': 'public' }, alice)
      expect(hit(await route.begin()).body).toBe('hello')
    })

    test('of a user that the key knows shares with the same user', async () => {
      const route = start({ hasUser: true })
      await route.fill("alice's", {}, { ...alice, user: 'alice' })
      expect(hit(await route.begin({ ...alice, user: 'alice' })).body).toBe("alice's")
      expect((await route.begin({ ...alice, user: 'bob' })).kind).toBe('lead')
    })

    test('and no user, on a route that has users, is nobody’s', async () => {
      const route = start({ hasUser: true })
      const begun = lead(await route.begin(alice))
      expect(begun.refusal({ status: 200, headers: {} }, {})).toBe('authorization')
      begun.drop('refused')
    })
  })

  describe('past its ttl', () => {
    const windows = { ttlMs: 60_000, swrMs: 30_000, graceMs: 30_000 }

    test('a response is served at once while one refresh runs behind', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(61)
      const leads: Lead[] = []
      const refreshed = nextFill(route.cache)
      const rerun = (one: Lead): void => void leads.push(one)
      for (let i = 0; i < 3; i++) {
        expect(hit(await route.begin({}, rerun))).toMatchObject({ isStale: true, body: 'old', ttlSeconds: -1 })
      }
      await expect.poll(() => leads.length).toBe(1)
      leads[0]!.finish(makeResponse('new'), {})
      await refreshed
      expect(hit(await route.begin())).toMatchObject({ isStale: false, body: 'new' })
    })

    test('a refresh that stores nothing leaves it, and is not tried again for two seconds', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(61)
      let tries = 0
      const rerun = (one: Lead): void => {
        tries++
        one.drop('failed')
      }
      await route.begin({}, rerun)
      await expect.poll(() => tries).toBe(1)
      expect(hit(await route.begin({}, rerun)).body).toBe('old')
      // Had it asked for the lease, it would have it by now.
      await route.cache.ping()
      await setImmediate()
      expect(tries).toBe(1)
      route.clock.advance(2)
      await expect.poll(async () => hit(await route.begin({}, rerun)) && tries).toBe(2)
    })

    test('a HEAD, and a request with an Authorization, refresh for everybody', async () => {
      for (const facts of [
        { method: 'HEAD' },
        { headers: { range: 'bytes=0-1' } },
        { headers: { authorization: 'alice' } },
      ]) {
        const route = start({ windows })
        await route.fill('old', { 'cache-control': 'public' })
        route.clock.advance(61)
        const leads: Lead[] = []
        expect(hit(await route.begin(facts, (one) => void leads.push(one))).body).toBe('old')
        await expect.poll(() => leads.length).toBe(1)
        expect(leads[0]!.refusal({ status: 200, headers: {} }, {})).toBeUndefined()
        leads[0]!.drop('gone')
      }
    })

    test('where a refresh cannot reach the handler it is loaded in front', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(61)
      await route.begin({}, (one) => one.drop('unreached'))
      await expect.poll(async () => (await route.begin({}, noRerun)).kind).toBe('lead')
    })

    test('in grace it stands in for a handler that failed, for those who waited too', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(95)
      const first = lead(await route.begin())
      expect(first.forward).toBe('stale')
      const others = await route.joining(2)
      expect(first.standIn(500)).toMatchObject({ isStale: true })
      first.drop('failed')
      for (const other of await Promise.all(others)) expect(hit(other)).toMatchObject({ isStale: true, body: 'old' })
      expect(route.cache.getStatistics()).toMatchObject({ staleHits: 3, loads: 2 })
    })

    test('in grace it does not stand in for a response that may not be stored', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(95)
      const first = lead(await route.begin())
      const [other] = await route.joining(1)
      first.drop('refused')
      lead(await other!).drop('refused')
    })

    test('beyond its grace it is gone', async () => {
      const route = start({ windows })
      await route.fill('old')
      route.clock.advance(121)
      const first = lead(await route.begin())
      expect(first.standIn(500)).toBeUndefined()
      first.drop('failed')
    })

    test('a response that must be revalidated is never served', async () => {
      const route = start({ windows })
      await route.fill('old', { 'cache-control': 'must-revalidate' })
      route.clock.advance(61)
      const first = lead(await route.begin())
      expect(first.standIn(500)).toBeUndefined()
      first.drop('failed')
    })

    test('that of a user is loaded anew, and stands in for a failure', async () => {
      const route = start({ windows, hasUser: true })
      await route.fill("alice's", {}, { user: 'alice' })
      route.clock.advance(61)
      const first = lead(await route.begin({ user: 'alice' }))
      expect(first.standIn(500)).toMatchObject({ isStale: true })
      first.drop('failed')
    })
  })

  describe('no-cache of a client', () => {
    const headers = { 'cache-control': 'no-cache' }

    test('does nothing, unless this client may refresh', async () => {
      const route = start()
      await route.fill('old')
      route.clock.advance(10)
      expect(hit(await route.begin({ headers })).body).toBe('old')
      const begun = lead(await route.begin({ headers, mayRefresh: true }))
      expect(begun.forward).toBe('request')
      begun.finish(makeResponse('new'), {})
      expect(hit(await route.begin({ headers, mayRefresh: true })).body).toBe('new')
    })
  })

  test('the age that a response came with counts', async () => {
    const route = start()
    await route.fill('hello', { age: '10' })
    route.clock.advance(20)
    expect(hit(await route.begin())).toMatchObject({ ageSeconds: 30, ttlSeconds: 30 })
  })

  test('an entry that is no response is replaced', async () => {
    const route = start()
    const first = lead(await route.begin())
    const filled = nextFill(route.cache)
    first.finish(makeResponse('hello', { 'x-a': 'line\nbreak' }), {})
    await filled
    await route.fill('hello')
    expect(hit(await route.begin()).body).toBe('hello')
  })
})
