/** A few seconds of random faults; `npm run check:chaos -- --soak 600` is ten minutes of them, and looks at memory too. */
import { expect, test } from 'vitest'
import { LIGHT_LOAD } from './scene.ts'
import { growth, soak } from './soak.ts'

test('whatever goes wrong: every answer is right, hits come back, and nothing is left unhandled', async () => {
  const { requests, hits, wrong, wrongs, faults, invalidations, unhandled, warnings } = await soak({
    ...LIGHT_LOAD,
    seed: 3,
    seconds: 8,
  })
  expect([wrong, wrongs, unhandled, warnings]).toEqual([[], 0, [], []])
  expect(requests).toBeGreaterThan(0)
  expect(hits).toBeGreaterThan(0)
  expect(invalidations).toBeGreaterThan(5)
  expect(Object.keys(faults).length).toBeGreaterThan(1)
}, 90_000)

test('what grows is told', () => {
  const look = (atS: number, handles: number): Parameters<typeof growth>[0][number] => {
    return { atS, handles, rssBytes: 1e8, heapBytes: 1e7 }
  }
  const steady = Array.from({ length: 30 }, (_, i) => look(i, 60 + (i % 3)))
  expect(growth(steady)).toEqual([])
  expect(growth(steady.map((one, i) => ({ ...one, handles: i })))).toEqual(['handles grew from 15 to 25'])
  expect(growth(steady.map((one, i) => ({ ...one, rssBytes: i * 1e7 })))).toHaveLength(1)
})
