/** `npm run check:chaos`: every outage under load, in figures; `-- --soak 600`: ten minutes of all of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { optionsIn, told, UsageError, wholeNumber } from '../races/command-line.ts'
import { OUTAGES, type Outage } from './outages.ts'
import { faultsOf, HEADING, lineOf, TARGETS } from './report.ts'
import { runPhase, warmUp } from './run.ts'
import { FULL_LOAD, Scene } from './scene.ts'
import { growth, soak, type Look, type Soak } from './soak.ts'

const NAMES = { soak: { type: 'string' }, seed: { type: 'string' }, phases: { type: 'string' } } as const
const INVALIDATIONS = 1000
const OUTAGE_MS = 3000
const CALM_MS = 1500
/** Longer than there have to be hits again. */
const WATCH_MS = 3000

/**
 * @param sources where the sources of the chaos run lie
 * @returns the exit code
 */
export async function main(args: readonly string[], sources: URL): Promise<number> {
  return (await told(() => check(args, sources))) ? 0 : 1
}

async function check(args: readonly string[], sources: URL): Promise<boolean> {
  const values = optionsIn({ args: [...args], options: NAMES })
  const seed = values.seed === undefined ? FULL_LOAD.seed : wholeNumber('seed', values.seed, 0)
  if (values.soak === undefined) return checkOutages(outagesOf(values.phases), { seed, sources })
  return checkSoak(wholeNumber('soak', values.soak, 1), { seed, sources })
}

async function checkOutages(
  outages: readonly Outage[],
  { seed, sources }: { readonly seed: number; readonly sources: URL },
): Promise<boolean> {
  const scene = await Scene.open({ ...FULL_LOAD, seed }, sources)
  const faults: string[] = []
  try {
    const application = await scene.startApplication()
    const load = await scene.startLoad(application)
    await warmUp(load)
    print(`${FULL_LOAD.connections} connections, socketTimeout ${FULL_LOAD.socketTimeoutMs} ms, seed ${seed}`)
    print(HEADING)
    for (const outage of outages) {
      const phase = await runPhase(
        scene,
        { application, load },
        {
          outage,
          calmMs: CALM_MS,
          lastsMs: outage.lastsMs,
          watchMs: WATCH_MS,
        },
      )
      print(lineOf(phase))
      faults.push(...faultsOf(phase).map((fault) => `${outage.name}: ${fault}`))
      if (phase.lines.length > outage.lines)
        faults.push(`${outage.name}: ${phase.lines.length} lines: ${phase.lines[0]}`)
    }
    faults.push(...(await checkInvalidations(scene)))
  } finally {
    await scene.close()
  }
  const { p99Ms, maxMs, backMs } = TARGETS
  print(`targets: 0 wrong, p99 ${p99Ms} ms, max ${maxMs} ms, hits back after ${backMs} ms`)
  for (const fault of faults) print(`missed: ${fault}`)
  return faults.length === 0
}

/** Each rejects while Redis is gone, and is delivered to all when it is back. */
async function checkInvalidations(scene: Scene): Promise<readonly string[]> {
  const [cut, whole] = [await scene.startApplication(), await scene.startApplication({ isBehindProxy: false })]
  const keys = Array.from({ length: INVALIDATIONS }, (_, i) => `k${i}`)
  await whole.read('goods', keys, 'old')
  await cut.read('goods', keys, 'old')
  scene.proxy.refuse()
  scene.proxy.cut()
  const { ends } = await cut.invalidate('goods', keys, 'new')
  await sleep(OUTAGE_MS)
  await scene.proxy.heal()
  const backAt = performance.now()
  let left: number
  do {
    left = (await whole.peek('goods', keys)).values.filter((value) => value !== null).length
  } while (left > 0 && performance.now() - backAt < 10 * TARGETS.backMs)
  const tookMs = performance.now() - backAt
  print(
    `${INVALIDATIONS} invalidations while Redis was gone: ${JSON.stringify(ends)}; for all after ${tookMs.toFixed(0)} ms`,
  )
  const isRight = ends['ERR_CACHE_REDIS_CONNECTION'] === INVALIDATIONS && left === 0 && tookMs <= TARGETS.backMs
  return isRight ? [] : [`invalidations: ${left} left after ${tookMs.toFixed(0)} ms`]
}

async function checkSoak(
  seconds: number,
  { seed, sources }: { readonly seed: number; readonly sources: URL },
): Promise<boolean> {
  print(`${seconds} s of random faults, ${FULL_LOAD.connections} connections, seed ${seed}`)
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
  const onLook = ({ atS, rssBytes, heapBytes, handles }: Look, { requests, wrongs, lines }: Soak): void => {
    const memory = `RSS ${mb(rssBytes)}, heap ${mb(heapBytes)}, ${handles} handles`
    print(`${atS.toFixed(0).padStart(4)} s: ${requests} requests, ${wrongs} wrong, ${memory}, ${lines} log lines`)
  }
  const soaked = await soak({ ...FULL_LOAD, seed, seconds, sources, onLook })
  const { requests, hits, wrong, wrongs, invalidations, unhandled, warnings, looks } = soaked
  print(`${requests} requests, ${((100 * hits) / requests).toFixed(1)} % hits, ${invalidations} invalidations`)
  print(`faults: ${JSON.stringify(soaked.faults)}`)
  const faults = [...growth(looks), ...unhandled, ...warnings, ...wrong]
  print(`${wrongs} wrong, ${unhandled.length} unhandled rejections, ${warnings.length} warnings`)
  for (const fault of faults) print(`missed: ${fault}`)
  return faults.length === 0 && wrongs === 0
}

function outagesOf(names: string | undefined): readonly Outage[] {
  if (names === undefined) return OUTAGES
  return names.split(',').map((name) => {
    const found = OUTAGES.find((outage) => outage.name === name.trim())
    if (found !== undefined) return found
    throw new UsageError(`--phases: expected one of ${OUTAGES.map((outage) => outage.name).join(', ')}, got '${name}'`)
  })
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
