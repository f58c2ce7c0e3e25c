/** Every store keeps the contract of stores, and the suite that says so notices a store that does not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ManualClock, storeSuite, type StoreUnderTest } from 'tidemark/testing'
import { MemoryStore, type MemoryStoreOptions } from '../../src/stores/memory.ts'
import { RedisStores } from '../helpers/redis-stores.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'
import { BROKEN_STORES, noticedBy } from './broken-stores.ts'

const MEMORY = { maxEntries: 10_000, maxBytes: 16_000_000, stampsMs: 86_400_000 }

function makeMemoryStore(strategy: MemoryStoreOptions['strategy']): StoreUnderTest & { readonly store: MemoryStore } {
  const clock = new ManualClock()
  const store = new MemoryStore({ ...MEMORY, strategy, clock })
  return { store, clock, dispose: () => store.close() }
}

describe.each(['LRU', 'FIFO'] as const)('memory, %s', (strategy) => {
  test.each(storeSuite({ makeStore: () => makeMemoryStore(strategy) }))('$name', ({ run }) => run())
})

describe.each(['own', 'node-redis'] as const)('Redis, client: %s', (kind) => {
  let server: RedisServer
  let prefixes = 0

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.stop())

  function makeStore(): StoreUnderTest {
    const stores = new RedisStores(server, kind)
    const keyPrefix = `suite-${prefixes++}:`
    return {
      store: stores.open({ keyPrefix }),
      another: () => stores.open({ keyPrefix }),
      dispose: () => stores.closeAll(),
    }
  }

  test.each(storeSuite({ makeStore }))('$name', ({ run }) => run())
})

describe('a store that breaks a rule is noticed', () => {
  test.each(BROKEN_STORES)('$name', async ({ breakStore, broken }) => {
    expect(await noticedBy(breakStore)).toEqual(expect.arrayContaining([...broken]))
  })

  test('each rule is broken by one of them', async () => {
    const noticed = new Set<string>()
    for (const { breakStore } of BROKEN_STORES) for (const name of await noticedBy(breakStore)) noticed.add(name)
    const names = storeSuite({ makeStore: () => makeMemoryStore('LRU') }).map(({ name }) => name)
    expect(names.filter((name) => !noticed.has(name))).toEqual([])
  })
})
