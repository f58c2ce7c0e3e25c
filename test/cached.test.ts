import { createCache } from 'tidemark'
import { afterEach, describe, expect, expectTypeOf, test } from 'vitest'
import { cacheBusting, cached } from '../src/cached.ts'
import { CacheConfigurationError, CacheKeyError, RedisConnectionError } from '../src/exceptions.ts'

const cache = createCache()
afterEach(() => cache.clear())

interface User {
  readonly id: number
  readonly team: string
}

/** A source of users that remembers what it was asked for. */
class Source {
  readonly asked: unknown[][] = []
  user = async (id: number): Promise<User> => {
    this.asked.push([id])
    return { id, team: id < 10 ? 'red' : 'blue' }
  }
}

/** Where one function waits for another. */
class Gate {
  open!: () => void
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve
  })
}

describe('cached around a function', () => {
  test('runs it once for each key', async () => {
    const source = new Source()
    const getUser = cached(cache, { ttl: 300, namespace: 'users', key: (id) => `user_${id}` })(source.user)
    expect(await Promise.all([getUser(1), getUser(1), getUser(2)])).toEqual([
      { id: 1, team: 'red' },
      { id: 1, team: 'red' },
      { id: 2, team: 'red' },
    ])
    await getUser(1)
    expect(source.asked).toEqual([[1], [2]])
    expect(await cache.get('user_1', { namespace: 'users' })).toEqual({ id: 1, team: 'red' })
  })

  test('hands over `this` and all arguments', async () => {
    const key = function (this: { base: number }, ...args: number[]): string {
      return [this.base, ...args].join('_')
    }
    const sum = cached(cache, { key })(async function (this: { base: number }, ...args: number[]) {
      return args.reduce((left, right) => left + right, this.base)
    })
    expect(await sum.call({ base: 100 }, 1, 2, 3)).toBe(106)
    expect(await cache.get('100_1_2_3')).toBe(106)
  })

  test('keeps its name, its length and its properties', () => {
    async function find(_id: number, _deep: boolean): Promise<void> {}
    find.description = 'finds'
    const wrapped = cached(cache)(find)
    expect({ ...wrapped }).toEqual({ description: 'finds' })
    expect([wrapped.name, wrapped.length]).toEqual(['find', 2])
    expect(wrapped.description).toBe('finds')
  })

  test('makes a synchronous one asynchronous, also when it throws', async () => {
    const parse = cached(cache)(function parse(text: string): unknown {
      return JSON.parse(text)
    })
    expect(await parse('[1]')).toEqual([1])
    await expect(parse('[')).rejects.toThrow(SyntaxError)
  })

  test('passes its error on untouched, and does not keep it', async () => {
    const error = new Error('down')
    let isDown = true
    const read = cached(cache)(async function read() {
      if (isDown) throw error
      return 'up'
    })
    await expect(read()).rejects.toBe(error)
    isDown = false
    expect(await read()).toBe('up')
  })

  test('gives its options to the load', async () => {
    const count = { loads: 0 }
    const options = { ttl: '1h', namespace: 'options', negativeTtl: '2h', tags: 'counts' } as const
    const nothing = cached(
      cache,
      options,
    )(async function nothing() {
      count.loads++
    })
    await nothing()
    await nothing()
    expect(count.loads).toBe(1)
    expect(await cache.ttl('nothing()', { namespace: 'options' })).toBeCloseTo(7200, 0)
  })

  test('takes its namespace from the cache if it names none', async () => {
    const inNamespace = cache.namespace('reports')
    await cached(inNamespace)(async function report() {
      return 1
    })()
    expect(await cache.get('report()', { namespace: 'reports' })).toBe(1)
  })

  test('does not follow options that are changed afterwards', async () => {
    const options = { key: 'before', tags: ['before'] }
    const read = cached(cache, options)(async () => 1)
    options.key = 'after'
    await read()
    expect([await cache.get('before'), await cache.get('after')]).toEqual([1, undefined])
  })

  test('rejects, and does not throw, if its key cannot be made', async () => {
    const failing = new Error('no tenant')
    const read = cached(cache, {
      key: () => {
        throw failing
      },
    })(async () => 1)
    await expect(read()).rejects.toBe(failing)
    await expect(cached(cache, { key: () => '' })(async () => 1)()).rejects.toThrow(CacheKeyError)
  })
})

describe('without a key', () => {
  test('the key is the name and the arguments', async () => {
    const getUser = cached(cache, { namespace: 'users' })(async function getUser(id: number, options?: object) {
      return { id, ...options }
    })
    await getUser(1)
    await getUser(1, { deep: true })
    expect(await cache.get('getUser(1)', { namespace: 'users' })).toEqual({ id: 1 })
    expect(await cache.get('getUser(1,{"deep":true})', { namespace: 'users' })).toEqual({ id: 1, deep: true })
  })

  test('functions without a name are told apart by their source', async () => {
    const one = cached(cache, { ttl: 60 })(async (id: number) => `one ${id}`)
    const other = cached(cache, { ttl: 60 })(async (id: number) => `other ${id}`)
    expect([await one(1), await other(1), await one(1)]).toEqual(['one 1', 'other 1', 'one 1'])
  })

  test('a function that shows neither a name nor a source is refused at once', () => {
    const bound = Object.defineProperty((async () => 1).bind(null), 'name', { value: '' })
    expect(() => cached(cache, { ttl: 60 })(bound)).toThrow(
      'invalid options of cached:\n  key: expected a key, or a function with a name to build it from, got neither',
    )
  })

  test('an argument without a stable identity rejects the call, which does not run', async () => {
    const source = new Source()
    const find = cached(cache, { namespace: 'users' })(async function find(filter: (user: User) => boolean) {
      return filter(await source.user(1))
    })
    await expect(find(() => true)).rejects.toThrow('find, argument 1: expected values that a key can be built from')
    expect(source.asked).toEqual([])
  })
})

describe('tags', () => {
  test('may be more than a call takes arguments', async () => {
    const tags = Array.from({ length: 130_000 }, (_, i) => `tag ${i}`)
    const many = cached(cache, { key: 'many', tags: () => tags })(async () => 'loaded')
    expect(await many()).toBe('loaded')
    await cache.invalidateTags('tag 129999')
    expect(await cache.get('many')).toBeUndefined()
  })

  /** Whether `call` has to load again after `tag` was invalidated. */
  async function isInvalidatedBy(
    tag: string,
    call: (source: Source) => (id: number) => Promise<User>,
  ): Promise<boolean> {
    await cache.clear()
    const source = new Source()
    const getUser = call(source)
    await getUser(1)
    await cache.invalidateTags(tag)
    await getUser(1)
    return source.asked.length === 2
  }

  test('may be one, or several', async () => {
    const one = (source: Source) => cached(cache, { key: 'u', tags: 'users' })(source.user)
    const several = (source: Source) => cached(cache, { key: 'u', tags: ['users', 'people'] })(source.user)
    expect(await isInvalidatedBy('users', one)).toBe(true)
    expect(await isInvalidatedBy('people', several)).toBe(true)
    expect(await isInvalidatedBy('others', several)).toBe(false)
  })

  test('may be a function of the arguments', async () => {
    const tagged = (source: Source) => cached(cache, { key: 'u', tags: (id) => [`user:${id}`] })(source.user)
    expect(await isInvalidatedBy('user:1', tagged)).toBe(true)
    expect(await isInvalidatedBy('user:2', tagged)).toBe(false)
  })

  test('may be a function of the arguments and, last, of the result', async () => {
    const tags = (id: number, user: User): string[] => [`user:${id}`, `team:${user.team}`]
    const tagged = (source: Source) => cached(cache, { key: 'u', tags })(source.user)
    expect(await isInvalidatedBy('team:red', tagged)).toBe(true)
    expect(await isInvalidatedBy('user:1', tagged)).toBe(true)
    expect(await isInvalidatedBy('team:blue', tagged)).toBe(false)
  })

  test('stand behind parameters that were left out', async () => {
    const seen: unknown[][] = []
    const tags = (...all: unknown[]): string => {
      seen.push(all)
      return 't'
    }
    const optional = cached(cache, { key: (id) => `optional ${id}`, tags })(async (id: number, _deep?: boolean) => id)
    await optional(1)
    await optional(2, true)
    const rest = cached(cache, { key: (...ids) => `rest ${ids.join()}`, tags })(async (...ids: number[]) => ids.length)
    await rest(3, 4)
    expect(seen).toEqual([
      [1, undefined, 1],
      [2, true, 2],
      [3, 4, 2],
    ])
  })

  test('stand where the function that asks for them declares them, behind a default', async () => {
    const tags = (id: number, deep: boolean | undefined, result: string): string => `${id} ${deep} ${result}`
    const find = cached(cache, { key: 'k', tags })(async (id: number, deep = true) => `${id}${deep}`)
    await find(1)
    await cache.invalidateTags('1 undefined 1true')
    expect(await cache.exists('k')).toBe(0)
  })

  test('that are none reject the call', async () => {
    const read = cached(cache, { key: 'k', tags: () => '' })(async () => 1)
    await expect(read()).rejects.toThrow(CacheKeyError)
    expect(await cache.exists('k')).toBe(0)
  })
})

describe('cacheBusting around a function', () => {
  async function store(...keys: string[]): Promise<void> {
    for (const key of keys) await cache.set(key, key, { namespace: 'users', tags: [`tag:${key}`] })
  }
  const left = async (...keys: string[]): Promise<number> => cache.exists(keys, { namespace: 'users' })

  test('deletes keys of its namespace, and hands on the result', async () => {
    await store('a', 'b', 'c')
    await cache.set('a', 'other namespace')
    const create = cacheBusting(cache, { keys: ['a', 'b'], namespace: 'users' })(async (name: string) => ({ name }))
    expect(await create('Ada')).toEqual({ name: 'Ada' })
    expect(await left('a', 'b')).toBe(0)
    expect([await left('c'), await cache.get('a')]).toEqual([1, 'other namespace'])
  })

  test('keys and tags may be functions of the arguments and, last, of the result', async () => {
    await store('a1', 'b2', 'c3')
    const rename = cacheBusting(cache, {
      namespace: 'users',
      keys: (id: number) => `a${id}`,
      tags: (id: number, result: { next: number }) => [`tag:b${result.next}`, `other:${id}`],
    })(async (id: number) => ({ next: id + 1 }))
    await rename(1)
    expect([await left('a1', 'b2'), await left('c3')]).toEqual([0, 1])
  })

  test('names that are empty invalidate nothing', async () => {
    await store('a')
    const create = cacheBusting(cache, { keys: () => [], tags: () => [], namespace: 'users' })(async () => 1)
    expect(await create()).toBe(1)
    expect(await left('a')).toBe(1)
  })

  test('invalidates nothing if the function fails, whose error comes through untouched', async () => {
    await store('a')
    const error = new Error('duplicate')
    const create = cacheBusting(cache, { keys: 'a', namespace: 'users' })(async () => {
      throw error
    })
    await expect(create()).rejects.toBe(error)
    expect(await left('a')).toBe(1)
  })

  test('invalidates after the function has succeeded, and before its result is handed out', async () => {
    await store('a')
    const seen: number[] = []
    const create = cacheBusting(cache, { keys: 'a', namespace: 'users' })(async () => {
      seen.push(await left('a'))
    })
    await create()
    seen.push(await left('a'))
    expect(seen).toEqual([1, 0])
  })

  test('keeps a load that is under way from storing what it read before', async () => {
    const database = { name: 'Ada' }
    const hasRead = new Gate()
    const mayReturn = new Gate()
    const getName = cached(cache, { key: 'name' })(async () => {
      const { name } = database
      hasRead.open()
      await mayReturn.opened
      return name
    })
    const rename = cacheBusting(cache, { keys: 'name' })(async (name: string) => {
      database.name = name
    })
    const before = getName()
    await hasRead.opened
    await rename('Grace')
    mayReturn.open()
    expect(await before).toBe('Ada')
    expect(await getName()).toBe('Grace')
  })

  test('rejects when the invalidation cannot be delivered: the function has run, the cache may be out of date', async () => {
    await using unreachable = createCache({ redis: { host: '127.0.0.1', port: 1 } })
    let runs = 0
    const create = cacheBusting(unreachable, { keys: 'a', tags: 'b' })(async function create() {
      runs++
    })
    const error: unknown = await create().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RedisConnectionError)
    expect(error).toMatchObject({
      message: expect.stringContaining('create has run, but its invalidation could not be delivered: '),
      cause: expect.any(RedisConnectionError),
    })
    expect(runs).toBe(1)
  })

  test.each(['keys', 'tags'] as const)(
    '%s that cannot be told keep nothing else from being invalidated',
    async (what) => {
      await cache.set('told', 1, { tags: ['told'] })
      const broken = new Error('no names today')
      const options = {
        keys: 'told',
        tags: 'told',
        [what]: () => {
          throw broken
        },
      }
      await expect(cacheBusting(cache, options)(async () => 1)()).rejects.toBe(broken)
      expect(await cache.get('told')).toBeUndefined()
    },
  )

  test('tags that cannot be told leave no rejection of the keys behind, when Redis is away', async () => {
    await using unreachable = createCache({ redis: { host: '127.0.0.1', port: 1 } })
    const broken = new Error('no names today')
    const tags = (): string => {
      throw broken
    }
    // A rejection that nobody takes would fail the run.
    const bust = cacheBusting(unreachable, { keys: 'a', tags })(async () => 1)
    await expect(bust()).rejects.toThrow(RedisConnectionError)
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('what is no name is refused by the cache, by name', async () => {
    const create = cacheBusting(cache, { keys: (id: number) => id as unknown as string })(async (id: number) => id)
    await expect(create(5)).rejects.toThrow(CacheKeyError)
  })
})

describe('options are checked at once', () => {
  const untyped = { cached, cacheBusting } as unknown as Record<string, (...args: unknown[]) => unknown>

  test('and everything that is wrong is listed', () => {
    const options = { ttl: 0, swr: 'soon', key: '', tags: ['a', 5], compress: 'yes', namespace: 7, tll: 5 }
    expect(() => untyped['cached']!(cache, options)).toThrow(CacheConfigurationError)
    try {
      untyped['cached']!(cache, options)
    } catch (error) {
      expect((error as CacheConfigurationError).faults.map(({ path, got }) => `${path}: ${got}`)).toEqual([
        'ttl: 0',
        "swr: 'soon'",
        "key: ''",
        "tags: ['a', 5]",
        "compress: 'yes'",
        'namespace: 7',
        'tll: an unknown option',
      ])
    }
  })

  test.each<[string, string, unknown[]]>([
    [
      'cached',
      'cache: expected a CacheManager, as createCache() or setupCache() returns it, got undefined',
      [undefined, {}],
    ],
    ['cacheBusting', 'cache: expected a CacheManager, as createCache() or setupCache()', [undefined, { keys: 'a' }]],
    ['cached', 'options: expected an object, got 300', [cache, 300]],
    ['cached', "keys: expected a known option (did you mean 'key'?), got an unknown option", [cache, { keys: ['a'] }]],
    ['cached', 'loader: expected one of ttl, namespace, key, tags, ', [cache, { loader: 1 }]],
    ['cached', 'signal: expected one of ttl', [cache, { signal: undefined }]],
    ['cached', 'constructor: expected one of ttl', [cache, { constructor: undefined }]],
    ['cacheBusting', 'options: expected an object, got undefined', [cache]],
    ['cacheBusting', 'keys: expected at least one of keys and tags, got neither', [cache, { namespace: 'n' }]],
    ['cacheBusting', 'keys: expected at least one of keys and tags, got neither', [cache, { keys: [], tags: [] }]],
    ['cacheBusting', 'keys: expected a non-empty string, an array of them, or a function', [cache, { keys: [''] }]],
    ['cacheBusting', 'ttl: expected one of namespace, keys, tags, got', [cache, { keys: 'a', ttl: 5 }]],
    ['cacheBusting', 'cache: expected a CacheManager', [{ getOrSet: () => 1 }, { keys: 'a' }]],
  ])('%s: %s', (name, message, args) => {
    expect(() => untyped[name]!(...args)).toThrow(CacheConfigurationError)
    expect(() => untyped[name]!(...args)).toThrow(message)
  })

  test('every option that there is passes', () => {
    const duration = { ttl: 5, swr: '1m', grace: 0, softTimeout: '250ms', hardTimeout: 5, negativeTtl: 1 } as const
    expect(cached(cache, { ...duration, compress: true, namespace: '', key: undefined, tags: [] })).toBeTypeOf(
      'function',
    )
  })
})

describe('what is no function is refused where it is wrapped', () => {
  const wrap = cached(cache, { key: 'k' }) as unknown as (...args: unknown[]) => unknown

  test.each<[string, unknown[]]>([
    ['a function or a method, got undefined', []],
    ["a function or a method, got 'find'", ['find']],
    ['a function or a method, got the class Users', [class Users {}]],
    ['a function or a method, got the class Map', [Map]],
    ['a function or a method, got the generator function list', [function* list() {}]],
    ['a function or a method, got the generator function list', [async function* list() {}]],
    ['to be called as a decorator, or with one function; got 0 too', [async () => 1, 0]],
  ])('cached: expected %s', (message, args) => {
    expect(() => wrap(...args)).toThrow(new TypeError(`cached: expected ${message}`))
  })

  test('cacheBusting says its own name', () => {
    const bust = cacheBusting(cache, { keys: 'k' }) as unknown as (fn: unknown) => unknown
    expect(() => bust(1)).toThrow(new TypeError('cacheBusting: expected a function or a method, got 1'))
  })
})

describe('types', () => {
  const find = async (id: number, deep = false): Promise<User & { deep: boolean }> => ({ id, team: 'red', deep })

  test('arguments, defaults and result are kept', () => {
    expectTypeOf(cached(cache, { key: 'k' })(find)).toEqualTypeOf(find)
    expectTypeOf(cacheBusting(cache, { keys: 'k' })(find)).toEqualTypeOf(find)
  })

  test('generics and overloads are kept', () => {
    const same = async <T>(value: T): Promise<T> => value
    const wrapped = cached(cache, { key: 'k' })(same)
    expectTypeOf(wrapped<'a'>).toEqualTypeOf<(value: 'a') => Promise<'a'>>()
    const sameOverloaded: { (value: string): Promise<string>; (value: number): Promise<number> } = same
    expectTypeOf(cached(cache, { key: 'k' })(sameOverloaded)).toEqualTypeOf(sameOverloaded)
  })

  test('`this` is kept', () => {
    const method = async function (this: User, prefix: string): Promise<string> {
      return prefix + this.team
    }
    expectTypeOf(cached(cache, { key: 'k' })(method)).toEqualTypeOf(method)
  })

  test('a synchronous function becomes asynchronous, with its generics', () => {
    const parse = (text: string, reviver?: string): User | Promise<User> => JSON.parse(text + reviver)
    expectTypeOf(cached(cache, { key: 'k' })(parse)).toExtend<(text: string, reviver?: string) => Promise<User>>()
    const list = cached(cache, { key: 'k' })(<T>(item: T): T[] => [item])
    expectTypeOf(list<string>).returns.toEqualTypeOf<Promise<string[]>>()
  })

  test('options that are functions may leave their parameters to be anything', () => {
    const tags = cached(cache, { key: (id) => id.toFixed(), tags: (id, _deep, user) => [id.toFixed(), user.team] })
    expectTypeOf(tags(find)).toEqualTypeOf(find)
  })

  test('options that are functions must fit the function if they say what they take', () => {
    const tags = (id: number, _deep: boolean | undefined, user: User): string[] => [user.team + id]
    expectTypeOf(cached(cache, { key: (id: number) => `user_${id}`, tags })(find)).toEqualTypeOf(find)
    expectTypeOf(cacheBusting(cache, { keys: tags, tags })(find)).toEqualTypeOf(find)
    const refused = (): void => {
      // @ts-expect-error the id is a number
      cached(cache, { key: (id: string) => id })(find)
      // @ts-expect-error behind the id comes what may be left out, and only then the result
      cached(cache, { key: 'k', tags: (_id: number, user: User) => user.team })(find)
      // @ts-expect-error the id is a number
      cacheBusting(cache, { tags, keys: (id: string) => id })(find)
      // @ts-expect-error the id is a number, of a synchronous function as well
      cached(cache, { key: (id: string) => id })((id: number) => id)
      // @ts-expect-error a key is a string
      cached(cache, { key: (id: number) => id })
      // @ts-expect-error nothing is named that becomes out of date
      cacheBusting(cache, {})
      // @ts-expect-error a class is no function
      cached(cache)(Source)
    }
    expect(refused).toBeTypeOf('function')
  })
})
