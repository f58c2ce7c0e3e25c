/** What had to be delivered first and the read behind it have the time of one command, not of two. */
import { expect, test } from 'vitest'
import { createCache, RedisReplyError } from 'tidemark'
import { startFaultProxy } from 'tidemark/testing'
import { startRedis } from '../../helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }

test('a read behind invalidations that are delivered slowly ends within socketTimeout', async () => {
  const server = await startRedis()
  const proxy = await startFaultProxy({ target: server })
  await server.call('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all')
  const { host, port } = proxy
  const cache = createCache({
    redis: { host, port, username: 'limited', password: 'secret', socketTimeout: '2s' },
    logger: SILENT,
  })
  await cache.set('k', 1)
  await server.call('ACL', 'SETUSER', 'limited', '-zadd')
  await expect(cache.invalidateTags('t')).rejects.toBeInstanceOf(RedisReplyError)
  // One command has the time for it, and two in a row have not.
  proxy.delay({ up: 1500 })
  const outcome = (): Promise<string> =>
    cache.get('k').then(
      () => 'read',
      (error: unknown) => (error as Error).message,
    )
  await expect.poll(outcome, { timeout: 25_000 }).toBe('Redis did not answer all that was asked within 2000 ms')
  proxy.delay(0)
  await cache.close()
  await proxy.close()
  await server.stop()
})
