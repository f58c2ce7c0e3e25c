/** A load that began before an invalidation in another process is served to nobody who came after it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Processes, type RaceProcess } from '../helpers/processes.ts'
import type { LoadOrder } from '../helpers/race-process.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'

const KEY = 'user_1'
const NAMESPACE = 'users'
const WAIT = { timeout: 15_000, interval: 10 }

let server: RedisServer
let processes: Processes
let rounds = 0

beforeAll(async () => {
  server = await startRedis()
  processes = await Processes.prepare()
})
afterAll(async () => {
  await processes.dispose()
  await server.stop()
})
beforeEach(() => server.flush())

const invalidations: readonly (readonly [what: string, invalidate: (one: RaceProcess) => Promise<unknown>])[] = [
  ['delete', (one) => one.call('delete', KEY, { namespace: NAMESPACE })],
  ['invalidateTags', (one) => one.call('invalidateTags', ['team:7'])],
  ['clear of the namespace', (one) => one.call('clear', { namespace: NAMESPACE })],
  ['clear of everything', (one) => one.call('clear')],
  ['set', (one) => one.call('set', KEY, 'new', { namespace: NAMESPACE })],
]

function order(value: string, facts: Partial<LoadOrder> = {}): LoadOrder {
  return { key: KEY, callers: 1, value, options: { namespace: NAMESPACE, tags: ['team:7'] }, ...facts }
}

function get(one: RaceProcess): Promise<unknown> {
  return one.call('get', KEY, { namespace: NAMESPACE })
}

/** Three processes of one prefix: who loads, who invalidates, and who looks on. */
async function start(): Promise<[RaceProcess, RaceProcess, RaceProcess]> {
  await processes.stopAll()
  const cache = { keyPrefix: `race-${rounds++}:`, leaseTime: '20s', waitTime: '60s' } as const
  return (await processes.start(3, { redis: { url: server.url }, cache })) as [RaceProcess, RaceProcess, RaceProcess]
}

describe.each(invalidations)('%s', (what, invalidate) => {
  test('in another process, while one loads: the load is not stored, and nobody is served it', async () => {
    const all = await start()
    const [first, second] = all
    for (const [loading, invalidating] of [
      [first, second],
      [second, first],
    ] as const) {
      const old = loading.load(order('old', { waits: true }))
      await loading.next('loading')
      await invalidate(invalidating)
      await loading.open()
      expect(await loading.next('fill', 'fence')).toBe('fence')
      expect((await old).values).toEqual(['old'])
      for (const one of all) expect(await get(one)).toBe(what === 'set' ? 'new' : undefined)
      await invalidating.call('delete', KEY, { namespace: NAMESPACE })
    }
  })

  test('in another process: who joins the load afterwards is handed what was read afterwards', async () => {
    const [loading, invalidating, reading] = await start()
    const old = loading.load(order('old', { waits: true }))
    await loading.next('loading')
    await invalidate(invalidating)
    const joined = loading.load(order('new', { callers: 20 }))
    await vi.waitFor(
      async () => expect((await loading.statistics()).coalesced).toBeGreaterThanOrEqual(what === 'set' ? 0 : 20),
      WAIT,
    )
    await loading.open()
    expect((await old).values).toEqual(['old'])
    expect(new Set((await joined).values)).toEqual(new Set(['new']))
    expect(new Set((await reading.load(order('new', { callers: 20 }))).values)).toEqual(new Set(['new']))
  })

  test('in another process: who asks there afterwards does not wait for the load that began before', async () => {
    const [loading, invalidating, reading] = await start()
    const old = loading.load(order('old', { waits: true }))
    await loading.next('loading')
    await invalidate(invalidating)
    for (const one of [invalidating, reading]) {
      expect(new Set((await one.load(order('new', { callers: 20 }))).values)).toEqual(new Set(['new']))
    }
    await loading.open()
    expect((await old).values).toEqual(['old'])
    expect(await loading.next('fill', 'fence')).toBe('fence')
    for (const one of [loading, invalidating, reading]) expect(await get(one)).toBe('new')
  })

  test('in the process that loads: who comes afterwards does not join', async () => {
    const [loading, , reading] = await start()
    const old = loading.load(order('old', { waits: true }))
    await loading.next('loading')
    await invalidate(loading)
    expect(new Set((await loading.load(order('new', { callers: 20 }))).values)).toEqual(new Set(['new']))
    await loading.open()
    expect((await old).values).toEqual(['old'])
    for (const one of [loading, reading]) await vi.waitFor(async () => expect(await get(one)).toBe('new'), WAIT)
  })
})
