/** The race checker in short: the library passes it, and what breaks a rule does not. `npm run check:races` is all of it. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { UsageError } from './command-line.ts'
import { MUTANTS } from './checker/mutants.ts'
import { optionsOf, parse } from './checker/options.ts'
import { text } from './checker/report.ts'
import { run } from './checker/run.ts'

/** As much time as it takes on a machine with other things to do; most of it is not used. */
const AT_MOST_S = 60
const TIMEOUT = { timeout: 2 * AT_MOST_S * 1000 }

test('over four processes nobody is handed what was invalidated, in the calm and in chaos', TIMEOUT, async () => {
  const phases = ['calm', 'calm l1', 'mixed', 'mixed l1']
  const report = await run(optionsOf({ seed: 1, seconds: 10, phases }))
  expect(report.violations, text(report)).toEqual([])
  // It has seen what there is to see; how much of it is the machine's business.
  expect(report.phases).toBe(phases.length)
  for (const what of ['reads', 'hits', 'loads', 'fills'] as const) expect(report.counts[what]).toBeGreaterThan(10)
  expect(Object.keys(report.invalidations).length).toBeGreaterThan(5)
})

test.each([
  ['cluster', ['resharding', 'resharding l1'], 'move slot'],
  ['sentinel', ['masters l1'], undefined],
] as const)(
  'on %s nobody is handed what was invalidated, while it changes',
  TIMEOUT,
  async (topology, phases, kind) => {
    const report = await run(optionsOf({ seed: 1, seconds: 8, topology, phases }))
    expect(report.violations, text(report)).toEqual([])
    // How much it has seen is the machine's business.
    expect(report.chaos.length, text(report)).toBeGreaterThan(0)
    if (kind !== undefined) expect(new Set(report.chaos.map((event) => event.kind))).toEqual(new Set([kind]))
    for (const what of ['reads', 'hits', 'loads', 'fills'] as const) {
      expect(report.counts[what], text(report)).toBeGreaterThan(0)
    }
  },
)

test.each(['token', 'beat'])('the library without its %s is caught', TIMEOUT, async (mutant) => {
  const report = await run(optionsOf({ seed: 1, seconds: AT_MOST_S, mutant }))
  expect(report.violations[0], text(report)).toMatchObject({ kind: 'stale' })
})

test('a cache that has no fence is caught, also with a lock around its loads', TIMEOUT, async () => {
  for (const contestant of ['naive', 'lock']) {
    const report = await run(optionsOf({ seed: 1, seconds: 4, contestant, phases: ['calm'] }))
    expect(report.counts.staleReads, text(report)).toBeGreaterThan(0)
  }
})

test.each([
  [['--seconds', 'abc'], "--seconds: expected a whole number of at least 1, got 'abc'"],
  [['--seconds', '0'], "--seconds: expected a whole number of at least 1, got '0'"],
  [['--seed=-1'], "--seed: expected a whole number of at least 0, got '-1'"],
  [['--phases', 'calm,nope'], '--phases: expected one of calm, calm l1, '],
  [['--mutant', 'nope'], '--mutant: expected one of token, '],
  [['--topology', 'ring'], "--topology: expected one of single, cluster, sentinel, got 'ring'"],
  [['--bogus'], "Unknown option '--bogus'"],
])('what the command cannot mean is refused: %j', (args, message) => {
  expect(() => parse(args)).toThrow(UsageError)
  expect(() => parse(args)).toThrow(message)
})

test.each([
  ['nope.mjs', "expected tidemark, naive, lock or the path of a module, got 'nope.mjs', and there is no such file"],
  ['test', "'test' cannot be loaded: "],
  ['src/index.ts', 'expected a module that exports contestant, with create() (test/races/checker/contestant.ts), got'],
])('a contestant that is none is told in one sentence: %s', async (contestant, message) => {
  const running = run(optionsOf({ contestant, seconds: 1 }))
  await expect(running).rejects.toThrow(`--contestant: ${message}`)
  await expect(running).rejects.toThrow(UsageError)
})

test('--help names every option', () => {
  const page = parse(['--help'])
  for (const name of ['seconds', 'seed', 'processes', 'phases', 'l1', 'topology', 'mutant', 'mutants', 'contestant']) {
    expect(page).toContain(`--${name}`)
  }
})

test('docs/races.md names every mutant', () => {
  const page = readFileSync(new URL('../../docs/races.md', import.meta.url), 'utf8')
  const rows = Array.from(page.matchAll(/^\| `([\w-]+)` \| (.+) \|$/gm), ([, name, breaks]) => ({ name, breaks }))
  expect(rows).toEqual(MUTANTS.map(({ name, breaks }) => ({ name, breaks })))
})
