/** The page of the documents that shows all results: docs/benchmarks.md, made from the JSON and from nothing else. */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** What each suite is about, in the order of the page. A suite without results is left out. */
const SUITES = {
  http: ['Routes', 'A 20 KB JSON page, 50 connections. The limit is a Fastify handler that sends a finished Buffer.'],
  memory: ['Hits in memory', 'A caller that asks for one key after the other. The limit is a Map behind a promise.'],
  l1: ['Hits in memory in front of Redis', '`cache.l1`: no command is sent. The limit is a Map behind a promise.'],
  redis: ['Redis', 'The limit is ioredis, by hand, with neither tags nor fences nor leases.'],
  invalidation: ['Invalidation', 'It must cost what a PING costs, however many entries it takes.'],
  stampede: ['Stampedes', 'A cold key that all processes want at once.'],
  growth: ['Growth', 'What a hit costs as entries, tags, sizes, processes and invalidations become more.'],
  block: [
    'The longest block',
    'How long values of 1 MB keep the event loop from everything else, collecting garbage included.',
  ],
}

/** A column is shown where a contestant of the benchmark has it. */
const COLUMNS = [
  ['per second', (it) => it.perSecond && `${count(it.perSecond.median)} (${range(it.perSecond, count)})`],
  ['of the limit', (it) => it.ratio && `${fixed(it.ratio.median)} (${range(it.ratio, fixed)})`],
  ['CPU µs', (it) => it.cpuMicros && micros(it.cpuMicros.median)],
  ['CPU µs of Redis', (it) => it.redisCpuMicros && micros(it.redisCpuMicros.median)],
  ['p99 ms', (it) => it.p99Ms && milliseconds(it.p99Ms.median)],
  ['loop delay p99 ms', (it) => it.loopP99Ms && milliseconds(it.loopP99Ms.median)],
  ['loop delay max ms', (it) => it.loopMaxMs && milliseconds(it.loopMaxMs.median)],
  ['longest block ms', (it) => it.blockMs && `${milliseconds(it.blockMs.median)} (${range(it.blockMs, milliseconds)})`],
  ['bytes in memory', (it) => it.heapBytes !== undefined && bytes(it.heapBytes)],
  ['bytes in Redis', (it) => it.redisBytes !== undefined && bytes(it.redisBytes)],
  ['target', (it) => it.target && `${it.target.met ? 'met' : '**not met**'}: ${it.target.text}`],
]

/** The results in a folder, in the order of the page. */
export async function readAllResults(folder) {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'))
  const all = await Promise.all(files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8'))))
  const unknown = all.filter(({ suite }) => !Object.hasOwn(SUITES, suite))
  if (unknown.length > 0) throw new Error(`${unknown[0].suite}.json: expected a suite of bench/harness/page.mjs`)
  return Object.keys(SUITES).flatMap((suite) => all.filter((it) => it.suite === suite))
}

/** The text of the page. */
export function pageOf(results) {
  return `${[INTRODUCTION, ...results.map(sectionOf)].join('\n\n')}\n`
}

const INTRODUCTION = `# Benchmarks

Made by \`npm run bench -- report\` from the JSON in [bench/results](../bench/results), which \`npm run bench\` writes; do not
edit it. How it was measured, and what follows, is in the [findings](../bench/findings.md).

- Contestants take turns, so that whatever changes on the machine changes for all. Absolute figures move with the machine:
  **compare ratios**. \`of the limit\` was made round by round; it is the median, with the least and the greatest.
- *Limit*, in italics, is the least that the same framework or client can do by hand. More than 1 is better than that.
- *CPU µs* is what one operation takes of the measured process; it is steadier than operations per second.
- *Loop delay* is how late a timer of the measured process fired (\`monitorEventLoopDelay\`, less its own step of 1 ms).
- Other caches are as \`bench/peers/measured.mjs\` in the repository configures them.`

function sectionOf({ suite, at, machine, rounds, benchmarks }) {
  const [title, about] = SUITES[suite]
  const redis = machine.redis === undefined ? '' : `, Redis ${machine.redis}`
  const { cpu, cores, system, node } = machine
  const slotMs = benchmarks.find((it) => it.slotMs !== undefined)?.slotMs
  const form = slotMs === undefined ? '' : `; ${rounds} rounds of ${slotMs} ms`
  const where = `Measured ${at.slice(0, 10)} on ${cpu}, ${cores} cores, ${system}, Node ${node}${redis}${form}.`
  return [`## ${title}`, about, where, ...benchmarks.map(benchmarkOf)].join('\n\n')
}

function benchmarkOf(benchmark) {
  const body = benchmark.contestants === undefined ? factsOf(benchmark) : tableOf(benchmark)
  return `### ${benchmark.name}\n\n${body}`
}

function tableOf({ contestants, limit }) {
  const columns = COLUMNS.filter(([, of]) => contestants.some(of))
  const rows = contestants.map((it) => [nameOf(it, limit), ...columns.map(([, of]) => of(it) || '')])
  const disturbed = contestants.filter((it) => it.disturbed > 0).map(({ name }) => name)
  const note = disturbed.length === 0 ? '' : `\n\nDisturbed by other programs in some round: ${disturbed.join('; ')}.`
  return table([['', ...columns.map(([title]) => title)], ...rows]) + note
}

function nameOf({ name, against, isPeer }, limit) {
  const compared = against === undefined || against === limit ? '' : ` (compared with: ${against})`
  const peer = isPeer ? ' (another cache)' : ''
  return name === limit ? `*${name}*` : `${name}${peer}${compared}`
}

/** What was noted beside contestants: names and numbers, some of them spreads or groups of spreads. */
function factsOf({ target, ...facts }) {
  const named = Object.entries(facts).filter(([name]) => name !== 'name')
  const rows = named.flatMap(([name, fact]) => rowsOf(name, fact))
  const met = target === undefined ? [] : [['target', `${target.met ? 'met' : '**not met**'}: ${target.text}`]]
  return table([['', ''], ...rows, ...met])
}

function rowsOf(name, fact) {
  if (typeof fact !== 'object' || fact === null) return [[name, String(fact)]]
  if ('median' in fact) return [[name, `${fact.median} (${fact.min} to ${fact.max})`]]
  return Object.entries(fact).flatMap(([part, value]) => rowsOf(`${name}: ${part}`, value))
}

function table([head, ...rows]) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`)).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}

function range({ min, max }, show) {
  return `${show(min)} to ${show(max)}`
}

function count(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(2)}M`
  return number >= 1e4 ? `${(number / 1e3).toFixed(1)}k` : String(Math.round(number))
}

function fixed(number) {
  return number < 0.1 ? String(Number(number.toPrecision(2))) : number.toFixed(2)
}

function micros(number) {
  return number >= 100 ? String(Math.round(number)) : String(Number(number.toPrecision(3)))
}

function milliseconds(number) {
  return String(Number(number.toPrecision(2)))
}

function bytes(number) {
  return String(Math.round(number))
}
