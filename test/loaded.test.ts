import { describe, expect, test } from 'vitest'
import { snapshot } from '../src/codec/snapshot.ts'
import { handOut, valueOf } from '../src/loaded.ts'

describe('what goes out of the cache', () => {
  test('is the frozen value itself, where all of it can be frozen', () => {
    const kept = snapshot({ a: [1] })
    expect(handOut(kept)).toBe(kept.value)
    expect(Object.isFrozen(handOut(kept))).toBe(true)
  })

  test('is a copy for each caller of what cannot be frozen', () => {
    const kept = snapshot({ at: new Date(5), seen: new Map([['a', new Set([1])]]), bytes: Buffer.from('x') })
    const one = handOut(kept) as { at: Date; seen: Map<string, Set<number>>; bytes: Buffer }
    one.at.setTime(0)
    one.seen.get('a')!.add(2)
    one.bytes[0] = 0
    expect(handOut(kept)).toEqual({ at: new Date(5), seen: new Map([['a', new Set([1])]]), bytes: Buffer.from('x') })
  })

  test('is undefined where the loader said that there is nothing, and null where it said null', () => {
    expect(handOut(valueOf({ value: null, shareable: true, negative: true }))).toBeUndefined()
    expect(handOut(valueOf({ value: null, shareable: true, negative: false }))).toBeNull()
  })
})
