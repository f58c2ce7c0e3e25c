/** The copy of the stamps: what it is told twice, late or out of turn never makes an invalid entry valid again. */
import { expect, test } from 'vitest'
import { Mirror } from '../../../src/stores/redis/mirror.ts'

const EPOCH = 'epoch-01'

interface Mirrored {
  readonly mirror: Mirror
  /** What each SYNC asked for: the stamps of an epoch after one. */
  readonly asked: (readonly [epoch: string, since: number])[]
  answer(...reply: readonly string[]): Promise<void>
}

/** A mirror whose SYNCs a test answers: `<epoch> <floor> <seq>`, then names and stamps. */
function mirrored(): Mirrored {
  const asked: [string, number][] = []
  const waiting: ((reply: readonly Buffer[]) => void)[] = []
  const mirror = new Mirror((epoch, since) => {
    asked.push([epoch, since])
    return new Promise((resolve) => waiting.push(resolve))
  })
  return {
    mirror,
    asked,
    async answer(...reply) {
      await expect.poll(() => waiting.length).toBeGreaterThan(0)
      waiting.shift()!(reply.map((part) => Buffer.from(part)))
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

test('reads that have to know more share one sync', async () => {
  const { mirror, answer, asked } = mirrored()
  const state = { epoch: EPOCH, floor: 1, seq: 20 }
  const judged = Promise.all(
    ['t:a', 't:b', 't:c'].map(async (tag) => mirror.judge({ epoch: EPOCH, seq: 10, tags: [tag] }, state)),
  )
  await answer(`${EPOCH} 1 20`, 't:a', '20')
  expect(await judged).toEqual(['invalid', 'valid', 'valid'])
  expect(asked).toEqual([['', 0]])
  expect(mirror.judge({ epoch: EPOCH, seq: 10, tags: ['t:a'] }, state)).toBe('invalid')
})

test('a read is not judged by a sync under way that knows less than the read has to know', async () => {
  const { mirror, answer, asked } = mirrored()
  const entry = { epoch: EPOCH, seq: 10, tags: ['t:b'] }
  const early = mirror.judge(entry, { epoch: EPOCH, floor: 1, seq: 20 })
  const late = mirror.judge(entry, { epoch: EPOCH, floor: 1, seq: 30 })
  await answer(`${EPOCH} 1 20`, 't:a', '20')
  expect(await early).toBe('valid')
  await answer(`${EPOCH} 1 30`, 't:b', '30')
  expect(await late).toBe('invalid')
  expect(asked).toEqual([
    ['', 0],
    [EPOCH, 20],
  ])
})

test('a read of an epoch that has ended meanwhile is invalid', async () => {
  const { mirror, answer } = mirrored()
  const entry = { epoch: EPOCH, seq: 10, tags: [] }
  const judged = mirror.judge(entry, { epoch: EPOCH, floor: 1, seq: 20 })
  await answer('epoch-02 40 40')
  expect(await judged).toBe('invalid')
  expect(mirror.judgeKept(entry)).toBe('invalid')
  expect(mirror.judge({ ...entry, epoch: 'epoch-02' }, { epoch: 'epoch-02', floor: 40, seq: 40 })).toBe('invalid')
})

test('reads are told of a sync that failed, and the next one tries again', async () => {
  let isDown = true
  const mirror = new Mirror((epoch, since) => {
    if (isDown) return Promise.reject(new Error('down'))
    return Promise.resolve([Buffer.from(`${EPOCH} 1 ${epoch === '' ? 20 : since}`)])
  })
  const entry = { epoch: EPOCH, seq: 10, tags: [] }
  const state = { epoch: EPOCH, floor: 1, seq: 20 }
  await expect(mirror.judge(entry, state)).rejects.toThrow('down')
  isDown = false
  expect(await mirror.judge(entry, state)).toBe('valid')
})

test('a message is news if it follows what is known, none if it is known, and a doubt if something is missing', async () => {
  const { mirror, answer } = mirrored()
  const stamp = { epoch: EPOCH, floor: 1, isSoft: false, names: ['t:a'] }
  expect(mirror.apply({ ...stamp, before: 10, seq: 20 })).toBe(false)
  const synced = mirror.sync()
  await answer(`${EPOCH} 1 10`)
  await synced
  expect(mirror.apply({ ...stamp, before: 20, seq: 30 })).toBe(false)
  expect(mirror.apply({ ...stamp, before: 10, seq: 20, epoch: 'epoch-02' })).toBe(false)
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 10, tags: ['t:a'] })).toBe('valid')
  expect(mirror.apply({ ...stamp, before: 10, seq: 20 })).toBe(true)
  expect(mirror.apply({ ...stamp, before: 10, seq: 20 })).toBe(true)
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 19, tags: ['t:a'] })).toBe('invalid')
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 20, tags: ['t:a'] })).toBe('valid')
})

test('the floor of what is copied is the floor here', async () => {
  const { mirror, answer } = mirrored()
  const synced = mirror.sync()
  await answer(`${EPOCH} 15 20`, '!', '15')
  await synced
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 14, tags: [] })).toBe('invalid')
  expect(mirror.apply({ epoch: EPOCH, before: 20, seq: 30, floor: 18, isSoft: true, names: ['t:a'] })).toBe(true)
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 17, tags: [] })).toBe('invalid')
  expect(mirror.judgeKept({ epoch: EPOCH, seq: 18, tags: ['t:a'] })).toBe('soft')
})
