/** From samples to results: medians, ratios against the limit, targets; as a table for people and as JSON. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { spread } from './rounds.mjs'

/** The contestant does at least this share of what the limit does in the same time. */
export function ratioAtLeast(ratio) {
  return { text: `>= ${ratio} x limit`, isMet: (own) => own.ratio?.median >= ratio }
}

/** One operation takes at most so much CPU time; for what never waits, which is then as long as it takes. */
export function cpuMicrosAtMost(micros) {
  return { text: `<= ${micros} µs of CPU`, isMet: (own) => own.cpuMicros.median <= micros }
}

/** Nothing else waits longer than this for the event loop. */
export function longestBlockAtMost(ms) {
  return { text: `<= ${ms} ms`, isMet: (own) => own.blockMs !== undefined && own.blockMs.median <= ms }
}

/** One operation takes at most so much longer than one of the limit's. */
export function microsOverLimitAtMost(micros) {
  return {
    text: `<= limit + ${micros} µs`,
    isMet: (own, limit) => 1e6 / own.perSecond.median - 1e6 / limit.perSecond.median <= micros,
  }
}

/**
 * The result of one benchmark. The limit is the fastest of the contestants marked `isLimit`; a contestant with `against`
 * is compared with that one instead. Ratios are made round by round, then their median is taken.
 */
export function summarize(name, contestants, samples) {
  const limits = contestants.filter((it) => it.isLimit)
  const medianOf = ({ name: of }) => spread(counted(samples.get(of)).map((it) => it.perSecond)).median
  const fastest = limits.toSorted((a, b) => medianOf(b) - medianOf(a))[0]?.name
  const results = contestants.map((contestant) => {
    const against = contestant.against ?? fastest
    const isCompared = contestant.name !== against && against !== undefined
    return resultOf(contestant, samples, isCompared ? against : undefined)
  })
  for (const [i, { target, against = fastest }] of contestants.entries()) {
    if (target === undefined) continue
    const limit = results.find((it) => it.name === against)
    results[i].target = { text: target.text, met: target.isMet(results[i], limit) }
  }
  return { name, limit: fastest, contestants: results }
}

function resultOf(contestant, samples, against) {
  const own = samples.get(contestant.name)
  const usable = counted(own)
  const numbers = (field) => spread(usable.map((it) => it[field]))
  const compared = against === undefined ? {} : comparison(own, samples.get(against))
  const more = contestant.measured ?? []
  return {
    name: contestant.name,
    isPeer: contestant.isPeer,
    against,
    perSecond: rounded(numbers('perSecond')),
    micros: rounded(spread(usable.map((it) => 1e6 / it.perSecond))),
    cpuMicros: rounded(numbers('cpuMicros')),
    ...compared,
    ...Object.fromEntries(more.map((field) => [field, rounded(numbers(field))])),
    ...contestant.facts,
    rounds: own.length,
    disturbed: own.filter((it) => it.disturbed).length,
    thrownAway: own.reduce((sum, it) => sum + it.thrownAway, 0),
    samples: own.map((it) => mapNumbers(it, significant)),
  }
}

/** Round by round: how much faster than the limit, and how much less CPU. Above 1 is better than the limit. */
function comparison(own, limit) {
  const rounds = own.map((sample, i) => ({ own: sample, limit: limit[i] }))
  const calm = rounds.filter((it) => !it.own.disturbed && !it.limit.disturbed)
  const used = calm.length > 0 ? calm : rounds
  return {
    ratio: rounded(spread(used.map((it) => it.own.perSecond / it.limit.perSecond))),
    cpuRatio: rounded(spread(used.map((it) => it.limit.cpuMicros / it.own.cpuMicros))),
  }
}

/** Samples that were not disturbed; all of them if every one was. */
function counted(samples) {
  const calm = samples.filter((it) => !it.disturbed)
  return calm.length > 0 ? calm : samples
}

function rounded(of) {
  return of === undefined ? undefined : mapNumbers(of, significant)
}

function mapNumbers(object, change) {
  return Object.fromEntries(Object.entries(object).map(([k, v]) => [k, typeof v === 'number' ? change(v) : v]))
}

function significant(number) {
  return Number(number.toPrecision(4))
}

export function printTable({ name, contestants }) {
  const rows = contestants.map((it) => [
    it.name,
    `${human(it.perSecond.median)}/s`,
    `(${human(it.perSecond.min)}-${human(it.perSecond.max)})`,
    `${it.micros.median} µs`,
    `cpu ${it.cpuMicros.median} µs`,
    it.p99Ms === undefined ? '' : `p99 ${it.p99Ms.median} ms`,
    it.loopMaxMs === undefined ? '' : `loop ${it.loopMaxMs.median} ms`,
    it.blockMs === undefined ? '' : `block ${it.blockMs.median} ms`,
    it.ratio === undefined ? '' : `x${it.ratio.median.toFixed(2)}, cpu x${it.cpuRatio.median.toFixed(2)}`,
    it.target === undefined ? '' : `${it.target.met ? 'met' : 'NOT MET'}: ${it.target.text}`,
    it.disturbed > 0 ? `${it.disturbed} of ${it.rounds} rounds disturbed` : '',
  ])
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  console.log(`\n${name}`)
  for (const row of rows)
    console.log(
      `  ${row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd()}`,
    )
}

function human(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(2)}M`
  return number >= 1e4 ? `${(number / 1e3).toFixed(1)}k` : String(Math.round(number))
}

export async function writeResults(folder, suite, results) {
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${suite}.json`)
  await writeFile(path, `${JSON.stringify(results, null, 2)}\n`)
  console.log(`\n${path}`)
}
