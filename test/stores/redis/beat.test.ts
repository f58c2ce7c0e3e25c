/** The beat of a connection that listens goes on whatever Redis answers, and its end waits for no answer. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ChannelListener, Subscriber } from '../../../src/stores/redis/subscriber.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { Connections } from '../../helpers/connections.ts'
import { failDumps, MAY_FAIL_DUMPS, refusalOf } from '../../helpers/misconf.ts'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'

const BEAT_MS = 20
const connections = new Connections()
const leaves: (() => Promise<void>)[] = []
let server: RedisServer

beforeEach(async () => {
  server = await startRedis({ args: ['--lua-time-limit', '50', ...MAY_FAIL_DUMPS] })
})
afterEach(async () => {
  server.resume()
  await Promise.all(leaves.splice(0).map((leave) => leave()))
  await connections.closeAll()
  await server.stop()
})

class Ear implements ChannelListener {
  isLost = false
  isSubscribed = false
  onMessage(): void {}
  onSubscribed(): void {
    this.isSubscribed = true
  }
  onLost(): void {
    this.isLost = true
  }
}

async function listen(subscriber: Subscriber, channel: string): Promise<Ear> {
  const ear = new Ear()
  subscriber.join(channel, ear, BEAT_MS)
  leaves.push(() => subscriber.leave(channel, ear))
  await expect.poll(() => ear.isSubscribed && subscriber.beatAt > -Infinity).toBe(true)
  return ear
}

/** A PING that is sent from now on is answered. */
async function beats(subscriber: Subscriber): Promise<void> {
  const now = performance.now()
  await expect.poll(() => subscriber.beatAt > now).toBe(true)
}

const refusals: readonly [code: string, begin: () => Promise<unknown>][] = [
  ['NOPERM', () => server.call('ACL', 'SETUSER', 'default', '-ping')],
  ['MISCONF', () => failDumps(server)],
]

describe.each(['own', 'ioredis', 'node-redis'] as const)('%s', (kind) => {
  test.each(refusals)(
    'a PING that is refused (%s) is an answer: the beat goes on, and silence is found out',
    async (code, begin) => {
      const subscriber = connections.of(kind, server).subscriber()
      const ear = await listen(subscriber, 'channel')
      await begin()
      await expect.poll(() => refusalOf(server)).toContain(code)
      await beats(subscriber)
      expect(ear.isLost).toBe(false)
      server.pause()
      await expect.poll(() => ear.isLost, { timeout: 10_000 }).toBe(true)
    },
  )

  test('one of a busy Redis as well', async () => {
    const subscriber = connections.of(kind, server).subscriber()
    await listen(subscriber, 'channel')
    const busy = connections
      .own(server)
      .send(['EVAL', 'while true do end', '0'])
      .catch(() => undefined)
    await expect.poll(() => refusalOf(server)).toContain('BUSY')
    await beats(subscriber)
    await server.call('SCRIPT', 'KILL')
    await busy
  })

  test('who leaves one of several channels of a silent Redis does not wait for it', async () => {
    const subscriber = connections.of(kind, server).subscriber()
    const stays = await listen(subscriber, 'stays')
    const goes = await listen(subscriber, 'goes')
    server.pause()
    await subscriber.leave('goes', goes)
    // It would have been waited for until the silence was found out.
    expect(stays.isLost).toBe(false)
  })

  test('a connection that gets stuck before it is one is given up, and another one made', async () => {
    const proxy = await startFaultProxy({ target: server })
    const { host, port } = proxy
    const own = { host, port, connectTimeoutMs: 200 }
    const connection = kind === 'own' ? connections.own(own) : connections.of(kind, own, { commandTimeoutMs: 200 })
    const subscriber = connection.subscriber()
    // It accepts, and whatever was said is lost.
    proxy.stall()
    const ear = new Ear()
    subscriber.join('channel', ear, BEAT_MS)
    leaves.push(() => subscriber.leave('channel', ear))
    await expect.poll(() => proxy.connections).toBe(1)
    proxy.abandon()
    proxy.resume()
    await expect.poll(() => ear.isSubscribed, { timeout: 10_000 }).toBe(true)
    await leaves.pop()!()
    await connections.closeAll()
    await proxy.close()
  })
})
