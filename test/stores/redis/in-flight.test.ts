/** Which commands of a connection are unanswered, and that those which are answered are let go of. */
import { afterEach, expect, test } from 'vitest'
import { InFlight, type Pending } from '../../../src/stores/redis/in-flight.ts'

const lists: InFlight[] = []
afterEach(() => lists.splice(0).forEach((list) => list.stop()))

function makeList(): { list: InFlight; add: (name: string) => Pending } {
  const list = new InFlight({ timeoutMs: 60_000, onExpired: () => {} })
  lists.push(list)
  return { list, add: (name) => list.add({ args: [name], resolve: () => {}, reject: () => {} }) }
}

const namesOf = (list: InFlight): unknown[] => Array.from(list.unsettled(), ({ args }) => args[0])

test('they come in the order in which they came, without those that are settled', () => {
  const { list, add } = makeList()
  const [a, b] = [add('a'), add('b'), add('c')]
  list.settle(b)
  expect(namesOf(list)).toEqual(['a', 'c'])
  list.settle(a)
  expect(namesOf(list)).toEqual(['c'])
  expect(list.count).toBe(1)
})

test('what is off the list leads to none that came after it, however they were settled', () => {
  const { list, add } = makeList()
  const all = ['a', 'b', 'c', 'd'].map(add)
  for (const i of [1, 0, 3, 2]) list.settle(all[i]!)
  expect(all.map(({ next }) => next)).toEqual([undefined, undefined, undefined, undefined])
  expect(namesOf(list)).toEqual([])
})

test('whoever goes through them may settle them, and others on the way', () => {
  const { list, add } = makeList()
  const all = ['a', 'b', 'c', 'd'].map(add)
  const met: unknown[] = []
  for (const pending of list.unsettled()) {
    met.push(pending.args[0])
    list.settle(pending)
    if (pending === all[0]) list.settle(all[1]!)
  }
  expect(met).toEqual(['a', 'c', 'd'])
  expect(list.count).toBe(0)
})
