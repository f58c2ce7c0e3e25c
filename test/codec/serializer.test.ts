/** What a snapshotted value becomes as bytes, and what hostile bytes may not become. */
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deserialize, serialize } from '../../src/codec/serializer.ts'
import { snapshot } from '../../src/codec/snapshot.ts'
import { CacheDeserializationError } from '../../src/exceptions.ts'
import { isFreezable, objectsIn, show, storable } from './values.ts'

function roundTrip(value: unknown): ReturnType<typeof deserialize> {
  const { value: kept, plain } = snapshot(value)
  const { kind, body } = serialize(kept, plain)
  return deserialize(kind, body)
}

function textOf(value: unknown): string {
  const { value: kept, plain } = snapshot(value)
  return serialize(kept, plain).body.toString()
}

describe('a value that was stored', () => {
  it('comes back as its snapshot was, with the same flags', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const kept = snapshot(value)
        const read = roundTrip(value)
        expect(show(read.value)).toBe(show(kept.value))
        expect({ shareable: read.shareable, plain: read.plain }).toEqual({
          shareable: kept.shareable,
          plain: kept.plain,
        })
      }),
      { numRuns: 500 },
    )
  })

  it('comes back frozen wherever something can be frozen', () => {
    fc.assert(
      fc.property(storable, (value) => {
        const objects = objectsIn(roundTrip(value).value)
        expect(objects.filter((object) => isFreezable(object) && !Object.isFrozen(object))).toEqual([])
      }),
    )
  })

  it('is JSON if that says everything, and bytes if it is bytes', () => {
    expect(textOf({ a: [1, 'é', null] })).toBe('{"a":[1,"é",null]}')
    expect(serialize(Buffer.from('abc'), false)).toEqual({ kind: 'buffer', body: Buffer.from('abc') })
    expect(serialize(new Uint8Array([97]), false)).toEqual({ kind: 'uint8array', body: Buffer.from('a') })
  })

  it('takes few bytes more for what is beyond JSON', () => {
    expect(textOf({ at: new Date(5), big: -255n, nan: Number.NaN })).toBe(
      '{"at":{"~d":5},"big":{"~n":"-ff"},"nan":{"~f":"NaN"}}',
    )
    expect(textOf([new Map([[1, -0]]), new Set(['a']), Buffer.from('a')])).toBe(
      '[{"~m":[1,{"~f":"-0"}]},{"~s":["a"]},{"~b":"YQ=="}]',
    )
  })

  it('may look like a tag itself, plain or among what is beyond JSON', () => {
    for (const lookalike of [
      { '~d': 5 },
      { '~~d': 5 },
      { '~': 1 },
      { '~m': [[1]] },
      { '~d': { '~d': { '~s': [] } } },
    ]) {
      for (const value of [lookalike, [lookalike, 1n], { [`~x`]: new Date(1) }, { '~d': 1, b: 1n }]) {
        expect(show(roundTrip(value).value)).toBe(show(value))
      }
    }
  })

  it('may be undefined, as that of a negative entry', () => {
    const { kind, body } = serialize(undefined, true)
    expect(deserialize(kind, body).value).toBeUndefined()
  })

  it('of bytes is a view, which nobody copied', () => {
    const body = Buffer.from('abc')
    expect(deserialize('buffer', body).value).toBe(body)
    const { value } = deserialize('uint8array', body)
    expect(show(value)).toBe(show(new Uint8Array([97, 98, 99])))
    expect((value as Uint8Array).buffer).toBe(body.buffer)
  })
})

describe('hostile bytes', () => {
  const read = (kind: 'json' | 'tagged', text: string): unknown => deserialize(kind, Buffer.from(text)).value

  it.each([
    '',
    '{"a":',
    '{"~d":"5"}',
    '{"~d":[]}',
    '{"~m":{}}',
    '{"~s":5}',
    '{"~b":5}',
    '{"~u":null}',
    '{"~n":5}',
    '{"~n":"0x5"}',
    '{"~n":""}',
    '{"~n":"1n"}',
    '{"~f":"1"}',
    '{"~f":1}',
    '{"~":1}',
    '{"~x":1}',
    '{"~constructor":1}',
    '[{"a":{"~q":1}}]',
  ])('%s is an error', (text) => {
    expect(() => read('tagged', text)).toThrow(CacheDeserializationError)
  })

  it('do not get into an error, which might be logged', () => {
    for (const kind of ['json', 'tagged'] as const) {
      let error: unknown
      try {
        read(kind, '{"password":hunter2')
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(CacheDeserializationError)
      expect(inspect(error)).not.toContain('hunter2')
    }
  })

  it('touch no prototype', () => {
    for (const kind of ['json', 'tagged'] as const) {
      const value = read(kind, '{"__proto__":{"polluted":1},"a":{"__proto__":{"b":{"~d":1}}}}') as Record<
        string,
        unknown
      >
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
      expect(Object.getPrototypeOf(value['a'])).toBe(Object.prototype)
      expect(value['polluted']).toBeUndefined()
    }
    expect(show(read('tagged', '{"__proto__":{"~d":1},"a":1}'))).toBe(
      show(
        Object.fromEntries([
          ['__proto__', new Date(1)],
          ['a', 1],
        ]),
      ),
    )
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  it('nested deeper than any value are an error, and do not run the stack out', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
      ['{"~s":[', ']}'],
      ['{"~~":', '}'],
    ] as const) {
      for (const depth of [1500, 100_000]) {
        const text = `${open.repeat(depth)}1${close.repeat(depth)}`
        expect(() => read('tagged', text)).toThrow(CacheDeserializationError)
        expect(() => read('json', text)).toThrow(CacheDeserializationError)
      }
    }
  })

  it('as deep as a value may be are read', () => {
    const wraps = [
      (inner: unknown) => new Map([[1, inner]]),
      (inner: unknown) => ({ '~': inner }),
      (inner: unknown) => [inner],
    ]
    let deep: unknown = new Date(1)
    for (let i = 0; i < 1000; i++) deep = wraps[i % 3]!(deep)
    let inner = roundTrip(deep).value
    for (let i = 0; i < 1000; i++) [inner] = inner instanceof Map ? inner.values() : Object.values(inner as object)
    expect(inner).toEqual(new Date(1))
  })
})
