/** Each benchmark still runs against the built package, and the answers it times are the right ones; no time is judged. */
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildPackage, ROOT, run, temporaryFolder } from '../helpers/stranger.ts'

interface Results {
  readonly suite: string
  readonly machine: Readonly<Record<string, unknown>>
  readonly benchmarks: readonly {
    readonly name: string
    readonly target?: { readonly text: string }
    readonly contestants?: readonly {
      readonly name: string
      readonly ratio?: { readonly median: number }
      readonly samples: readonly { readonly operations: number; readonly cpuMicros: number }[]
    }[]
  }[]
}

let folder: string

beforeAll(async () => {
  folder = await temporaryFolder()
  await buildPackage(folder)
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  for (const name of ['bench', 'scripts']) await cp(join(ROOT, name), join(folder, name), { recursive: true })
}, 60_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

/** The short form of one suite; a wrong answer ends it with an error. */
async function resultsOf(suite: string): Promise<Results> {
  const args = ['bench/run.mjs', suite, '--short', '--results', join(folder, 'results')]
  const { code, stderr } = await run(process.execPath, args, { cwd: folder, timeoutMs: 120_000 })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(await readFile(join(folder, 'results', `${suite}.json`), 'utf8')) as Results
}

describe('the short form of', () => {
  test.each(['memory', 'l1', 'redis', 'block', 'invalidation', 'growth', 'http'])(
    '%s runs every contestant, and compares it with its limit',
    async (suite) => {
      const { benchmarks, machine } = await resultsOf(suite)
      expect(machine['node']).toBe(process.version)
      const contestants = benchmarks.flatMap((it) => it.contestants ?? [])
      expect(contestants.length).toBeGreaterThan(3)
      for (const { samples } of contestants) {
        expect(samples).toHaveLength(1)
        expect(samples[0]?.operations).toBeGreaterThan(0)
        expect(samples[0]?.cpuMicros).toBeGreaterThan(0)
      }
      expect(contestants.some(({ ratio }) => ratio !== undefined && ratio.median > 0)).toBe(true)
    },
    120_000,
  )

  test('stampede sees one load of all processes, and one successor', async () => {
    const { benchmarks } = await resultsOf('stampede')
    expect(benchmarks).toHaveLength(3)
    expect(benchmarks.filter(({ target }) => target?.text.includes('ms'))).toHaveLength(2)
  }, 120_000)

  test('a suite that does not exist is refused by name', async () => {
    const { code, stderr } = await run(process.execPath, ['bench/run.mjs', 'disk'], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).toContain('suite: expected memory, l1, redis, block, invalidation, stampede, growth, http, got disk')
  })
})

test('the quick form tells what has moved, and leaves the results alone', async () => {
  const results = await resultsOf('memory')
  const get = results.benchmarks[0]?.contestants?.find(({ name }) => name === 'get, 1 KB')
  Object.assign(get?.ratio ?? {}, { median: 1000, min: 1000, max: 1000 })
  const path = join(folder, 'results', 'memory.json')
  const before = JSON.stringify(results)
  await writeFile(path, before)

  const args = ['bench/run.mjs', 'quick', 'memory', '--short', '--results', join(folder, 'results')]
  const { code, stdout, stderr } = await run(process.execPath, args, { cwd: folder, timeoutMs: 60_000 })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout).toMatch(/memory: \d+ ratios compared with the results in the repository, \d+ moved by > 10 %/)
  expect(stdout).toMatch(/100 % worse {2}hit in memory: get, 1 KB: 1000\.00 \(1000\.00-1000\.00\) → /)
  expect(await readFile(path, 'utf8')).toBe(before)
}, 60_000)

test('docs/benchmarks.md and the targets of the findings are what `npm run bench -- report` makes of the results', async () => {
  await mkdir(join(folder, 'docs'), { recursive: true })
  const { code, stderr } = await run(process.execPath, ['bench/run.mjs', 'report'], { cwd: folder })
  expect(stderr).toBe('')
  expect(code).toBe(0)
  for (const page of ['docs/benchmarks.md', 'bench/findings.md']) {
    expect(await readFile(join(ROOT, page), 'utf8'), page).toBe(await readFile(join(folder, page), 'utf8'))
  }
})
