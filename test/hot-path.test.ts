/**
 * The road of a hit: which of our functions it runs, and how many calls that are. Whoever makes it longer sees it here, and
 * says so by changing test/hot-path.json (`UPDATE_HOT_PATH=1 npx vitest run test/hot-path.test.ts && npm run format` writes it). A road that
 * becomes shorter passes. Nothing is timed.
 */
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRedis, type RedisServer } from './helpers/redis.ts'
import { buildPackage, ROOT, run, temporaryFolder } from './helpers/stranger.ts'

interface Road {
  /** Calls of our functions by one hit. */
  readonly calls: number
  /** Names of functions by file below `src/`. */
  readonly functions: Readonly<Record<string, readonly string[]>>
}

const KNOWN = join(ROOT, 'test/hot-path.json')
const ROADS = ['memory', 'memory in front of Redis', 'Redis'].flatMap((place) => [
  `${place}, getOrSet`,
  `${place}, route`,
])

const isUpdate = process.env['UPDATE_HOT_PATH'] === '1'
const known = JSON.parse(await readFile(KNOWN, 'utf8')) as Record<string, Road>
const walked: Record<string, Road> = {}
let folder: string
let redis: RedisServer

beforeAll(async () => {
  folder = await temporaryFolder()
  await buildPackage(folder)
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  await mkdir(join(folder, 'test'))
  await cp(join(ROOT, 'test/helpers/hot-path.mjs'), join(folder, 'test/hot-path.mjs'))
  redis = await startRedis()
}, 60_000)

afterAll(async () => {
  if (isUpdate) await writeFile(KNOWN, `${JSON.stringify(walked, null, 2)}\n`)
  await redis.stop()
  await rm(folder, { recursive: true, force: true })
})

describe('a hit runs no functions of ours but the known ones:', () => {
  test.each(ROADS)('%s', async (name) => {
    const { code, stdout, stderr } = await run(process.execPath, ['test/hot-path.mjs', name, String(redis.port)], {
      cwd: folder,
    })
    expect(code, stderr).toBe(0)
    const road = JSON.parse(stdout) as Road
    walked[name] = road
    expect(namesOf(road).length).toBeGreaterThan(3)
    if (isUpdate) return

    const bound = known[name]
    const before = new Set(bound === undefined ? [] : namesOf(bound))
    expect(
      namesOf(road).filter((each) => !before.has(each)),
      'functions that a hit did not run before',
    ).toEqual([])
    expect(road.calls, `calls of our functions by a hit:\n${namesOf(road).join('\n')}`).toBeLessThanOrEqual(
      bound?.calls ?? 0,
    )
  })
})

function namesOf({ functions }: Road): string[] {
  return Object.entries(functions).flatMap(([file, names]) => names.map((name) => `${file}: ${name}`))
}
