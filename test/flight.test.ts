import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, test } from 'vitest'
import { Flight, Flights, type Patience } from '../src/flight.ts'

const LATE = new Error('late')
const FOREVER: Patience = { signal: undefined, until: Infinity, late: () => LATE, mayGoOn: false }

function within(ms: number, facts: Partial<Patience> = {}): Patience {
  return { ...FOREVER, until: performance.now() + ms, ...facts }
}

let abandoned = 0
let resolve: (value: number) => void
let reject: (error: unknown) => void

function flight(parentId?: string): Flight<number, string> {
  const take = (): Promise<number> => new Promise((...settle) => ([resolve, reject] = settle))
  return new Flight({ parentId, take, outcomeOf: (value) => `outcome of ${value}`, onAbandoned: () => abandoned++ })
}

describe('a flight', () => {
  test('hands its leader the value, and those who joined the outcome', async () => {
    const one = flight()
    const leader = one.wait(one.value, FOREVER)
    const joiner = one.wait(one.outcome, within(60_000))
    resolve(1)
    expect(await leader).toBe(1)
    expect(await joiner).toBe('outcome of 1')
    expect(one.signal.aborted).toBe(false)
  })

  test('fails all who wait with the same error, and nobody need wait', async () => {
    const error = new Error('down')
    const one = flight()
    const waiting = [one.wait(one.value, FOREVER), one.wait(one.outcome, within(60_000))]
    reject(error)
    for (const wait of waiting) await expect(wait).rejects.toBe(error)
    flight()
    reject(error)
  })

  test('is left by a caller whose time is over, and by nobody else', async () => {
    const one = flight()
    const patient = one.wait(one.outcome, FOREVER)
    await expect(one.wait(one.outcome, within(1))).rejects.toBe(LATE)
    expect(one.signal.aborted).toBe(false)
    resolve(1)
    expect(await patient).toBe('outcome of 1')
  })

  test('is left by a caller whose signal aborts, with the reason of the signal', async () => {
    const one = flight()
    const giveUp = new AbortController()
    const patient = one.wait(one.value, FOREVER)
    const wait = one.wait(one.value, { ...FOREVER, signal: giveUp.signal })
    giveUp.abort('enough')
    await expect(wait).rejects.toBe('enough')
    expect(one.signal.aborted).toBe(false)
    resolve(1)
    expect(await patient).toBe(1)
  })

  test('aborts its signal when the last one has left, with the reason of that one', async () => {
    const one = flight()
    const giveUp = new AbortController()
    const waiting = [
      one.wait(one.value, within(1)),
      one.wait(one.outcome, { ...FOREVER, signal: giveUp.signal }),
    ] as const
    await expect(waiting[0]).rejects.toBe(LATE)
    expect(one.signal.aborted).toBe(false)
    giveUp.abort('enough')
    await expect(waiting[1]).rejects.toBe('enough')
    expect(one.signal.reason).toBe('enough')
  })

  test('counts a caller once who is late and then aborts', async () => {
    const one = flight()
    const giveUp = new AbortController()
    void one.wait(one.value, FOREVER)
    await expect(one.wait(one.value, within(1, { signal: giveUp.signal }))).rejects.toBe(LATE)
    giveUp.abort()
    expect(one.signal.aborted).toBe(false)
  })

  test('goes on without the last one if that one has something else to answer', async () => {
    const one = flight()
    await expect(one.wait(one.value, within(1, { mayGoOn: true }))).rejects.toBe(LATE)
    expect(one.signal.aborted).toBe(false)
  })

  test('tells when everybody has left, once', async () => {
    const before = abandoned
    const one = flight()
    await Promise.allSettled([one.wait(one.value, within(1)), one.wait(one.outcome, within(2))])
    expect(abandoned).toBe(before + 1)
  })

  test('waits longer than a timer can: a year is not over at once', async () => {
    const one = flight()
    const wait = one.wait(one.value, within(365 * 86_400_000))
    await sleep(5)
    resolve(1)
    expect(await wait).toBe(1)
  })

  test('has no timer left when it has ended in time', async () => {
    const one = flight()
    const wait = one.wait(one.value, within(5))
    resolve(1)
    await wait
    await sleep(10)
    expect(one.signal.aborted).toBe(false)
  })

  test('leaves no listener on a signal that outlives it', async () => {
    const one = flight()
    const { signal } = new AbortController()
    let listeners = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args))
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args))
    const wait = one.wait(one.value, { ...FOREVER, signal })
    expect(listeners).toBe(1)
    resolve(1)
    await wait
    await new Promise(setImmediate)
    expect(listeners).toBe(0)
  })
})

describe('the flights that may be joined', () => {
  let flights: Flights<number, string>
  const [a, b, child] = [flight(), flight(), flight('p:parent')]

  beforeEach(() => {
    flights = new Flights()
    for (const [id, one] of [
      ['a', a],
      ['b', b],
      ['child', child],
    ] as const)
      flights.add(id, one)
  })

  const open = (): string[] => ['a', 'b', 'child'].filter((id) => flights.get(id) !== undefined)

  test('are those that were added and not closed', () => {
    expect(flights.get('a')).toBe(a)
    flights.close('a', a)
    expect(open()).toEqual(['b', 'child'])
  })

  test('closing one leaves another that has taken its place', () => {
    const next = flight()
    flights.add('a', next)
    flights.close('a', a)
    expect(flights.get('a')).toBe(next)
  })

  test('those of invalidated keys are detached, and those that hang on them', () => {
    flights.detach(['a', 'unknown'])
    expect(open()).toEqual(['b', 'child'])
    flights.detach(['p:parent'])
    expect(open()).toEqual(['b'])
  })

  test('all are detached by an invalidation that may concern any', () => {
    flights.detachAll()
    expect(open()).toEqual([])
  })
})
