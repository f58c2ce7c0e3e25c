/** Slots and shards are the same in every process, and what nodes say of them is read as it is meant. */
import { describe, expect, test } from 'vitest'
import { entryId, hashTag, parentId, shardOf, SHARDS, variantId } from '../../../src/key.ts'
import { readRedirection, readSlots, slotOf } from '../../../src/stores/redis/slots.ts'

const ASKED = { host: 'asked', port: 7000 }

test('a key is in the slot that Redis says', () => {
  // What CLUSTER KEYSLOT replies.
  expect(['foo', '123456789', 'cache:{#0}k::a', '{#0}', 'a{}b', 'a{b', '{foo}x'].map(slotOf)).toEqual([
    12_182,
    12_739,
    slotOf('#0'),
    slotOf('#0'),
    slotOf('a{}b'),
    slotOf('a{b'),
    12_182,
  ])
})

test('an entry, its parent and its variants are in one shard', () => {
  for (const key of ['a', 'b:c', 'ü', 'x'.repeat(1000)]) {
    const ids = [entryId('n', key), parentId('n', key), variantId('n', key, 'v'), variantId('n', key, 'w')]
    expect(new Set(ids.map((id) => shardOf(id, SHARDS))).size).toBe(1)
  }
})

test('keys are spread evenly over the shards, and these over the slots', () => {
  const counts = Array.from({ length: SHARDS }, () => 0)
  for (let i = 0; i < 16_000; i++) counts[shardOf(entryId('users', `user_${i}`), SHARDS)]!++
  expect(Math.min(...counts)).toBeGreaterThan(850)
  expect(Math.max(...counts)).toBeLessThan(1150)
  const slots = counts.map((_, shard) => slotOf(hashTag(shard)))
  expect(new Set(slots).size).toBe(SHARDS)
  const perThird = [0, 1, 2].map((third) => slots.filter((slot) => Math.floor((3 * slot) / 16_384) === third).length)
  expect(Math.min(...perThird)).toBeGreaterThanOrEqual(4)
})

test('an id is in the same shard for ever: another one would lose what is stored', () => {
  expect(['a', 'b', 'user_1'].map((key) => shardOf(entryId('', key), SHARDS))).toMatchInlineSnapshot(`
    [
      2,
      11,
      0,
    ]
  `)
})

describe('a node', () => {
  const reply = (host: string | null): never =>
    [[0, 16_383, [host === null ? null : Buffer.from(host), 7001, Buffer.from('id')]]] as never

  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::1', '::1'],
    ['', 'asked'],
    [null, 'asked'],
  ])('that announces %j is at %s', (host, found) => {
    expect(readSlots(reply(host), ASKED)).toEqual([
      { first: 0, last: 16_383, master: { host: found, port: 7001 }, others: [] },
    ])
  })

  test('without a name yet is passed over', () => {
    expect(readSlots(reply('?'), ASKED)).toEqual([])
  })

  test('is where a redirection leads', () => {
    const read = (text: string): unknown => readRedirection(`Redis at h:1 refused MGET: ${text}`, ASKED)
    expect(read('MOVED 3999 127.0.0.1:6381')).toEqual({ host: '127.0.0.1', port: 6381 })
    expect(read('ASK 3999 ::1:6381')).toEqual({ host: '::1', port: 6381 })
    expect(read('MOVED 3999 :6381')).toEqual({ host: 'asked', port: 6381 })
    expect(read('TRYAGAIN Multiple keys request')).toBeUndefined()
  })
})
