/** A write that was given up may yet arrive: then its message is news to its own process too. */
import { expect, test } from 'vitest'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import { ID, StoreTrial } from '../../../src/testing/store-trial.ts'
import { Connections } from '../../helpers/connections.ts'
import { RedisStores } from '../../helpers/redis-stores.ts'
import { startRedis } from '../../helpers/redis.ts'

test('a set that was given up and arrives later is heard of by its own memory', async () => {
  const server = await startRedis()
  const connections = new Connections()
  const stores = new RedisStores(server)
  const store = stores.open({ connection: connections.own(server, { commandTimeoutMs: 300 }) })
  const trial = new StoreTrial(store, store, undefined)
  const removed: string[] = []
  let isInStep = false
  store.listen({
    onEvict: () => {},
    onFault: () => {},
    onBytes: () => {},
    onTrace: (what) => (isInStep = what.startsWith('in step')),
  })
  store.follow({ onRemoved: (ids) => removed.push(...ids), onDoubt: () => {} }, 1000)
  await expect.poll(() => isInStep).toBe(true)
  await trial.set(ID, 'own')
  await store.ping()
  expect(removed).toEqual([])
  // The kernel takes what is sent, and Redis reads it when it goes on.
  server.pause()
  await expect(trial.set(ID, 'late')).rejects.toBeInstanceOf(RedisConnectionError)
  server.resume()
  await expect.poll(() => removed).toEqual([ID])
  await store.close()
  await connections.closeAll()
  await server.stop()
})
