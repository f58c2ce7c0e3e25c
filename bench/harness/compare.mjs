/** What has moved between two results of a suite: a report for people, not a verdict. */

/** Ratios that differ by less than this are the same. */
const TOLERANCE = 0.1

/**
 * Contestants that both results hold, and whose ratio to their limit has moved by more than a tenth.
 *
 * @returns the number that were compared, and `moved`, each with `before` and `now` (spreads) and `change` (0.2: a fifth
 *   better than before)
 */
export function compareResults(before, now) {
  const known = new Map(before.benchmarks.flatMap(ratiosOf))
  const both = now.benchmarks.flatMap(ratiosOf).filter(([name]) => known.has(name))
  const changes = both.map(([name, ratio]) => {
    const old = known.get(name)
    return { name, before: old, now: ratio, change: ratio.median / old.median - 1 }
  })
  return { compared: both.length, moved: changes.filter(({ change }) => Math.abs(change) > TOLERANCE) }
}

/** The ratio of throughput and that of CPU time are two things, for they move for different reasons. */
function ratiosOf({ name: benchmark, contestants = [] }) {
  return contestants
    .filter(({ ratio }) => ratio !== undefined)
    .flatMap(({ name, ratio, cpuRatio }) => [
      [`${benchmark}: ${name}`, ratio],
      [`${benchmark}: ${name}, CPU`, cpuRatio],
    ])
}

export function printComparison(suite, { compared, moved }) {
  console.log(
    `\n${suite}: ${compared} ratios compared with the results in the repository, ${moved.length} moved by > 10 %`,
  )
  for (const { name, before, now, change } of moved.toSorted((a, b) => a.change - b.change)) {
    const percent = `${Math.round(Math.abs(change) * 100)} % ${change > 0 ? 'better' : 'worse'}`
    const overlap = now.min <= before.max && before.min <= now.max ? ', spreads overlap' : ''
    console.log(`  ${percent.padStart(12)}  ${name}: ${show(before)} → ${show(now)}${overlap}`)
  }
}

function show({ median, min, max }) {
  return `${median.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`
}
