/** One exercise of all that a cache asks of Redis, for servers that are set up in one way or another. */
import { createCache, doctor, type ApplicationConfig, type CacheManager } from 'tidemark'
import { expect } from 'vitest'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

/**
 * Everything that a cache does, with another process and memory in front. Rejects if something of it does not work.
 *
 * @param isHeard false: there are no messages, and so nothing may be served from memory in front
 */
export async function useAll(redis: ApplicationConfig['redis'], { isHeard = true } = {}): Promise<void> {
  const open = (l1: boolean): CacheManager => {
    return createCache({ redis, cache: { l1, waitTime: '1s' }, logger: SILENT })
  }
  const [one, near] = [open(false), open(true)]
  try {
    const findings = await doctor(one)
    for (const check of ['rights', 'version', 'clock', 'latency']) {
      const found = findings.filter((finding) => finding.check === check)
      const level = check === 'rights' && !isHeard ? 'warning' : 'ok'
      expect(found.filter((finding) => finding.level !== level)).toEqual([])
      expect(found.length).toBeGreaterThan(0)
    }
    await one.set('a', 1, { tags: ['t'] })
    expect(await one.expire('a', 60)).toBe(true)
    expect(await one.ttl('a')).toBeGreaterThan(58)
    expect(await one.getOrSet('b', () => 2, { tags: ['t'] })).toBe(2)
    await expect.poll(() => one.get('b')).toBe(2)
    if (isHeard) await expect.poll(() => isNear(near, 'a'), { timeout: 3000 }).toBe(true)
    else for (let i = 0; i < 20; i++) expect(await isNear(near, 'a')).toBe(false)
    await one.invalidateTags('t', { holdFor: '1s' })
    await expect.poll(() => near.get('a'), { timeout: 1000 }).toBeUndefined()
    expect(await one.get('b')).toBeUndefined()
    await one.set('c', 1)
    expect(await one.delete('c')).toBe(1)
    await one.clear()
  } finally {
    await Promise.all([one.close(), near.close()])
  }
}

/** Whether a hit reads no bytes from Redis. */
async function isNear(cache: CacheManager, key: string): Promise<boolean> {
  await cache.get(key)
  const before = cache.getStatistics().bytesRead
  return (await cache.get(key)) !== undefined && cache.getStatistics().bytesRead === before
}
