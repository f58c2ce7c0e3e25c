/** One run: a Redis, a truth, and phase after phase of processes on them, until one is caught or the time is over. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildProcess, type Built } from './build.ts'
import { Chaos, type ChaosEvent, type MetadataKeys } from './chaos.ts'
import { Crew } from './crew.ts'
import { History } from './history.ts'
import { keysOf, type Key } from './keys.ts'
import { LAG_EVERY_MS, LAG_SHARE, type Counts } from './messages.ts'
import { Network } from './network.ts'
import type { Options } from './options.ts'
import type { Phase } from './phases.ts'
import { Random } from './random.ts'
import { addCounts, newReport, type PhaseViolation, type Report } from './report.ts'
import { openSite, type Site } from './site.ts'
import { now } from './time.ts'
import { Truth } from './truth.ts'

/** Shorter phases are all beginning. */
const SHORTEST_PHASE_MS = 1000

export async function run(options: Options, sources = new URL('.', import.meta.url)): Promise<Report> {
  // What is in memory costs no disk, and a read of it no wait.
  const directory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tidemark-checker-'))
  const site = await openSite(options.topology)
  const network = await Network.start(options.processes, site.target)
  try {
    const { contestant, mutant } = options
    const built = await buildProcess({ sources, directory, contestant, mutant })
    const truthPath = join(directory, 'truth')
    Truth.create(truthPath, keysOf(options.processes).length).close()
    return await new Run({ options, built, truthPath, site, network }).run()
  } finally {
    await network.close()
    await site.stop()
    await rm(directory, { recursive: true })
  }
}

interface RunParts {
  readonly options: Options
  readonly built: Built
  readonly truthPath: string
  readonly site: Site
  readonly network: Network
}

class Run {
  readonly #parts: RunParts
  readonly #report: Report
  readonly #keys: readonly Key[]
  /** A cache that promises nothing is counted to the end. */
  readonly #isCounting: boolean

  constructor(parts: RunParts) {
    this.#parts = parts
    this.#report = newReport(parts.options)
    this.#keys = keysOf(parts.options.processes)
    this.#isCounting = parts.options.contestant !== 'tidemark'
  }

  async run(): Promise<Report> {
    const { phases, seconds } = this.#parts.options
    const begunAt = now()
    const until = begunAt + seconds * 1000
    for (const [nth, phase] of phases.entries()) {
      const share = (until - now()) / (phases.length - nth)
      await this.#phase(phase, nth, now() + Math.max(share, SHORTEST_PHASE_MS))
      if (this.#isCaught()) break
    }
    this.#report.seconds = (now() - begunAt) / 1000
    return this.#report
  }

  async #phase(phase: Phase, nth: number, until: number): Promise<void> {
    const { options, site, network } = this.#parts
    const keyPrefix = `checker-${nth}:`
    await site.flush()
    const history = new History()
    const crew = this.#crew(phase, keyPrefix, history)
    const random = new Random(options.seed, nth)
    const chaos = new Chaos({ random, site, network, crew, metadata: this.#metadata(keyPrefix) })
    const stopWatching = watchOwnLag(history, phase)
    try {
      await crew.start()
      await chaos.run(phase.chaos, () => now() >= until || this.#isCaught())
      const endless = this.#isCaught() ? [] : await crew.finish()
      for (const process of endless) this.#report.violations.push(endlessCalls(phase, process))
    } finally {
      stopWatching()
      await crew.stop()
    }
    this.#conclude(phase, { history, chaos: chaos.events, counts: crew.counts() })
  }

  #isCaught(): boolean {
    return this.#report.violations.length > 0 && !this.#isCounting
  }

  #crew(phase: Phase, keyPrefix: string, history: History): Crew {
    const { options, built, network, truthPath, site } = this.#parts
    const { processes, seed } = options
    return new Crew({
      program: built.program,
      size: processes,
      setupOf: (process, life) => ({
        process,
        life,
        processes,
        seed,
        conditions: phase,
        redisUrl: network.url(process, 'commands'),
        subscriberUrl: network.url(process, 'messages'),
        ...(site.redis !== undefined && { redis: site.redis }),
        keyPrefix,
        truthPath,
        contestantUrl: built.contestantUrl,
      }),
      onBatch: (batch) => {
        history.add(batch)
        for (const violation of batch.violations) this.#report.violations.push({ ...violation, phase: phase.name })
      },
    })
  }

  #metadata(keyPrefix: string): MetadataKeys | undefined {
    const { metadata } = this.#parts.built.contestant
    return metadata && { ...metadata, watermark: metadata.watermark(keyPrefix), stamps: metadata.stamps(keyPrefix) }
  }

  #conclude(phase: Phase, { history, chaos, counts }: Conclusion): void {
    const report = this.#report
    report.phases++
    report.chaos.push(...chaos)
    for (const each of counts) addCounts(report.counts, each)
    for (const [kind, count] of Object.entries(history.kinds())) {
      report.invalidations[kind] = (report.invalidations[kind] ?? 0) + count
    }
    // Of a phase that was cut short half of the history is missing.
    if (this.#isCaught()) return
    const { explained, unexplained } = history.overlaps(this.#keys, phase, chaos)
    report.explainedOverlaps += explained
    report.unexplainedOverlaps += unexplained.length
    if (this.#isCounting) return
    report.violations.push(...unexplained.map((violation) => ({ ...violation, phase: phase.name })))
  }
}

interface Conclusion {
  readonly history: History
  readonly chaos: readonly ChaosEvent[]
  readonly counts: readonly Counts[]
}

/** All traffic goes through this process: what holds it up may cost anybody a lease. */
function watchOwnLag(history: History, { leaseMs }: Phase): () => void {
  let last = now()
  const timer = setInterval(() => {
    const [from, to] = [last, now()]
    last = to
    if (to - from < LAG_EVERY_MS + LAG_SHARE * leaseMs) return
    history.add({ loads: [], invalidations: [], troubles: [{ kind: 'lag', process: undefined, from, to }] })
  }, LAG_EVERY_MS)
  return () => clearInterval(timer)
}

function endlessCalls(phase: Phase, process: number): PhaseViolation {
  const detail = 'faults were over, and some call was not answered'
  const facts = { key: '', by: '', version: 0, least: 0, at: now(), detail }
  return { kind: 'endless', phase: phase.name, process, ...facts }
}
