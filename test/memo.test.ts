/** What is remembered is found under both of its names, and never more of it than the bound. */
import { expect, test } from 'vitest'
import { Memo } from '../src/memo.ts'

test('what was added is found, under both of its names alone', () => {
  const memo = new Memo<string, number>(10)
  memo.add('a', 'x', 1)
  memo.add('b', 'x', 2)
  expect([memo.get('a', 'x'), memo.get('b', 'x'), memo.get('a', 'y'), memo.get('c', 'x')]).toEqual([
    1,
    2,
    undefined,
    undefined,
  ])
})

test.each(['__proto__', 'constructor', ''])('%j is a name like others', (name) => {
  const memo = new Memo<string, number>(10)
  expect(memo.get(name, name)).toBeUndefined()
  memo.add(name, name, 1)
  expect(memo.get(name, name)).toBe(1)
})

test('it holds no more than its bound: with one more all else is forgotten', () => {
  const memo = new Memo<string, number>(100)
  for (let i = 0; i < 100; i++) memo.add(i % 2 === 0 ? 'a' : 'b', `${i}`, i)
  expect(memo.size).toBe(100)
  memo.add('a', 'another', 7)
  expect([memo.size, memo.get('a', 'another'), memo.get('a', '0')]).toEqual([1, 7, undefined])
})

test('it holds nothing under a long name', () => {
  const memo = new Memo<string, number>(100)
  memo.add('a', 'x'.repeat(257), 1)
  expect(memo.size).toBe(0)
})
