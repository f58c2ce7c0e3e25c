/** `debug: true`: what is logged beside faults, and that nothing is without it. */
import { createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startRedis, type RedisServer } from './helpers/redis.ts'

let server: RedisServer
let cache: CacheManager
let lines: string[]

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(() => cache.close())

function start(config: ApplicationConfig): void {
  lines = []
  const logger = { info: (line: string) => void lines.push(line), warn: () => {}, error: () => {} }
  cache = createCache({ logger, ...config })
}

const said = (text: RegExp): string[] => lines.filter((line) => text.test(line))

describe.each(['memory', 'Redis'])('over %s', (kind) => {
  const place = (): ApplicationConfig => ({ redis: kind === 'memory' ? false : { url: server.url } })

  test('loads with their time, and invalidations', async () => {
    start({ ...place(), debug: true })
    await cache.getOrSet('a\n', () => ({ secret: 'value' }), { namespace: 'n' })
    await cache.getOrSet('b', () => Promise.reject(new Error('no'))).catch(() => undefined)
    await cache.delete(['a\n', 'c'], { namespace: 'n' })
    await cache.invalidateTags(['red', 'blue'])
    await cache.invalidateTags('red', { soft: true })
    await cache.clear({ namespace: 'n' })
    await cache.clear()
    expect(lines.filter((line) => !line.includes('no Redis'))).toEqual([
      expect.stringMatching(/^tidemark: a load took \d+ ms, key "a\\n" in namespace "n"$/),
      expect.stringMatching(/^tidemark: a load took \d+ ms, key "b"$/),
      expect.stringMatching(/^tidemark: deleted "a\\n", "c", of which [01] were there, namespace "n"$/),
      'tidemark: invalidated the tags "red", "blue"',
      'tidemark: invalidated softly the tags "red"',
      'tidemark: cleared, namespace "n"',
      'tidemark: cleared everything',
    ])
    expect(lines.join('')).not.toContain('secret')
  })

  test('loads that are refused, and why', async () => {
    start({ ...place(), debug: true })
    const during = (key: string, change: () => Promise<unknown>): Promise<unknown> => {
      const loader = async (): Promise<number> => {
        await change()
        return 1
      }
      return cache.getOrSet(key, loader, { tags: ['red'] })
    }
    await during('a', () => cache.invalidateTags('red'))
    await during('b', () => cache.delete('b'))
    await expect
      .poll(() => said(/is refused/))
      .toEqual([
        'tidemark: a load of k::a is refused: a name it bears was invalidated meanwhile, or is on hold',
        expect.stringMatching(
          /^tidemark: a load of k::b is refused: its lease was taken by another load, a set or a delete/,
        ),
      ])
  })

  test('nothing of it without', async () => {
    start(place())
    await cache.getOrSet('a', () => cache.delete('a'))
    await cache.clear()
    expect(lines.filter((line) => !line.includes('no Redis'))).toEqual([])
  })
})

test('a memory in front of Redis says when it is in step', async () => {
  start({ redis: { url: server.url }, cache: { l1: true }, debug: true })
  await expect.poll(() => said(/in step with Redis, memory may serve/), { timeout: 5000 }).toHaveLength(1)
})
