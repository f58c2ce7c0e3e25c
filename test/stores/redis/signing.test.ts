/** `cache.signingKey`: what others write into Redis is not there. */
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { CacheDeserializationError, createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const KEY = 'a key of thirty-two characters..'
const silent = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
let redis: Redis
let prefixes = 0
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

interface Made {
  readonly cache: CacheManager
  readonly errors: unknown[]
  /** Where the entry of a key stands. */
  readonly place: (key: string) => Promise<string>
  readonly another: (config: ApplicationConfig['cache']) => CacheManager
}

function make(config: ApplicationConfig['cache'] = { signingKey: KEY }): Made {
  const keyPrefix = `signed-${prefixes++}:`
  const another = (settings: ApplicationConfig['cache']): CacheManager => {
    const cache = createCache({ redis: { url: server.url }, cache: { keyPrefix, ...settings }, logger: silent })
    onTestFinished(() => cache.close())
    return cache
  }
  const cache = another(config)
  const errors: unknown[] = []
  cache.on('error', ({ error }) => void errors.push(error))
  const place = async (key: string): Promise<string> => {
    const names = await redis.keys(`${keyPrefix}*${key}`)
    expect(names).toHaveLength(1)
    return names[0]!
  }
  return { cache, errors, place, another }
}

test('what was signed is read, compressed or not, by every process with the key', async () => {
  const { cache, errors, another } = make({ signingKey: KEY, compressionEnabled: true, compressionThreshold: 1 })
  await cache.set('small', { a: 1 }, { tags: ['t'] })
  await cache.set('large', 'x'.repeat(200_000))
  for (const reader of [cache, another({ signingKey: KEY })]) {
    expect(await reader.get('small')).toEqual({ a: 1 })
    expect(await reader.get('large')).toBe('x'.repeat(200_000))
  }
  await cache.invalidateTags(['t'])
  expect(await cache.get('small')).toBeUndefined()
  expect(errors).toEqual([])
})

test('`expire` goes on working', async () => {
  const { cache } = make()
  await cache.set('a', 1, { ttl: 60 })
  expect(await cache.expire('a', 600)).toBe(true)
  expect(await cache.get('a')).toBe(1)
  expect(await cache.ttl('a')).toBeGreaterThan(60)
})

describe('is a miss and an event', () => {
  test.each([
    ['an entry without a signature', undefined],
    ['an entry with the signature of another key', 'another key of many characters'],
  ])('%s', async (_what, signingKey) => {
    const { cache, errors, another } = make()
    await another({ signingKey }).set('a', 'forged')
    expect(await cache.get('a')).toBeUndefined()
    expect(errors).toEqual([expect.any(CacheDeserializationError)])
  })

  test('a signed entry where nobody signs', async () => {
    const { cache, errors, another } = make({})
    await another({ signingKey: KEY }).set('a', 1)
    expect(await cache.get('a')).toBeUndefined()
    expect(errors).toEqual([expect.any(CacheDeserializationError)])
  })

  test('a string of another program', async () => {
    const { cache, errors, place } = make()
    await cache.set('a', 1)
    await redis.set(await place('a'), 'forged')
    expect(await cache.get('a')).toBeUndefined()
    expect(errors).toEqual([expect.any(CacheDeserializationError)])
    expect(await cache.ttl('a')).toBeUndefined()
  })

  test('an entry that was moved to another key', async () => {
    const { cache, errors, place } = make()
    await cache.set('a', 1)
    await cache.set('b', 2)
    await redis.copy(await place('a'), await place('b'), 'REPLACE')
    expect(await cache.get('b')).toBeUndefined()
    expect(errors).toHaveLength(1)
  })

  test('any byte that was changed behind the stamp, but for the windows', async () => {
    const { cache, place } = make()
    const key = 'a'
    await cache.set(key, 'value', { tags: ['tag'] })
    const at = await place(key)
    const bytes = (await redis.getBuffer(at))!
    for (let i = 28; i < bytes.length; i++) {
      const changed = Buffer.from(bytes)
      changed[i]! ^= 1
      await redis.set(at, changed)
      expect(await cache.get(key), `byte ${i}`).toBeUndefined()
    }
    await redis.set(at, bytes)
    expect(await cache.get(key)).toBe('value')
  })
})

describe('is loaded and stored anew', () => {
  test.each([
    ['an entry without a signature', undefined],
    ['an entry with the signature of another key', 'another key of many characters'],
  ])('%s', async (_what, signingKey) => {
    const { cache, another } = make()
    await another({ signingKey }).set('a', 'forged')
    expect(await cache.getOrSet('a', () => 'loaded')).toBe('loaded')
    await expect.poll(() => cache.get('a')).toBe('loaded')
  })

  test.each(['forged', 'a longer string of forty characters or so'])('the string %s', async (text) => {
    const { cache, place } = make()
    await cache.set('a', 1)
    await redis.set(await place('a'), text)
    expect(await cache.getOrSet('a', () => 'loaded')).toBe('loaded')
    await expect.poll(() => cache.get('a')).toBe('loaded')
  })
})

test('no inspection shows the key', () => {
  const { cache } = make()
  expect(inspect(cache, { depth: 20, showHidden: true })).not.toContain(KEY)
  expect(() => createCache({ redis: {}, cache: { signingKey: 'too short' }, logger: silent })).toThrow(
    /cache\.signingKey: expected a string of at least 16 characters(?!.*too short)/,
  )
})
