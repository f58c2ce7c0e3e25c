/** A day in miniature: load, invalidations and one fault after the other, as a seed decides, and what is left behind. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../races/checker/random.ts'
import type { Facts } from './application.ts'
import { hitRateOf } from './measure.ts'
import { OUTAGES, type Place } from './outages.ts'
import { warmUp } from './run.ts'
import { Scene, type Application, type Load, type SceneOptions } from './scene.ts'

export interface SoakOptions extends SceneOptions {
  readonly seconds: number
  readonly sources?: URL
  /** Told of each look at the application. */
  onLook?(look: Look, soak: Soak): void
}

/** The application between two faults. */
export interface Look extends Pick<Facts, 'rssBytes' | 'heapBytes' | 'handles'> {
  readonly atS: number
}

export interface Soak {
  requests: number
  hits: number
  wrongs: number
  invalidations: number
  readonly wrong: string[]
  /** How often each fault happened. */
  readonly faults: Record<string, number>
  readonly looks: Look[]
  unhandled: readonly string[]
  warnings: readonly string[]
  lines: number
}

interface Fault {
  readonly name: string
  happen(place: Place, lastsMs: number): Promise<void>
}

/** A fault of the network that lasts until it is healed. */
function ofNetwork(name: string, begin: (place: Place) => void): Fault {
  return {
    name,
    async happen(place, lastsMs) {
      begin(place)
      await sleep(lastsMs)
      await place.proxy.heal()
    },
  }
}

const FAULTS: readonly Fault[] = [
  ...OUTAGES,
  ofNetwork('latency', ({ proxy }) => proxy.delay({ up: 5, down: 40 })),
  ofNetwork('drip', ({ proxy }) => proxy.drip(1000)),
  ofNetwork('garbage', ({ proxy }) => proxy.garble()),
  ofNetwork('half-open', ({ proxy }) => proxy.abandon()),
  ofNetwork('reset', ({ proxy }) => proxy.cut()),
  ofNetwork('reset in a reply', ({ proxy }) => proxy.cut({ afterBytes: 700 })),
]

const SHORTEST_MS = 50
const LONGEST_MS = 1500
const CALM_MS = 1200
/** Connections that were being made are made, and those that were given up are gone. */
const SETTLE_MS = 500
const LOOK_EVERY_MS = 5000
const INVALIDATE_EVERY_MS = 100
const KEYS = 20

export async function soak(options: SoakOptions): Promise<Soak> {
  const scene = await Scene.open(options, options.sources)
  try {
    const application = await scene.startApplication()
    const load = await scene.startLoad(application)
    await warmUp(load)
    return await new Soaking(scene, { application, load }, options).run()
  } finally {
    await scene.close()
  }
}

class Soaking {
  readonly #scene: Scene
  readonly #application: Application
  readonly #load: Load
  readonly #options: SoakOptions
  readonly #random: Random
  readonly #startedAt = performance.now()
  #isOver = false
  readonly #soak: Soak = {
    requests: 0,
    hits: 0,
    wrongs: 0,
    invalidations: 0,
    wrong: [],
    faults: {},
    looks: [],
    unhandled: [],
    warnings: [],
    lines: 0,
  }

  constructor(scene: Scene, { application, load }: { application: Application; load: Load }, options: SoakOptions) {
    this.#scene = scene
    this.#application = application
    this.#load = load
    this.#options = options
    this.#random = new Random(options.seed)
  }

  async run(): Promise<Soak> {
    const invalidating = this.#invalidate()
    const until = this.#startedAt + this.#options.seconds * 1000
    await this.#look()
    let lookedAt = performance.now()
    while (performance.now() < until) {
      await sleep(this.#random.between(0, CALM_MS))
      const fault = this.#random.pick(FAULTS)
      await fault.happen(this.#scene, SHORTEST_MS + this.#random.below(LONGEST_MS - SHORTEST_MS))
      this.#soak.faults[fault.name] = (this.#soak.faults[fault.name] ?? 0) + 1
      if (performance.now() - lookedAt < LOOK_EVERY_MS) continue
      await this.#look()
      lookedAt = performance.now()
    }
    await this.#scene.proxy.heal()
    await warmUp(this.#load)
    this.#isOver = true
    await invalidating
    await this.#look()
    return this.#soak
  }

  async #invalidate(): Promise<void> {
    const random = new Random(this.#options.seed, 1)
    while (!this.#isOver) {
      await sleep(INVALIDATE_EVERY_MS)
      const keys = [`k${random.below(KEYS)}`, `k${random.below(KEYS)}`]
      const { ends } = await this.#application.invalidate('soak', keys, 'loaded')
      this.#soak.invalidations += Object.values(ends).reduce((sum, count) => sum + count, 0)
    }
  }

  async #look(): Promise<void> {
    await sleep(SETTLE_MS)
    const { samples, wrong, wrongs } = await this.#load.harvest()
    const { rssBytes, heapBytes, handles, unhandled, warnings, lines } = await this.#application.facts()
    const soaking = this.#soak
    soaking.requests += samples.length
    soaking.hits += Math.round(hitRateOf(samples) * samples.length)
    soaking.wrongs += wrongs
    soaking.wrong.push(...wrong)
    Object.assign(soaking, { unhandled, warnings, lines: lines.length })
    const look = { atS: (performance.now() - this.#startedAt) / 1000, rssBytes, heapBytes, handles }
    soaking.looks.push(look)
    this.#options.onLook?.(look, soaking)
  }
}

/** What a process that leaks nothing may grow by, between the middle of a long run and its end. */
const MAY_GROW = { rssBytes: 10_000_000, heapBytes: 5_000_000, handles: 5 } as const

/** What grew; the first third is for warming up. */
export function growth(looks: readonly Look[]): string[] {
  const third = Math.floor(looks.length / 3)
  if (third < 3) return []
  return (Object.keys(MAY_GROW) as (keyof typeof MAY_GROW)[]).flatMap((name) => {
    const [middle, last] = [looks.slice(third, 2 * third), looks.slice(2 * third)].map((some) => median(some, name))
    return last! - middle! > MAY_GROW[name] ? [`${name} grew from ${middle} to ${last}`] : []
  })
}

function median(looks: readonly Look[], name: keyof typeof MAY_GROW): number {
  return looks.map((look) => look[name]).toSorted((a, b) => a - b)[Math.floor(looks.length / 2)]!
}
