/** What a network can do to replies: what is answered, and how often the cache changes its mind about Redis. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Harvest } from './generator.ts'
import { hitRateOf } from './measure.ts'
import { warmUp } from './run.ts'
import { LIGHT_LOAD, Scene, type Application, type Load } from './scene.ts'

let scene: Scene
let application: Application
let load: Load

beforeAll(async () => {
  scene = await Scene.open({ ...LIGHT_LOAD, socketTimeoutMs: 300 })
  application = await scene.startApplication()
  load = await scene.startLoad(application)
  await warmUp(load)
}, 60_000)
afterAll(() => scene.close())

/** How long a fault lasts: some deadlines, and some attempts to connect anew. */
const LASTS_MS = 1800

async function liveThrough(fault: () => void): Promise<Harvest & { readonly lines: readonly string[] }> {
  const said = (await application.facts()).lines.length
  await load.harvest()
  fault()
  const during = await load.during(LASTS_MS)
  await scene.proxy.heal()
  const after = { samples: [...during.samples], wrong: [...during.wrong], wrongs: during.wrongs }
  await expect
    .poll(
      async () => {
        const harvest = await load.during(200)
        after.wrong.push(...harvest.wrong)
        after.wrongs += harvest.wrongs
        return hitRateOf(harvest.samples)
      },
      { timeout: 20_000 },
    )
    .toBeGreaterThan(0.8)
  const { lines, unhandled, warnings } = await application.facts()
  expect([unhandled, warnings]).toEqual([[], []])
  return { ...after, lines: lines.slice(said) }
}

const down = /^tidemark: Redis at \S+ (?:was lost|cannot be reached): /
const back = /^tidemark: Redis at \S+ is back after \d+\.\d s(?:; \d+ calls? had to do without it)?$/

test.each<[string, (scene: Scene) => void]>([
  ['replies that trickle in', ({ proxy }) => proxy.drip(20)],
  ['replies that trickle in, fast enough for short ones', ({ proxy }) => proxy.drip(1000)],
  ['replies of garbage', ({ proxy }) => proxy.garble()],
  ['half-open connections', ({ proxy }) => proxy.abandon()],
  ['a connection that is reset in the middle of a reply', ({ proxy }) => proxy.cut({ afterBytes: 700 })],
  ['latency beyond the deadline', ({ proxy }) => proxy.delay({ down: 600 })],
])(
  '%s: every answer is 200 and right, Redis is left once and found once, and each is one line',
  async (_, fault) => {
    const { wrong, wrongs, samples, lines } = await liveThrough(() => fault(scene))
    expect(wrong).toEqual([])
    expect(wrongs).toBe(0)
    expect(samples.length).toBeGreaterThan(20)
    expect(lines).toEqual([expect.stringMatching(down), expect.stringMatching(back)])
  },
  60_000,
)

test('latency within the deadline: hits go on, and nothing is logged', async () => {
  const { wrong, samples, lines } = await liveThrough(() => scene.proxy.delay({ down: 50 }))
  expect(wrong).toEqual([])
  expect(hitRateOf(samples)).toBeGreaterThan(0.8)
  expect(lines).toEqual([])
})
