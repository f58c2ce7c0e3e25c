/** The table of the findings that says of each target whether it was met, in each of several runs: made of their JSON. */

const BEGIN = '<!-- targets: made by `npm run bench -- report`, do not edit -->'
const END = '<!-- end of targets -->'

/** `text`, with the table of these runs in the place of the one that it has. */
export function withTargets(text, runs) {
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (before === -1 || after < before) throw new Error(`findings.md: expected ${BEGIN} and ${END}`)
  return `${text.slice(0, before)}${BEGIN}\n\n${tableOf(runs)}\n\n${text.slice(after)}`
}

function tableOf(runs) {
  const [first] = runs
  const rows = targetsIn(first).map((target) => {
    const all = runs.map((run) => targetsIn(run).find(({ place }) => place === target.place))
    return { target, all }
  })
  const met = runs.map((_, i) => rows.filter(({ all }) => all[i]?.isMet).length)
  const always = rows.filter(({ all }) => all.every((one) => one?.isMet)).length
  const never = rows.filter(({ all }) => all.every((one) => one?.isMet === false)).length
  const dates = runs.map((run, i) => `run ${i + 1} of ${run[0].at.slice(0, 16).replace('T', ' ')} UTC: ${met[i]}`)
  const head = ['', 'target', ...runs.map((_, i) => `run ${i + 1}`)]
  const lines = rows.map(({ target, all }) => [target.place, target.text, ...all.map(verdictOf)])
  return [
    `${rows.length} targets. Met: ${dates.join('; ')}; in all runs ${always}, in none ${never}.`,
    '',
    ...[head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n')
}

function verdictOf(found) {
  if (found === undefined) return 'not measured'
  const { value, isMet, isDisturbed } = found
  return `${value}${value === '' ? '' : ': '}${isMet ? 'met' : '**not met**'}${isDisturbed ? ', disturbed' : ''}`
}

/** Whatever has a target, of contestants and of benchmarks as a whole. */
function targetsIn(results) {
  return results.flatMap(({ benchmarks }) =>
    benchmarks.flatMap((benchmark) => {
      const { name, contestants = [], limit, target } = benchmark
      const whole = target === undefined ? [] : [targetOf(name, { target, value: wholeOf(benchmark) })]
      const p99 = contestants.find((it) => it.name === limit)?.p99Ms?.median
      const judged = contestants.filter((it) => it.target !== undefined)
      return [...whole, ...judged.map((it) => targetOf(`${name}: ${it.name}`, { ...it, value: valueOf(it, p99) }))]
    }),
  )
}

function targetOf(place, { target, value, disturbed = 0, rounds = 0 }) {
  return { place, text: target.text, value, isMet: target.met, isDisturbed: disturbed > rounds / 2 }
}

/** What the target is about. */
function valueOf({ target, ratio, cpuRatio, cpuMicros, micros, blockMs, p99Ms }, limitP99Ms) {
  if (blockMs !== undefined) return `${number(blockMs.median)} ms`
  if (target.text.includes('of CPU')) return `${number(cpuMicros.median)} µs`
  if (target.text.includes('limit +')) return `${number(micros.median)} µs`
  if (ratio === undefined) return ''
  const late =
    p99Ms === undefined || limitP99Ms === undefined ? '' : `, p99 x ${(p99Ms.median / limitP99Ms).toFixed(1)}`
  return `${ratio.median.toFixed(2)} (CPU ${cpuRatio.median.toFixed(2)}${late})`
}

function wholeOf(benchmark) {
  const spread = Object.values(benchmark).find((it) => it !== null && typeof it === 'object' && 'p99' in it)
  return spread === undefined ? '' : `p99 ${number(spread.p99.median)} ms`
}

function number(value) {
  return String(Number(value.toPrecision(3)))
}
