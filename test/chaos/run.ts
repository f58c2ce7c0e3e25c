/** Phase after phase: Redis is well, then it is not, then it is again, under the same load all the time. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Harvest, Sample } from './generator.ts'
import { backAfterMs, hitRateOf, latencyOf, type Latency } from './measure.ts'
import type { Outage } from './outages.ts'
import type { Application, Load, Scene } from './scene.ts'

export interface Phase extends Latency {
  readonly name: string
  readonly requests: number
  /** Answers that were not 200 with the right body. */
  readonly wrongs: number
  readonly wrong: readonly string[]
  /** How many were hits before. */
  readonly hitRate: number
  /** How long after its end the hit rate was what it had been. */
  readonly backMs: number
  /** What the application has logged meanwhile. */
  readonly lines: readonly string[]
}

/** So much of the hit rate that there was before is as good as all of it. */
const AS_BEFORE = 0.9
/** A new load is looked at for so long, and at most. */
const LOOK_MS = 500
const GIVE_UP_MS = 30_000

export interface PhaseOptions {
  /** How long to watch before. */
  readonly calmMs: number
  readonly lastsMs: number
  /** How long to watch afterwards at least; it goes on until there are hits again. */
  readonly watchMs: number
}

export async function runPhase(
  scene: Scene,
  { application, load }: { readonly application: Application; readonly load: Load },
  { outage, calmMs, lastsMs, watchMs }: PhaseOptions & { readonly outage: Outage },
): Promise<Phase> {
  const before = await load.during(calmMs)
  const hitRate = hitRateOf(before.samples)
  const said = (await application.facts()).lines.length
  await outage.happen(scene, lastsMs)
  const endedAt = Date.now()
  await sleep(watchMs)
  const harvests = [before, await load.harvest()]
  let backMs = backOf(harvests, endedAt, hitRate)
  while (backMs === Infinity && Date.now() - endedAt < GIVE_UP_MS) {
    await sleep(LOOK_MS)
    harvests.push(await load.harvest())
    backMs = backOf(harvests, endedAt, hitRate)
  }
  const [, ...during] = harvests
  const samples = during.flatMap((harvest) => harvest.samples)
  const { lines } = await application.facts()
  return {
    name: outage.name,
    requests: samples.length,
    wrongs: harvests.reduce((sum, { wrongs }) => sum + wrongs, 0),
    wrong: harvests.flatMap(({ wrong }) => wrong),
    ...latencyOf(samples),
    hitRate,
    backMs,
    lines: lines.slice(said),
  }
}

/** Until there are as many hits as in an ordinary minute. @throws {Error} if there never are */
export async function warmUp(load: Load): Promise<void> {
  const giveUpAt = Date.now() + GIVE_UP_MS
  for (;;) {
    const { samples } = await load.during(LOOK_MS)
    if (hitRateOf(samples) > AS_BEFORE) return
    if (Date.now() > giveUpAt) throw new Error(`no hits within ${GIVE_UP_MS} ms`)
  }
}

function backOf(harvests: readonly Harvest[], endedAt: number, hitRate: number): number {
  const samples: Sample[] = harvests.flatMap((harvest) => [...harvest.samples])
  return backAfterMs(samples, endedAt, AS_BEFORE * hitRate)
}
