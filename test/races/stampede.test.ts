/** One load for all processes, also when loaders fail, and when the process that loads is killed or paused. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { ApplicationConfig } from '../../src/index.ts'
import { Processes, type RaceProcess } from '../helpers/processes.ts'
import type { LoadOrder } from '../helpers/race-process.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'

const PROCESSES = 4
const CALLERS = 50
const WAIT = { timeout: 15_000, interval: 20 }

let server: RedisServer
let processes: Processes

beforeAll(async () => {
  server = await startRedis()
  processes = await Processes.prepare()
})
afterAll(async () => {
  await processes.dispose()
  await server.stop()
})
beforeEach(() => server.flush())
afterEach(() => processes.stopAll())

function config(leaseTime: `${number}ms` = '20000ms'): ApplicationConfig {
  return { redis: { url: server.url }, cache: { leaseTime, waitTime: '60s' } }
}

/** Until all callers but one of each process have joined the load of that one. */
async function everybodyWaits(all: readonly RaceProcess[]): Promise<void> {
  for (const one of all) {
    await vi.waitFor(async () => expect((await one.statistics()).coalesced).toBe(CALLERS - 1), WAIT)
  }
}

test('200 callers in four processes who miss together are answered by one load', async () => {
  const all = await processes.start(PROCESSES, config())
  const order: LoadOrder = { key: 'cold', callers: CALLERS, value: 'loaded', waits: true }
  const reports = all.map((one) => one.load(order))
  await Promise.race(all.map((one) => one.next('loading')))
  await everybodyWaits(all)
  await Promise.all(all.map((one) => one.open()))
  const done = await Promise.all(reports)
  expect(done.reduce((sum, { loads }) => sum + loads, 0)).toBe(1)
  expect(done.flatMap(({ values }) => values)).toEqual(Array.from({ length: PROCESSES * CALLERS }, () => 'loaded'))
})

test('the same when they come at once and nobody holds anybody up, key after key', async () => {
  const all = await processes.start(PROCESSES, config())
  for (let n = 0; n < 20; n++) {
    const order = { key: `cold ${n}`, callers: CALLERS, value: `loaded ${n}` }
    const reports = await Promise.all(all.map((one) => one.load(order)))
    expect(reports.reduce((sum, { loads }) => sum + loads, 0)).toBe(1)
    expect(new Set(reports.flatMap(({ values }) => values))).toEqual(new Set([`loaded ${n}`]))
  }
})

test('a loader that fails runs once in each process, and all who waited there get that very error', async () => {
  const all = await processes.start(PROCESSES, config())
  const order: LoadOrder = { key: 'broken', callers: CALLERS, value: 'no database', fails: true, waits: true }
  const reports = all.map((one) => one.load(order))
  await everybodyWaits(all)
  await Promise.all(all.map((one) => one.open()))
  for (const { loads, values, errors, isOneError } of await Promise.all(reports)) {
    expect({ loads, values, isOneError }).toEqual({ loads: 1, values: [], isOneError: true })
    expect(errors).toEqual(Array.from({ length: CALLERS }, () => 'Error: no database'))
  }
  const [first, second] = all
  expect((await first!.load({ ...order, fails: false, value: 'mended' })).values[0]).toBe('mended')
  expect((await second!.load({ ...order, fails: false, value: 'again' })).values[0]).toBe('mended')
})

test('a process that is killed in mid-load is replaced when its lease ends, and what its successor loads is stored', async () => {
  const [killed, successor, reader] = (await processes.start(3, config('1000ms'))) as [
    RaceProcess,
    RaceProcess,
    RaceProcess,
  ]
  void killed.load({ key: 'slow', callers: 1, value: 'never', waits: true })
  await killed.next('loading')
  const report = successor.load({ key: 'slow', callers: CALLERS, value: 'successor' })
  await everybodyWaits([successor])
  // Longer than the lease: as long as it lives, a loader keeps it.
  await sleep(1300)
  expect((await successor.statistics()).loads).toBe(0)

  await killed.kill()
  const { loads, values } = await report
  expect({ loads, values: [...new Set(values)] }).toEqual({ loads: 1, values: ['successor'] })
  // Stored: so it was the lease that ended, not the patience of who waited for it.
  expect(await successor.next('fill', 'fence')).toBe('fill')
  expect(await reader.call('get', 'slow')).toBe('successor')
})

test('a process that is paused beyond its lease is replaced, and what it stores at last is refused', async () => {
  const [paused, successor, reader] = (await processes.start(3, config('700ms'))) as [
    RaceProcess,
    RaceProcess,
    RaceProcess,
  ]
  const late = paused.load({ key: 'slow', callers: 1, value: 'paused', waits: true })
  await paused.next('loading')
  paused.pause()
  expect((await successor.load({ key: 'slow', callers: CALLERS, value: 'successor' })).loads).toBe(1)
  expect(await successor.next('fill', 'fence')).toBe('fill')

  paused.resume()
  await paused.open()
  expect((await late).values).toEqual(['paused'])
  expect(await paused.next('fill', 'fence')).toBe('fence')
  for (const one of [paused, successor, reader]) expect(await one.call('get', 'slow')).toBe('successor')
})
