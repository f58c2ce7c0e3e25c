/** The watermark forgets stamps; whatever it forgets, it never calls valid what an invalidation has reached. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_STAMPS, Watermark, type Stamped, type Validity } from '../../src/stores/watermark.ts'

const NAMES = ['a', 'b', 'c', '*']

/** All that ever happened, and the judgement that follows from it. */
class History {
  readonly #stamps: { readonly name: string; readonly seq: number; readonly soft: boolean }[] = []

  stamp(names: readonly string[], seq: number, soft: boolean): void {
    for (const name of names) this.#stamps.push({ name, seq, soft })
  }

  judge(entry: Stamped): Validity {
    const against = this.#stamps.filter(
      ({ name, seq }) => seq > entry.seq && (name === '*' || entry.tags.includes(name)),
    )
    if (against.some(({ soft }) => !soft)) return 'invalid'
    return against.length > 0 ? 'soft' : 'valid'
  }
}

type Step =
  | { readonly kind: 'stamp'; readonly names: readonly string[]; readonly after: number; readonly soft: boolean }
  | { readonly kind: 'late stamp'; readonly names: readonly string[]; readonly back: number; readonly soft: boolean }
  | { readonly kind: 'prune'; readonly back: number }
  | { readonly kind: 'raise'; readonly back: number }
  | { readonly kind: 'load'; readonly tags: readonly string[]; readonly back: number }

const someNames = fc.subarray(NAMES)
const back = fc.integer({ min: 0, max: 12 })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('stamp'),
        names: someNames,
        after: fc.integer({ min: 1, max: 3 }),
        soft: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('load'), tags: fc.subarray(['a', 'b', 'c']), back }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('late stamp'), names: someNames, back, soft: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('prune'), back }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('raise'), back }) },
  ),
  { maxLength: 40 },
)

function judged(
  steps: readonly Step[],
  check: (found: { watermark: Watermark; history: History; entry: Stamped }) => void,
): void {
  const watermark = new Watermark(0)
  const history = new History()
  const entries: Stamped[] = []
  for (const step of steps) {
    switch (step.kind) {
      case 'stamp': {
        const seq = watermark.seq + step.after
        watermark.stamp(step.names, seq, step.soft)
        history.stamp(step.names, seq, step.soft)
        break
      }
      case 'late stamp': {
        // Unless it is forgotten already.
        const seq = watermark.seq - step.back
        if (seq <= watermark.floor) break
        watermark.stamp(step.names, seq, step.soft)
        history.stamp(step.names, seq, step.soft)
        break
      }
      case 'prune':
        watermark.prune(watermark.seq - step.back)
        break
      case 'raise':
        watermark.raise({ floor: watermark.seq - step.back, seq: watermark.seq })
        break
      default:
        entries.push({ seq: watermark.seq - step.back, tags: step.tags })
    }
    for (const entry of entries) check({ watermark, history, entry })
  }
}

describe('against all that ever happened', () => {
  test('an entry from above the floor is judged exactly', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        judged(steps, ({ watermark, history, entry }) => {
          if (entry.seq >= watermark.floor) expect(watermark.judge(entry)).toBe(history.judge(entry))
        })
      }),
      { numRuns: 500 },
    )
  })

  test('an entry from below the floor is invalid, whatever its names', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        judged(steps, ({ watermark, entry }) => {
          if (entry.seq < watermark.floor) expect(watermark.judge(entry)).toBe('invalid')
        })
      }),
      { numRuns: 500 },
    )
  })

  test('what was invalid never becomes valid, and what was stale never fresh', () => {
    const order: readonly Validity[] = ['valid', 'soft', 'invalid']
    fc.assert(
      fc.property(steps, (steps) => {
        const worst = new Map<Stamped, number>()
        judged(steps, ({ watermark, entry }) => {
          const now = order.indexOf(watermark.judge(entry))
          expect(now).toBeGreaterThanOrEqual(worst.get(entry) ?? 0)
          worst.set(entry, now)
        })
      }),
      { numRuns: 500 },
    )
  })

  test('a load was overtaken if an entry of it would not be valid', () => {
    fc.assert(
      fc.property(steps, (steps) => {
        judged(steps, ({ watermark, history, entry: { seq, tags } }) => {
          if (seq >= watermark.floor)
            expect(watermark.overtakes(seq, tags)).toBe(history.judge({ seq, tags }) !== 'valid')
        })
      }),
      { numRuns: 200 },
    )
  })
})

describe('the floor', () => {
  test('is where the watermark begins', () => {
    const watermark = new Watermark(50)
    expect(watermark.judge({ seq: 49, tags: [] })).toBe('invalid')
    expect(watermark.judge({ seq: 50, tags: ['a'] })).toBe('valid')
  })

  test('rises to the greatest stamp that is forgotten, and no further', () => {
    const watermark = new Watermark(0)
    watermark.stamp(['a'], 10, false)
    watermark.stamp(['b'], 20, true)
    watermark.stamp(['c'], 30, false)
    watermark.prune(25)
    expect(watermark.floor).toBe(20)
    expect(watermark.judge({ seq: 20, tags: ['a', 'b'] })).toBe('valid')
    expect(watermark.judge({ seq: 20, tags: ['c'] })).toBe('invalid')
  })

  test('is not raised by a name that was stamped again, which does not stand in the way of others', () => {
    const watermark = new Watermark(0)
    watermark.stamp(['a'], 10, false)
    watermark.stamp(['b'], 20, false)
    watermark.stamp(['a'], 30, false)
    watermark.prune(15)
    expect(watermark.floor).toBe(0)
    watermark.prune(25)
    expect(watermark.floor).toBe(20)
  })

  test('and the greatest stamp are taken over from the watermark that it is a copy of, and never go back', () => {
    const watermark = new Watermark(0)
    watermark.raise({ floor: 30, seq: 50 })
    expect([watermark.floor, watermark.seq]).toEqual([30, 50])
    watermark.raise({ floor: 10, seq: 20 })
    expect([watermark.floor, watermark.seq]).toEqual([30, 50])
  })

  test.each([false, true])('rises when there are more than MAX_STAMPS stamps (soft: %s)', (soft) => {
    const watermark = new Watermark(0)
    for (let seq = 1; seq <= MAX_STAMPS; seq++) watermark.stamp([String(seq)], seq, soft)
    expect(watermark.floor).toBe(0)
    watermark.stamp(['one more'], MAX_STAMPS + 1, soft)
    expect(watermark.floor).toBe(1)
    expect(watermark.judge({ seq: 0, tags: [] })).toBe('invalid')
    expect(watermark.judge({ seq: 1, tags: [] })).toBe('valid')
  })
})
