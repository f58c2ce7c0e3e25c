import { channel } from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, expectTypeOf, test } from 'vitest'
import { Events, type CacheEvents } from '../src/events.ts'

const ABOUT = { key: 'a', namespace: 'n' }

test('a listener hears of its event, and of no other', () => {
  const events = new Events()
  const heard: unknown[] = []
  events.on('hit', (event) => heard.push(event))
  events.emit('hit', ABOUT)
  events.emit('miss', ABOUT)
  expect(heard).toEqual([ABOUT])
})

test('a listener that was taken off hears no more, and one that was put on twice hears once', () => {
  const events = new Events()
  let heard = 0
  const listener = (): void => void heard++
  events.on('hit', listener)
  events.on('hit', listener)
  events.emit('hit', ABOUT)
  expect(heard).toBe(1)
  events.off('hit', listener)
  events.emit('hit', ABOUT)
  expect(heard).toBe(1)
  expect(() => events.off('miss', listener)).not.toThrow()
})

test('an event that does not exist is refused, with those that do', () => {
  const events = new Events()
  // @ts-expect-error there is no such event
  expect(() => events.on('hits', () => {})).toThrow(/event: expected one of hit, stale, miss, .*, got hits/)
  // @ts-expect-error nor this
  expect(() => events.on('constructor', () => {})).toThrow(TypeError)
})

test('what an event carries is typed', () => {
  const events = new Events()
  events.on('load', (event) => expectTypeOf(event.durationMs).toBeNumber())
  events.on('clear', (event) => expectTypeOf(event.namespace).toEqualTypeOf<string | undefined>())
  expectTypeOf<CacheEvents['delete']>().toHaveProperty('deleted')
})

test('a listener that throws harms neither the others nor whoever emits, and is told of as an error', () => {
  const events = new Events()
  const mistake = new Error('mine')
  const heard: unknown[] = []
  events.on('hit', () => {
    throw mistake
  })
  events.on('hit', (event) => heard.push(event))
  events.on('error', (event) => heard.push(event.error))
  expect(() => events.emit('hit', ABOUT)).not.toThrow()
  expect(heard).toEqual([mistake, ABOUT])
})

test('so is one that rejects', async () => {
  const events = new Events()
  const mistake = new Error('mine')
  const heard: unknown[] = []
  events.on('hit', () => Promise.reject(mistake))
  events.on('error', (event) => heard.push(event.error))
  events.emit('hit', ABOUT)
  await turn()
  expect(heard).toEqual([mistake])
})

test('an error listener that throws is not told of itself', () => {
  const events = new Events()
  let heard = 0
  events.on('error', () => {
    heard++
    throw new Error('again')
  })
  expect(() => events.emit('error', { error: 1 })).not.toThrow()
  expect(heard).toBe(1)
})

test('an error that nobody listens for throws nothing', () => {
  expect(() => new Events().emit('error', { error: new Error('unheard') })).not.toThrow()
})

test('the same facts go to the diagnostics channels, whichever cache they are of', () => {
  const heard: unknown[] = []
  const subscriber = (message: unknown): void => void heard.push(message)
  channel('tidemark:fill').subscribe(subscriber)
  new Events().emit('fill', ABOUT)
  channel('tidemark:fill').unsubscribe(subscriber)
  new Events().emit('fill', ABOUT)
  expect(heard).toEqual([ABOUT])
})

test('whether anybody listens is known before an event is made', () => {
  const events = new Events()
  const listener = (): void => {}
  expect(events.has('stale')).toBe(false)
  events.on('stale', listener)
  expect(events.has('stale')).toBe(true)
  events.off('stale', listener)
  expect(events.has('stale')).toBe(false)
  channel('tidemark:stale').subscribe(listener)
  expect(events.has('stale')).toBe(true)
  channel('tidemark:stale').unsubscribe(listener)
})
