/** A user who may not publish cannot tell others what it takes back: it is told so, if anybody has to hear of it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCache, RedisReplyError, type CacheManager } from 'tidemark'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

let server: RedisServer
/** It may do everything, and has no channels, which is what a new user has. */
let mute: CacheManager
let other: CacheManager

beforeEach(async () => {
  server = await startRedis()
  await server.call('ACL', 'SETUSER', 'mute', 'on', '>secret', '~*', '+@all')
  mute = createCache({ redis: { url: server.url, username: 'mute', password: 'secret' }, logger: SILENT })
})
afterEach(async () => {
  await Promise.all([mute.close(), other.close()])
  await server.stop()
})

const CALLS = [
  ['delete', () => mute.delete('k')],
  ['invalidateTags', () => mute.invalidateTags('t')],
  ['strict invalidateTags', () => mute.invalidateTags('t', { strict: true })],
  ['clear', () => mute.clear()],
  ['set', () => mute.set('k', 'new')],
  ['expire', () => mute.expire('k', 100)],
] as const

async function openOther(l1: boolean): Promise<void> {
  other = createCache({ redis: { url: server.url }, cache: { l1 }, logger: SILENT })
  await other.set('k', 'old', { tags: ['t'] })
  await expect.poll(() => other.get('k')).toBe('old')
}

describe.each(CALLS)('%s', (_what, call) => {
  test('rejects where others keep entries near, and names the right that is missing', async () => {
    await openOther(true)
    // Its memory has said that it is there.
    await expect.poll(async () => String(await server.call('GET', 'cache:{#0}w')).split(' ')[3]).toBe('500')
    const failure = call()
    await expect(failure).rejects.toBeInstanceOf(RedisReplyError)
    await expect(failure).rejects.toMatchObject({ replyCode: 'NOPERM' })
    await expect(failure).rejects.toThrow('+publish and the channel cache:{#0}x:0')
  })

  test('resolves where nobody does', async () => {
    await openOther(false)
    await call()
  })
})

test('an invalidation that was told to nobody is told as soon as its user may', async () => {
  await openOther(true)
  await expect.poll(async () => String(await server.call('GET', 'cache:{#0}w')).split(' ')[3]).toBe('500')
  await expect(mute.invalidateTags('t')).rejects.toBeInstanceOf(RedisReplyError)
  await server.call('ACL', 'SETUSER', 'mute', '&*')
  await expect.poll(() => other.get('k'), { timeout: 10_000 }).toBeUndefined()
})
