import { ManualClock } from 'tidemark/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { Events } from '../src/events.ts'
import { CacheException, RedisConnectionError } from '../src/exceptions.ts'
import { Counters } from '../src/statistics.ts'
import { Telemetry } from '../src/telemetry.ts'

let clock: ManualClock
let logged: string[]
let telemetry: Telemetry

beforeEach(() => {
  clock = new ManualClock()
  logged = []
  const warn = (message: string): void => void logged.push(message)
  telemetry = new Telemetry({ counters: new Counters(true), events: new Events(), clock, warn })
})

test('what happens to an entry is counted and emitted', () => {
  const heard: unknown[] = []
  telemetry.events.on('stale', (event) => heard.push(event))
  telemetry.count('stale', 'a', 'n')
  telemetry.count('hit', 'a', 'n')
  expect(telemetry.statistics()).toMatchObject({ staleHits: 1, hits: 1 })
  expect(heard).toEqual([{ key: 'a', namespace: 'n' }])
})

test('uptime runs from the beginning, or from the last reset', () => {
  clock.advance('1m')
  expect(telemetry.statistics().uptime).toBe(60)
  telemetry.reset()
  clock.advance('250ms')
  expect(telemetry.statistics().uptime).toBe(0.25)
})

describe('a fault', () => {
  const fault = new RedisConnectionError('Redis at redis:6379 cannot be reached')

  test('is counted, emitted and logged, with what it was about', () => {
    const heard: unknown[] = []
    telemetry.events.on('error', (event) => heard.push(event))
    telemetry.report(fault, { key: 'a', namespace: 'n' })
    telemetry.report(fault)
    expect(telemetry.statistics().errors).toBe(2)
    expect(heard).toEqual([{ error: fault, key: 'a', namespace: 'n' }, { error: fault }])
    expect(logged).toEqual([
      'tidemark: Redis at redis:6379 cannot be reached (ERR_CACHE_REDIS_CONNECTION, key "a" in namespace "n")',
    ])
  })

  test('is logged once a minute, however many keys and namespaces it is about; another one at once', () => {
    for (let i = 0; i < 100; i++) telemetry.report(fault, { key: `k${i}`, namespace: `n${i}` })
    expect(logged).toHaveLength(1)
    telemetry.report(new CacheException('another'))
    expect(logged).toHaveLength(2)
    clock.advance('59s')
    telemetry.report(fault)
    expect(logged).toHaveLength(2)
    clock.advance('1s')
    telemetry.report(fault)
    expect(logged).toHaveLength(3)
  })

  test('is logged on one line and in short, whatever a client made up as a key', () => {
    telemetry.report(fault, { key: `a\nFORGED ${'x'.repeat(5000)}`, namespace: '' })
    expect(logged[0]).not.toContain('\n')
    expect(logged[0]!.length).toBeLessThan(300)
  })

  test('on its way to the caller is reported, and is the same one', async () => {
    await expect(telemetry.watch(Promise.reject(fault), { key: 'a', namespace: '' })).rejects.toBe(fault)
    expect(telemetry.statistics().errors).toBe(1)
    expect(await telemetry.watch(5)).toBe(5)
  })

  test('that is not one of the cache is not logged', () => {
    telemetry.report(new Error('a secret'))
    expect(logged).toEqual([])
    expect(telemetry.statistics().errors).toBe(1)
  })
})
