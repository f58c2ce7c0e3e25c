/**
 * Runs the suites one after the other, each in a process of its own. It needs a built library.
 *
 * - `npm run bench`: all of them; `npm run bench -- http redis`: some. Options (`--short` and others, see
 *   harness/suite.mjs) go to each.
 * - `npm run bench -- quick`: a shorter form without peers, and what has moved against the results in the repository;
 *   `npm run bench -- quick http` for some. It leaves the results alone.
 * - `npm run bench -- report`: writes docs/benchmarks.md and the targets of findings.md from the results; a run of all
 *   suites ends with it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compareResults, printComparison } from './harness/compare.mjs'
import { pageOf, readAllResults } from './harness/page.mjs'
import { OPTIONS, RESULTS } from './harness/suite.mjs'
import { withTargets } from './harness/targets.mjs'

const SUITES = {
  memory: 'micro/memory.mjs',
  l1: 'micro/l1.mjs',
  redis: 'micro/redis.mjs',
  block: 'micro/block.mjs',
  invalidation: 'micro/invalidation.mjs',
  stampede: 'processes/stampede.mjs',
  growth: 'processes/growth.mjs',
  http: 'http/http.mjs',
}
/** Those of the quick form whose ratios say something within a minute. */
const QUICK = ['memory', 'l1', 'redis', 'invalidation', 'http']
const PAGE = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url))
const FINDINGS = fileURLToPath(new URL('findings.md', import.meta.url))

const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true })
const [word, ...others] = positionals
const isQuick = word === 'quick'
const named = isQuick ? others : positionals

if (word === 'report' && others.length === 0) await writePage()
else {
  const unknown = named.filter((name) => !Object.hasOwn(SUITES, name))
  if (unknown.length > 0) {
    throw new Error(`suite: expected ${Object.keys(SUITES).join(', ')}, got ${unknown.join(', ')}`)
  }
  if (isQuick) await runQuickly(named.length > 0 ? named : QUICK)
  else if (runAll(named.length > 0 ? named : Object.keys(SUITES), values)) {
    if (named.length === 0 && values.results === undefined && !values.short) await writePage()
  } else process.exitCode = 1
}

/** Whether every one of them came to its end. */
function runAll(names, options) {
  const startedAt = performance.now()
  let isFine = true
  for (const [i, name] of names.entries()) {
    const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
    console.log(`\n=== ${name} (${i + 1} of ${names.length}, after ${minutes} min)`)
    const path = fileURLToPath(new URL(SUITES[name], import.meta.url))
    const { status } = spawnSync(process.execPath, [path, ...argumentsOf(options)], { stdio: 'inherit' })
    isFine &&= status === 0
  }
  return isFine
}

function argumentsOf(options) {
  return Object.entries(options).flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, value]))
}

/** `--results` names the folder to compare with. */
async function runQuickly(names) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
  try {
    if (!runAll(names, { ...values, quick: true, results: folder })) process.exitCode = 1
    for (const name of names) await compare(name, join(folder, `${name}.json`))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compare(name, path) {
  const before = join(values.results ?? RESULTS, `${name}.json`)
  if (!existsSync(path) || !existsSync(before)) {
    console.log(`\n${name}: nothing to compare`)
    return
  }
  const [old, now] = await Promise.all([before, path].map(async (it) => JSON.parse(await readFile(it, 'utf8'))))
  printComparison(name, compareResults(old, now))
}

/** The run before stands in a folder of its own: `--results bench/results/before` writes there. */
async function writePage() {
  const results = await readAllResults(values.results ?? RESULTS)
  await writeFile(PAGE, pageOf(results))
  console.log(PAGE)
  const before = await readAllResults(join(RESULTS, 'before'))
  await writeFile(FINDINGS, withTargets(await readFile(FINDINGS, 'utf8'), [before, results]))
  console.log(FINDINGS)
}
