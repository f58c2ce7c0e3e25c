/** Each outage in short, under light load: what is answered, never how fast. `npm run check:chaos` has the figures. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OUTAGES } from './outages.ts'
import { runPhase, warmUp } from './run.ts'
import { LIGHT_LOAD, Scene, type Application, type Load } from './scene.ts'

const CALM_MS = 600
const LASTS_MS = 1000

let scene: Scene
let application: Application
let load: Load

beforeAll(async () => {
  scene = await Scene.open(LIGHT_LOAD)
  application = await scene.startApplication()
  load = await scene.startLoad(application)
  await warmUp(load)
}, 60_000)
afterAll(() => scene.close())

test.each(OUTAGES)(
  'Redis is $name: every answer is 200 and right, there are hits again, and the log has a line per change',
  async (outage) => {
    const phase = await runPhase(
      scene,
      { application, load },
      { outage, calmMs: CALM_MS, lastsMs: LASTS_MS, watchMs: 0 },
    )
    expect(phase.wrong).toEqual([])
    expect(phase.wrongs).toBe(0)
    expect(phase.requests).toBeGreaterThan(20)
    expect(phase.hitRate).toBeGreaterThan(0.8)
    expect(phase.backMs).toBeLessThan(Infinity)
    expect(phase.lines.length).toBeLessThanOrEqual(outage.lines)
    if (outage.lines === 2) expect(phase.lines.map(changeOf)).toEqual(['lost', 'back'])
    const { unhandled, warnings } = await application.facts()
    expect([unhandled, warnings]).toEqual([[], []])
  },
  60_000,
)

function changeOf(line: string): string {
  if (
    / is back after \d+\.\d s(?:; it is another server than before, so what was stored is invalid)?(?:; \d+ calls? had to do without it)?$/.test(
      line,
    )
  )
    return 'back'
  return /^tidemark: Redis at \S+ (?:was lost|cannot be reached): /.test(line) ? 'lost' : line
}
