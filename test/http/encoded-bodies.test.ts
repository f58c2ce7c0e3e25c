import { describe, expect, test } from 'vitest'
import { EncodedBodies } from '../../src/http/encoded-bodies.ts'

/** Room for three bodies of 1000 bytes. */
const ROOM = 4000

function makeBodies(): { get: (key: string) => unknown; made: string[] } {
  const bodies = new EncodedBodies(ROOM)
  const made: string[] = []
  const get = (key: string): unknown =>
    bodies.get(key, () => {
      made.push(key)
      return Buffer.alloc(1000, key)
    })
  return { get, made }
}

test('a body is made once', () => {
  const { get, made } = makeBodies()
  expect(get('a')).toBe(get('a'))
  expect(made).toEqual(['a'])
})

test('those that were used last are kept, as many as there is room for', () => {
  const { get, made } = makeBodies()
  for (const key of ['a', 'b', 'c', 'a', 'd', 'a', 'c', 'b']) get(key)
  expect(made).toEqual(['a', 'b', 'c', 'd', 'b'])
})

test('that a body is of no use is remembered, too', () => {
  const bodies = new EncodedBodies(ROOM)
  let made = 0
  const make = (): undefined => void made++
  for (let i = 0; i < 3; i++) expect(bodies.get('a', make)).toBeUndefined()
  expect(made).toBe(1)
})

test('what is larger than the room is handed out and not kept', () => {
  const bodies = new EncodedBodies(ROOM)
  let made = 0
  for (let i = 0; i < 2; i++) {
    void bodies.get('a', () => {
      made++
      return Buffer.alloc(ROOM)
    })
  }
  expect(made).toBe(2)
})

describe('a body that takes a while', () => {
  test('is made once for all who ask meanwhile, and after', async () => {
    const bodies = new EncodedBodies(ROOM)
    let made = 0
    const make = async (): Promise<Buffer> => {
      made++
      return Buffer.from('body')
    }
    const all = [1, 2].map(async () => bodies.get('a', make))
    const [one, other] = await Promise.all(all)
    expect(one).toBe(other)
    expect(bodies.get('a', make)).toBe(one)
    expect(made).toBe(1)
  })

  test('and fails is tried again', async () => {
    const bodies = new EncodedBodies(ROOM)
    await expect(bodies.get('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(bodies.get('a', () => Buffer.from('body'))).toEqual(Buffer.from('body'))
  })

  test('counts when it is there', async () => {
    const bodies = new EncodedBodies(ROOM)
    await Promise.all(Array.from({ length: 10 }, async (_, i) => bodies.get(`${i}`, async () => Buffer.alloc(1000))))
    let made = 0
    for (let i = 0; i < 10; i++) {
      void bodies.get(`${i}`, () => {
        made++
        return undefined
      })
    }
    expect(made).toBeGreaterThanOrEqual(7)
  })
})
