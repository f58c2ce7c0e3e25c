import { setImmediate } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Entry } from '../../../src/entry.ts'
import type { Argument, Reply } from '../../../src/stores/redis/client.ts'
import { ReadBatch, type RawRead } from '../../../src/stores/redis/read-batch.ts'

/** A batch over a server whose answers a test gives; an entry's value is what was read of it. */
class Trial {
  readonly sent: (readonly Argument[])[] = []
  readonly judged: string[] = []
  readonly #answers: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = []
  readonly batch = new ReadBatch({
    send: (args) => {
      this.sent.push(args)
      return new Promise((resolve, reject) => this.#answers.push({ resolve, reject }))
    },
    keyOf: (id) => `root:${id}`,
    watermarkKey: 'w',
    judge: ({ id, entry, parent }: RawRead) => {
      this.judged.push(id)
      if (id === 'broken') throw new Error('cannot be judged')
      return { value: [entry, parent].map((bytes) => bytes?.toString()) } as unknown as Entry
    },
  })

  /** Each key is answered with its own name. */
  answer(index: number): void {
    this.#answers[index]!.resolve(this.sent[index]!.slice(1).map((key) => Buffer.from(String(key))))
  }

  fail(index: number): void {
    this.#answers[index]!.reject(new Error('cut off'))
  }
}

const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

test('reads of one tick are one MGET, behind all of them the watermark', async () => {
  const trial = new Trial()
  const reads = [trial.batch.read('a', undefined), trial.batch.read('b', 'p'), trial.batch.read('c', 'p')]
  await nextTick()
  expect(trial.sent).toEqual([['MGET', 'root:a', 'root:b', 'root:p', 'root:c', 'w']])
  trial.answer(0)
  expect((await Promise.all(reads)).map((entry) => entry!.value)).toEqual([
    ['root:a', undefined],
    ['root:b', 'root:p'],
    ['root:c', 'root:p'],
  ])
})

describe('while nothing is in flight', () => {
  test('a read is sent at the end of its tick', async () => {
    const trial = new Trial()
    void trial.batch.read('a', undefined)
    expect(trial.sent).toEqual([])
    await nextTick()
    expect(trial.sent).toHaveLength(1)
  })

  test('so is one whose reader was woken by an answer', async () => {
    const trial = new Trial()
    const first = trial.batch.read('a', undefined)
    await nextTick()
    trial.answer(0)
    await first
    void trial.batch.read('b', undefined)
    await nextTick()
    expect(trial.sent).toHaveLength(2)
  })

  test('or by a failure', async () => {
    const trial = new Trial()
    const first = trial.batch.read('a', undefined)
    await nextTick()
    trial.fail(0)
    await expect(first).rejects.toThrow('cut off')
    void trial.batch.read('b', undefined)
    await nextTick()
    expect(trial.sent).toHaveLength(2)
  })
})

test('reads that come while one is in flight are sent together, one turn of the event loop later', async () => {
  const trial = new Trial()
  void trial.batch.read('a', undefined)
  await nextTick()
  void trial.batch.read('b', undefined)
  await nextTick()
  void trial.batch.read('c', undefined)
  await nextTick()
  expect(trial.sent).toHaveLength(1)
  await setImmediate()
  expect(trial.sent.slice(1)).toEqual([['MGET', 'root:b', 'root:c', 'w']])
})

test('who reads the same entry meanwhile shares it: it is read and judged once', async () => {
  const trial = new Trial()
  const reads = [trial.batch.read('a', 'p'), trial.batch.read('a', 'p')]
  await nextTick()
  trial.answer(0)
  const [one, other] = await Promise.all(reads)
  expect(one).toBe(other)
  expect(trial.judged).toEqual(['a'])
  expect(trial.sent).toEqual([['MGET', 'root:a', 'root:p', 'w']])
})

test('but not if it is to hang on another parent, and not who reads it later', async () => {
  const trial = new Trial()
  const reads = [trial.batch.read('a', 'p'), trial.batch.read('a', 'q'), trial.batch.read('a', undefined)]
  await nextTick()
  trial.answer(0)
  expect((await Promise.all(reads)).map((entry) => entry!.value)).toEqual([
    ['root:a', 'root:p'],
    ['root:a', 'root:q'],
    ['root:a', undefined],
  ])
  void trial.batch.read('a', 'p')
  await nextTick()
  expect(trial.sent).toHaveLength(2)
})

test('a failure is told to all of them; what cannot be judged fails alone', async () => {
  const trial = new Trial()
  const lost = [trial.batch.read('a', undefined), trial.batch.read('b', undefined)]
  await nextTick()
  trial.fail(0)
  for (const read of lost) await expect(read).rejects.toThrow('cut off')
  const [broken, whole] = [trial.batch.read('broken', undefined), trial.batch.read('b', undefined)]
  await nextTick()
  trial.answer(1)
  await expect(broken).rejects.toThrow('cannot be judged')
  expect((await whole)!.value).toEqual(['root:b', undefined])
})
