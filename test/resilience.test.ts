/** The rows of docs/resilience.md are held by the tests that they name, and its log lines are what a cache says. */
import { existsSync, readFileSync } from 'node:fs'
import { createCache, type CacheManager } from 'tidemark'
import { startFaultProxy, type FaultProxy } from 'tidemark/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OUTAGES } from './chaos/outages.ts'
import { blocksOf } from './helpers/markdown.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const page = read('docs/resilience.md')

/** The table of events; each row ends with its test. */
const table = page.slice(page.indexOf('| event |')).split('\n\n')[0]!.split('\n').slice(2)
const rows = table.map((row) => {
  const [, event = '', file = '', name = ''] = /^\| (.+?) \| .+ \| `(test\/[\w./-]+): (.+)` \|$/.exec(row) ?? []
  return { row, event, file, name }
})

test('every row names its test', () => {
  expect(rows.filter(({ name }) => name === '')).toEqual([])
  expect(rows.length).toBeGreaterThan(20)
})

const OUTAGES_FILE = 'test/chaos/outages.test.ts'

test.each(rows.filter(({ file }) => file !== OUTAGES_FILE))('$event: $file: $name', ({ file, name }) => {
  expect(existsSync(new URL(file, root))).toBe(true)
  // As a whole, as it is quoted in the source.
  const source = read(file).replaceAll("\\'", "'")
  expect(["'", '"', '`'].some((quote) => source.includes(quote + name + quote))).toBe(true)
})

test('every outage of the chaos run has a row, and no row names another', () => {
  const named = rows.filter(({ file }) => file === OUTAGES_FILE).map(({ name }) => name)
  expect(named).toEqual(OUTAGES.map(({ name }) => name))
})

describe('the log of an outage, as the page shows it', () => {
  const shown = blocksOf('docs/resilience.md', page)
    .filter(({ language }) => language === 'text')
    .map(({ code }) => code.split('\n').map(alike))
  let server: RedisServer
  let proxy: FaultProxy
  let cache: CacheManager
  let lines: string[]

  beforeEach(async () => {
    server = await startRedis()
    proxy = await startFaultProxy({ target: server })
    lines = []
  })
  afterEach(async () => {
    await cache.close()
    await proxy.close()
    await server.stop()
  })

  async function begin({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    const logger = { info: () => {}, warn: (line: string) => void lines.push(line), error: () => {} }
    cache = createCache({ redis: { host, port, socketTimeout: '200ms' }, logger })
    await cache.set('k', 1)
  }

  async function isOver(): Promise<void> {
    await expect.poll(() => lines.at(-1), { timeout: 10_000 }).toContain(' is back ')
  }

  test('that begins with a lost connection', async () => {
    await begin(server)
    await server.kill()
    await expect.poll(() => lines.length).toBe(1)
    for (const key of ['a', 'b', 'c']) await cache.delete(key).catch(() => undefined)
    for (let n = 0; n < 20; n++) await cache.getOrSet(`k${n}`, () => n)
    await server.restart()
    await isOver()
    expect(lines.map(alike)).toEqual(shown[0])
  })

  test('that begins in silence', async () => {
    await begin(proxy)
    proxy.stall()
    for (let n = 0; n < 5; n++) await cache.getOrSet(`k${n}`, () => n)
    await proxy.heal()
    await isOver()
    expect(lines.map(alike)).toEqual(shown[1])
  })
})

/** Without what differs from one outage to the next. */
function alike(line: string): string {
  return line
    .replace(/127\.0\.0\.1:\d+/, 'ADDRESS')
    .replace(/after \d+\.\d s/, 'after TIME')
    .replace(/\d+ calls had/, 'NUMBER calls had')
}
