/** The copy of the stamps: what it is told twice, late or out of turn never makes an invalid entry valid again. */
import { expect, test } from 'vitest'
import { Mirror } from '../../../src/stores/redis/mirror.ts'

const EPOCH = 'epoch-01'

/** A mirror whose SYNCs a test answers: `<epoch> <floor> <seq>`, then names and stamps. */
function mirrored(): { readonly mirror: Mirror; answer(...reply: readonly string[]): Promise<void> } {
  const asked: ((reply: readonly Buffer[]) => void)[] = []
  const mirror = new Mirror(() => new Promise((resolve) => asked.push(resolve)))
  return {
    mirror,
    async answer(...reply) {
      await expect.poll(() => asked.length).toBeGreaterThan(0)
      asked.shift()!(reply.map((part) => Buffer.from(part)))
    },
  }
}

test('a sync that was overtaken by messages does not take a stamp back', async () => {
  const { mirror, answer } = mirrored()
  const first = mirror.sync()
  await answer(`${EPOCH} 1 10`)
  await first

  // Redis answers as of stamp 20; before the answer is here, messages tell of 20 and of 30.
  const late = mirror.sync()
  const stamp = { epoch: EPOCH, floor: 1, isSoft: false, names: ['t:a'] }
  expect(mirror.apply({ ...stamp, before: 10, seq: 20 })).toBe(true)
  expect(mirror.apply({ ...stamp, before: 20, seq: 30 })).toBe(true)
  await answer(`${EPOCH} 1 20`, 't:a', '20')
  await late
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 25, tags: ['t:a'] })).toBe('invalid')
})
