/** `npm run check:model` searches in several processes what one would search alone. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const SEARCHED = /^40 schedules of \d+ steps/m

async function checkModel(...args: readonly string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, ['scripts/check-model.mjs', '--seed', '1', ...args])
  return (await run).stdout
}

test('in several processes it searches the same schedules as in one', { timeout: 60_000 }, async () => {
  const [alone] = SEARCHED.exec(await checkModel('--runs', '40', '--processes', '1')) ?? []
  expect(alone).toBeDefined()
  expect(await checkModel('--runs', '40', '--processes', '3')).toContain(alone)
})

test('what one of them finds is told, with the command that shows it again', { timeout: 60_000 }, async () => {
  const mutant = 'FILL does not ask for the lease'
  const told = await checkModel('--mutant', mutant, '--runs', '3000', '--processes', '2')
  expect(told).toMatch(/found after \d+ schedules, reduced to \d+ steps/)
  const [, from] = new RegExp(`--mutant '${mutant}' --seed 1 --from (\\d+) --runs 1$`, 'm').exec(told)!
  expect(await checkModel('--mutant', mutant, '--from', from!, '--runs', '1')).toContain('found after 1 schedules')
})

test('a search that finds nothing says so', { timeout: 60_000 }, async () => {
  expect(await checkModel('--runs', '20')).toMatch(/\nno stale read\n$/)
})

test.each([
  [['--mutant', 'no such rule'], /^expected 'all' or part of one of these, got 'no such rule':\n/],
  [['--runs', 'abc'], /^--runs: expected a whole number of at least 1, got 'abc'\n$/],
  [['--runs', '0'], /^--runs: expected a whole number of at least 1, got '0'\n$/],
  [['--runs=-5'], /^--runs: expected a whole number of at least 1, got '-5'\n$/],
  [['--seed', '1.5'], /^--seed: expected a whole number of at least 0, got '1.5'\n$/],
  [['--processes', ''], /^--processes: expected a whole number of at least 1, got ''\n$/],
  [['--replay', '{'], /^--replay: expected the JSON that a failure has printed: .*\n$/],
  [['--rums', '5'], /^Unknown option '--rums'.*\n$/],
])('what it cannot mean is refused in a line: %j', { timeout: 60_000 }, async (args, message) => {
  await expect(checkModel(...args)).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(message) })
})
