/** What a caller's value becomes before anyone else gets it. */
import vm from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copy, snapshot } from '../../src/codec/snapshot.ts'
import { CacheSerializationError } from '../../src/exceptions.ts'
import { isFreezable, objectsIn, show, storable } from './values.ts'

const valueOf = (value: unknown): unknown => snapshot(value).value

function refusal(value: unknown): CacheSerializationError {
  try {
    snapshot(value, 'the-key')
  } catch (error) {
    if (error instanceof CacheSerializationError) return error
    throw error
  }
  throw new Error('expected a refusal')
}

/** What JSON makes of it, or undefined if it refuses. */
function byJson(value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(value))
  } catch {
    return undefined
  }
}

describe('a snapshot', () => {
  it('says what the value said', () => {
    fc.assert(
      fc.property(storable, (value) => {
        expect(show(valueOf(value))).toBe(show(value))
      }),
    )
  })

  it('is frozen wherever something can be frozen, and shares no object with the value', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const originals = new Set(objectsIn(value))
        const copies = objectsIn(valueOf(value))
        expect(copies.filter((object) => originals.has(object))).toEqual([])
        expect(copies.filter((object) => isFreezable(object) && !Object.isFrozen(object))).toEqual([])
      }),
    )
  })

  it('is plain exactly if JSON says everything about it', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const { value: copied, plain } = snapshot(value)
        expect(plain).toBe(show(byJson(copied)) === show(copied))
      }),
    )
  })

  it('is shareable exactly if everything in it is frozen', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const { value: copied, shareable } = snapshot(value)
        expect(shareable).toBe(objectsIn(copied).every((object) => isFreezable(object)))
      }),
    )
  })

  it('does not change when the value is changed later', () => {
    const value = { list: [1], at: new Date(5), bytes: Buffer.from('abc'), map: new Map([['a', [1]]]) }
    const before = valueOf(value)
    const shown = show(before)
    value.list.push(2)
    value.at.setTime(6)
    value.bytes.fill(0)
    value.map.get('a')!.push(2)
    expect(show(before)).toBe(shown)
  })

  it('counts the names of properties once, for all objects that have them', () => {
    const rows = (names: (n: number) => string): object[] =>
      Array.from({ length: 1000 }, (_, n) => ({ [names(n)]: true }))
    expect(snapshot(rows(() => 'the same name')).bytes).toBeLessThan(1000 * 100)
    expect(snapshot(rows((n) => `user-${n}`)).bytes).toBeGreaterThan(1000 * 200)
    expect(snapshot(rows((n) => `${n}${'x'.repeat(10_000)}`)).bytes).toBeGreaterThan(1000 * 10_000)
    const ids = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`other-${n}`, true]))
    expect(snapshot(ids).bytes).toBeGreaterThan(1000 * 150)
  })

  it('owns the memory of its bytes, however few they are', () => {
    const { value } = snapshot({ bytes: Buffer.from('abc') })
    expect((value as { bytes: Buffer }).bytes.buffer.byteLength).toBe(3)
    expect((valueOf(Buffer.from('abc')) as Buffer).buffer.byteLength).toBe(3)
  })

  it('keeps a Buffer a Buffer and a Uint8Array a Uint8Array, at the top as within', () => {
    for (const bytes of [Buffer.from([1, 2]), new Uint8Array([1, 2]), Buffer.alloc(0)]) {
      expect(show(valueOf(bytes))).toBe(show(bytes))
      expect(snapshot(bytes)).toMatchObject({ shareable: false, plain: false })
    }
  })

  it('estimates its size within a factor of two of what it holds', () => {
    expect(snapshot('x'.repeat(10_000)).bytes).toBeGreaterThan(9_000)
    expect(snapshot('x'.repeat(10_000)).bytes).toBeLessThan(20_000)
    expect(snapshot(Buffer.alloc(10_000)).bytes).toBeGreaterThan(9_000)
    expect(snapshot(new Map([[1, Buffer.alloc(10_000)]])).bytes).toBeGreaterThan(9_000)
    expect(snapshot(Array.from({ length: 1000 }, (_, i) => i)).bytes).toBeGreaterThan(7_000)
    snapshot({ a: 1 })
    expect(snapshot({ a: 1 }).bytes).toBeLessThan(100)
  })
})

describe("JSON's rules hold", () => {
  class Point {
    readonly x = 1
    readonly at = { y: 2 }
    get sum(): number {
      return 3
    }
  }
  const sparse: unknown[] = [1]
  sparse[2] = 3
  const cases: Record<string, unknown> = {
    'undefined in an object is dropped': { a: undefined, b: 1 },
    'undefined in an array is null': [undefined, 1],
    'a hole in an array is null': sparse,
    'boxed primitives are unboxed': [Object(1), Object('a'), Object(true)],
    'an instance becomes a plain object of its own enumerable properties': [new Point()],
    'symbol keys are ignored': { [Symbol('a')]: () => 1, b: 1 },
    'an object without prototype becomes a plain one': Object.assign(Object.create(null) as object, { a: 1 }),
    'a URL is its toJSON': { url: new URL('http://127.0.0.1/a') },
    'toJSON is told its name': { a: { toJSON: (name: string) => `I am ${name}` }, b: [{ toJSON: (i: string) => i }] },
    'toJSON is not asked of its own result': { toJSON: () => ({ toJSON: 1, a: 2 }) },
    'toJSON may say undefined': { a: { toJSON: () => undefined }, b: [{ toJSON: () => undefined }] },
    'toJSON may be inherited': new (class extends Array {
      toJSON(): unknown {
        return 'list'
      }
    })(),
    'further properties of an array are ignored': Object.assign([1], { more: 2 }),
    'integer names come first': { b: 1, 2: 1, 1: 1 },
    'an own __proto__ is a property as any other': JSON.parse('{"__proto__":{"polluted":true},"a":1}'),
    'an object of another realm is a plain one': vm.runInNewContext('({ a: [1, { b: 2 }] })'),
  }

  it.each(Object.entries(cases))('%s', (_rule, value) => {
    const { value: copied, plain } = snapshot(value)
    expect(show(copied)).toBe(show(byJson(value)))
    expect(plain).toBe(true)
  })

  it('never touches a prototype', () => {
    const copied = valueOf(JSON.parse('{"__proto__":{"polluted":true}}')) as Record<string, unknown>
    expect(copied['polluted']).toBeUndefined()
    expect(Object.getPrototypeOf(copied)).toBe(Object.prototype)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it('a property is read once', () => {
    let reads = 0
    const value = {
      get a(): number {
        return ++reads
      },
    }
    expect(valueOf({ value })).toEqual({ value: { a: 1 } })
    expect(reads).toBe(1)
  })
})

describe('beyond JSON', () => {
  it('a Date survives although it has toJSON, also of another realm, a subclass, or invalid', () => {
    class Day extends Date {}
    for (const date of [new Date(5), new Day(5), vm.runInNewContext('new Date(5)')]) {
      expect(show(valueOf({ date }))).toBe(show({ date: new Date(5) }))
    }
    expect(show(valueOf(new Date(Number.NaN)))).toBe('Invalid Date')
  })

  it('a bigint survives, boxed too', () => {
    expect(valueOf([1n, Object(2n)])).toEqual([1n, 2n])
  })

  it('undefined survives inside a Map or Set, where it differs from null', () => {
    const map = new Map<unknown, unknown>([
      [undefined, null],
      [null, undefined],
    ])
    expect(show(valueOf(map))).toBe(show(map))
    expect(show(valueOf(new Set([undefined, null])))).toBe(show(new Set([undefined, null])))
  })

  it('what toJSON returns may be beyond JSON', () => {
    expect(show(valueOf([{ toJSON: () => new Date(1) }, { toJSON: () => Buffer.from('a') }]))).toBe(
      show([new Date(1), Buffer.from('a')]),
    )
  })
})

describe('what cannot be stored is refused by its path', () => {
  const cycle: Record<string, unknown> = { list: [] }
  cycle['list'] = [{ back: cycle }]
  const cyclicMap = new Map<string, unknown>()
  cyclicMap.set('self', { map: cyclicMap })

  const cases: [string, unknown][] = [
    ['value: undefined cannot be stored', undefined],
    ['value: a function cannot be stored', () => 1],
    ['value: a symbol cannot be stored', Symbol('secret')],
    ['items[3].owner.callback: a function cannot be stored', { items: [1, 2, 3, { owner: { callback: () => 1 } }] }],
    ['[0][0]: a symbol cannot be stored', [[Symbol('a')]]],
    ['["a b"]["c\\"d"]: a function cannot be stored', { 'a b': { 'c"d': () => 1 } }],
    [
      'scores<entry 1>: a function cannot be stored',
      { scores: new Map<string, unknown>(Object.entries({ a: 1, b: String })) },
    ],
    ['<entry 0>[0]: a function cannot be stored', new Set([[() => 1]])],
    ['list[0].back: a cycle cannot be stored', cycle],
    ['<entry 0>.map: a cycle cannot be stored', cyclicMap],
    ['a: a Promise cannot be stored', { a: Promise.resolve(1) }],
    ['[0]: a WeakMap cannot be stored', [new WeakMap()]],
    ['[0]: a WeakSet cannot be stored', [new WeakSet()]],
    ['[0]: a WeakRef cannot be stored', [new WeakRef({})]],
    ['[0]: an ArrayBuffer cannot be stored', [new ArrayBuffer(1)]],
    ['[0]: a Float64Array cannot be stored', [new Float64Array(1)]],
    ['[0]: a Uint8ClampedArray cannot be stored', [new Uint8ClampedArray(1)]],
    ['[0]: a DataView cannot be stored', [new DataView(new ArrayBuffer(1))]],
    ['[0]: a symbol cannot be stored', [Object(Symbol('a'))]],
  ]

  it.each(cases)('%s', (message, value) => {
    expect(refusal(value).message).toBe(message)
    expect(refusal(value).key).toBe('the-key')
  })

  it('nesting deeper than 1000 levels, also by a toJSON that never ends', () => {
    let deep: unknown = 1
    for (let i = 0; i < 1000; i++) deep = i % 2 ? [deep] : { a: deep }
    expect(snapshot(deep).plain).toBe(true)
    expect(refusal([deep]).message).toMatch(/…?.*: nesting deeper than 1000 levels cannot be stored$/)
    expect(refusal([deep]).message.length).toBeLessThan(300)
    const endless: unknown = { toJSON: () => ({ a: endless }) }
    expect(refusal(endless).message).toMatch(/nesting deeper/)
  })

  it('what the stack has no room for, and not with a RangeError', () => {
    let deep: unknown = 1
    for (let i = 0; i < 900; i++) deep = [deep]
    let error: unknown
    const descend = (): void => {
      try {
        descend()
      } catch {
        // Here the stack is full; on the way back it has more and more room.
      }
      if (error instanceof CacheSerializationError) return
      try {
        snapshot(deep)
      } catch (thrown) {
        error = thrown
      }
    }
    descend()
    expect(error).toMatchObject({
      name: 'CacheSerializationError',
      message: expect.stringMatching(/nested too deeply$/),
    })
  })

  it('a getter or toJSON that throws, with its error as the cause', () => {
    const cause = new Error('no')
    const value = {
      a: {
        get b(): never {
          throw cause
        },
      },
    }
    expect(refusal(value)).toMatchObject({ message: 'a.b: it could not be read', cause })
    const toJSON = (): never => {
      throw cause
    }
    expect(refusal([{ toJSON }])).toMatchObject({ message: '[0]: it could not be read', cause, key: 'the-key' })
  })

  it('an object that cannot be listed, by its own path and not by that of the one before', () => {
    const unlisted = new Proxy(
      {},
      {
        ownKeys() {
          throw new Error('no')
        },
      },
    )
    expect(refusal([{ a: { b: 1 } }, unlisted]).message).toBe('[1]: it could not be read')
  })

  it('a toJSON that says undefined at the top', () => {
    expect(refusal({ toJSON: () => undefined }).message).toBe('value: undefined cannot be stored')
  })

  it('the same object twice is no cycle', () => {
    const shared = { a: 1 }
    expect(valueOf({ x: shared, y: [shared] })).toEqual({ x: shared, y: [shared] })
  })
})

describe("a caller's copy", () => {
  it('says the same, and shares nothing that can be changed', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const kept = valueOf(value)
        const own = copy(kept)
        expect(show(own)).toBe(show(kept))
        const shared = new Set(objectsIn(kept))
        expect(objectsIn(own).filter((object) => !isFreezable(object) && shared.has(object))).toEqual([])
        expect(objectsIn(own).filter((object) => isFreezable(object) && !Object.isFrozen(object))).toEqual([])
      }),
    )
  })

  it('shares the frozen parts that hold nothing changeable', () => {
    const kept = valueOf({ plain: { a: [1] }, at: new Date(0) }) as { plain: object; at: Date }
    const own = copy(kept) as typeof kept
    expect(own.plain).toBe(kept.plain)
    expect(own.at).not.toBe(kept.at)
    expect(copy(kept.plain)).toBe(kept.plain)
  })
})
