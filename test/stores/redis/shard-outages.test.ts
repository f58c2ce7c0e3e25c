/** One outage is told of, however many shards it is about. */
import { expect, test } from 'vitest'
import type { ConnectionEvent } from '../../../src/events.ts'
import { RedisConnectionError } from '../../../src/exceptions.ts'
import { ShardOutages } from '../../../src/stores/redis/shard-outages.ts'

const error = new RedisConnectionError('gone')
const down: ConnectionEvent = { state: 'down', redis: 'r', error }
const up = (awayMs: number, delivered: number, anotherServer = false): ConnectionEvent => {
  return { state: 'up', redis: 'r', awayMs, delivered, waiting: 0, anotherServer }
}

test('it is told when the first shard is lost and when the last is back, with what all of them delivered', () => {
  const told: ConnectionEvent[] = []
  const outages = new ShardOutages((change) => told.push(change))
  const [one, other] = [{}, {}]
  outages.onConnection(one, down)
  outages.onConnection(other, down)
  expect(told).toEqual([down])
  outages.onConnection(one, up(100, 2))
  expect(told).toEqual([down])
  outages.onConnection(one, down)
  outages.onConnection(one, up(5, 1))
  outages.onConnection(other, up(80, 4))
  expect(told).toEqual([down, up(100, 7)])
})

test('another server of one of them is told of at the end', () => {
  const told: ConnectionEvent[] = []
  const outages = new ShardOutages((change) => told.push(change))
  const [one, other] = [{}, {}]
  for (const shard of [one, other]) outages.onConnection(shard, down)
  outages.onConnection(one, up(1, 0, true))
  outages.onConnection(other, up(1, 0))
  expect(told.at(-1)).toMatchObject({ state: 'up', anotherServer: true })
})

test('the next one begins to count anew, and what was not lost is not back', () => {
  const told: ConnectionEvent[] = []
  const outages = new ShardOutages((change) => told.push(change))
  const shard = {}
  outages.onConnection(shard, up(1, 1))
  expect(told).toEqual([])
  outages.onConnection(shard, down)
  outages.onConnection(shard, up(3, 0))
  expect(told).toEqual([down, up(3, 0)])
})
