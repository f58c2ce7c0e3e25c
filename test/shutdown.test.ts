/** `close()` under load: what is under way is finished or given up within its deadline, and nothing is left behind. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createCache, type CacheManager } from 'tidemark'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Loader } from './helpers/loader.ts'
import { startRedisCluster, type RedisCluster } from './helpers/redis-cluster.ts'
import { startRedis, type RedisServer } from './helpers/redis.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
let server: RedisServer
const open: CacheManager[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(async () => {
  await Promise.all(open.splice(0).map((cache) => cache.close()))
})

function make(): CacheManager {
  const cache = createCache({ redis: { url: server.url }, logger: SILENT })
  open.push(cache)
  return cache
}

describe('close', () => {
  test('waits for loads under way, and for their values to be stored', async () => {
    const [cache, other] = [make(), make()]
    const loader = new Loader<string>()
    const keys = Array.from({ length: 100 }, (_, i) => `key${i}`)
    const values = keys.map((key) => cache.getOrSet(key, loader.load))
    await loader.started(keys.length)
    const closed = cache.close()
    loader.runs.forEach(({ resolve }, i) => resolve(`value${i}`))
    await closed
    const expected = keys.map((_, i) => `value${i}`)
    expect(await Promise.all(values)).toEqual(expected)
    expect(await other.getMany(keys)).toEqual(expected)
  })

  test('waits for a refresh behind, too', async () => {
    const [cache, other] = [make(), make()]
    await cache.set('stale', 'old', { ttl: '1ms', swr: 60 })
    const loader = new Loader<string>()
    await expect.poll(() => cache.getOrSet('stale', loader.load)).toBe('old')
    const { resolve } = await loader.started()
    const closed = cache.close()
    resolve('new')
    await closed
    expect(await other.get('stale')).toBe('new')
  })

  test('gives up a load that takes longer: its caller is answered, and nothing is stored', async () => {
    const [cache, other] = [make(), make()]
    const loader = new Loader<string>()
    const value = cache.getOrSet('slow', loader.load)
    const { resolve } = await loader.started()
    await cache.close()
    resolve('late')
    expect(await value).toBe('late')
    expect(await other.get('slow')).toBeUndefined()
  })

  test('waits for no load that everybody has left', async () => {
    const cache = make()
    const loader = new Loader<string>()
    const late = cache.getOrSet('left', loader.load, { hardTimeout: '1ms' })
    await expect(late).rejects.toThrow(/within 1 ms/)
    expect(cache.parts.loads.flights.finished(60_000)).toBeUndefined()
  })

  test('may be called again meanwhile, and both wait', async () => {
    const cache = make()
    const loader = new Loader<string>()
    void cache.getOrSet('twice', loader.load)
    const { resolve } = await loader.started()
    const closing = [cache.close(), cache.close()]
    resolve('value')
    await Promise.all(closing)
    await expect(cache.get('twice')).rejects.toThrow(/closed by close\(\)/)
  })
})

describe('a process', () => {
  let directory: string
  let cluster: RedisCluster

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidemark-shutdown-'))
    const entry = new URL('../src/index.ts', import.meta.url).pathname
    const bundle = { bundle: true, platform: 'node', format: 'cjs' } as const
    await build({ entryPoints: [entry], outfile: join(directory, 'tidemark.cjs'), ...bundle })
    cluster = await startRedisCluster()
  })
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true })
    await cluster.stop()
  })

  /** Runs a process that closes its cache under load, and says what is left then; it is killed if it does not end by itself. */
  async function expectNothingLeft(redis: object | false, cache: object): Promise<void> {
    const program = `
      const { createCache } = require('./tidemark.cjs')
      const { setTimeout: sleep } = require('node:timers/promises')
      const resources = () => process.getActiveResourcesInfo().filter((name) => !/^(TTYWrap|PipeWrap|FSReqPromise|Immediate)$/.test(name))
      const logger = { info() {}, warn() {}, error() {} }
      async function main() {
        const before = { resources: resources(), handles: process._getActiveHandles().length }
        const cache = createCache({ redis: ${JSON.stringify(redis)}, cache: ${JSON.stringify(cache)}, logger })
        const keys = Array.from({ length: 300 }, (_, i) => 'key' + i)
        await cache.set('stale', 1, { ttl: '1ms', swr: 60 }).catch(() => {})
        const work = Promise.allSettled([
          ...keys.map((key) => cache.getOrSet(key, () => sleep(20, key), { tags: ['t'] })),
          ...keys.map((key) => cache.set('set ' + key, key)),
          ...keys.map((key) => cache.get(key)),
          cache.invalidateTags('t'),
          cache.ping(),
        ])
        // Behind the caller's back, and in front of it.
        void cache.getOrSet('stale', () => new Promise(() => {}))
        void cache.getOrSet('hung', () => new Promise(() => {}))
        await sleep(10)
        await cache.close()
        const { length } = await work
        const after = { resources: resources(), handles: process._getActiveHandles().length }
        console.log(JSON.stringify({ before, after, settled: length }))
      }
      main()`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { cwd: directory, timeout: 20_000 })
    const { before, after, settled } = JSON.parse(stdout) as Record<string, unknown>
    expect(settled).toBe(902)
    expect(after).toEqual(before)
  }

  test.each<[string, () => object | false, object]>([
    ['memory', () => false, {}],
    ['one server', () => ({ url: server.url }), {}],
    ['one server with memory in front', () => ({ url: server.url }), { l1: true }],
    ['a cluster', () => ({ cluster: cluster.nodes }), {}],
    ['a cluster with memory in front', () => ({ cluster: cluster.nodes }), { l1: true }],
    ['a server that is away', () => ({ port: 1 }), { l1: true }],
  ])('ends by itself after close() under load, with no timer, socket or handle left: %s', async (_, redis, cache) => {
    await expectNothingLeft(redis(), cache)
  })

  test('leaves no connection on the server', async () => {
    await expectNothingLeft({ url: server.url }, { l1: true })
    expect(String(await server.call('CLIENT', 'LIST'))).not.toContain('name=tidemark')
  })
})
