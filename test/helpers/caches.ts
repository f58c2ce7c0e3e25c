/** Caches over each kind of store, so that one rule is tested over both; and a loader whose end a test decides. */
import { afterAll, afterEach, beforeAll } from 'vitest'
import { createCache, MemoryStore, systemClock, type ApplicationConfig, type CacheManager } from 'tidemark'
import { startRedis, type RedisServer } from './redis.ts'

export const STORES = ['memory', 'Redis'] as const
export type StoreKind = (typeof STORES)[number]

type Settings = Omit<ApplicationConfig, 'redis' | 'store'>

export interface Caches {
  /** A cache of its own, closed when the test ends. */
  create(settings?: Settings): CacheManager
  /** Two caches over the same data, as two processes have it. */
  createTwo(settings?: Settings): readonly [CacheManager, CacheManager]
}

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

/** To be called where hooks may be registered: at the top of a `describe`. */
export function cachesOver(kind: StoreKind): Caches {
  const open: CacheManager[] = []
  let server: RedisServer | undefined
  let prefixes = 0

  beforeAll(async () => {
    if (kind === 'memory') return
    server = await startRedis()
    await warmUp(server)
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((cache) => cache.close()))
  })
  afterAll(() => server?.stop())

  function keep(config: ApplicationConfig): CacheManager {
    const cache = createCache({ logger: SILENT, ...config })
    open.push(cache)
    return cache
  }

  /** Where the data is: the part of a configuration that two caches of the same data share. */
  function place({ cache, clock }: Settings): ApplicationConfig {
    if (server !== undefined) {
      return { redis: { url: server.url }, cache: { keyPrefix: `cache-${prefixes++}:`, ...cache } }
    }
    const limits = { maxEntries: 10_000, maxBytes: 64_000_000, strategy: 'LRU', stampsMs: 1e9 } as const
    return { store: new MemoryStore({ ...limits, clock: clock ?? systemClock }) }
  }

  return {
    create: (settings = {}) => keep({ redis: false, ...settings, ...(kind === 'Redis' && place(settings)) }),
    createTwo(settings = {}) {
      const shared = { ...settings, ...place(settings) }
      return [keep(shared), keep(shared)]
    },
  }
}

/** A server is sent each script once: what is timed or counted in a test does not see it. */
async function warmUp(server: RedisServer): Promise<void> {
  const cache = createCache({ redis: { url: server.url }, cache: { keyPrefix: 'warm-up:' }, logger: SILENT })
  await cache.getOrSet('a', () => 1)
  await cache.set('b', 1)
  await cache.exists('b')
  await cache.expire('b', 60)
  await cache.delete('b')
  await cache.clear()
  await cache.close()
}
