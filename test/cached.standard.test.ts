import { createCache } from 'tidemark'
import { afterEach, describe, expect, test } from 'vitest'
import { cacheBusting, cached } from '../src/cached.ts'
import { CacheKeyError } from '../src/exceptions.ts'

const cache = createCache()
const list = Symbol('list')
afterEach(() => cache.clear())

const options = { ttl: 300, namespace: 'users' }

interface User {
  readonly id: number
  readonly name: string
}

class Users {
  readonly asked: string[] = []
  readonly tenant: string = 'acme'

  @cached(cache, options)
  async find(id: number, deep?: boolean): Promise<User> {
    this.asked.push(`find ${id}${deep === true ? ' deep' : ''}`)
    return { id, name: `user ${id}` }
  }

  @cached(cache, {
    ...options,
    key(this: Users, id: number) {
      return `${this.tenant}_${id}`
    },
    tags(this: Users, id: number, user: User) {
      return [`tenant:${this.tenant}`, `user:${id}`, user.name]
    },
  })
  async findTagged(id: number): Promise<User> {
    this.asked.push(`findTagged ${id}`)
    return { id, name: `user ${id}` }
  }

  @cacheBusting(cache, { namespace: 'users', keys: (id) => `Users.find(${id})`, tags: (_id, result) => result })
  async rename(id: number): Promise<string> {
    return `user:${id}`
  }

  @cached(cache, options)
  static async find(id: number): Promise<string> {
    return `${this.name} ${id}`
  }

  @cached(cache, options)
  async #secret(id: number): Promise<string> {
    this.asked.push('#secret')
    return `${this.tenant} ${id}`
  }

  secret(id: number): Promise<string> {
    return this.#secret(id)
  }

  @cached(cache, options)
  async [list](): Promise<number[]> {
    return [1]
  }
}

class Admins extends Users {
  override readonly tenant = 'admin'
}

class Guests extends Users {
  @cached(cache, options)
  override async find(id: number): Promise<User> {
    const { name } = await super.find(id)
    return { id, name: `guest ${name}` }
  }
}

const keys = (...names: string[]): Promise<number> => cache.exists(names, { namespace: 'users' })

describe('cached as a standard decorator', () => {
  test('keeps results by class, method and arguments, for all instances', async () => {
    const [one, other] = [new Users(), new Users()]
    expect(await one.find(1)).toEqual({ id: 1, name: 'user 1' })
    expect(await other.find(1)).toEqual({ id: 1, name: 'user 1' })
    await other.find(1, true)
    expect([one.asked, other.asked]).toEqual([['find 1'], ['find 1 deep']])
    expect(await keys('Users.find(1)', 'Users.find(1,true)')).toBe(2)
  })

  test('keeps name and length', () => {
    expect([Users.prototype.find.name, Users.prototype.find.length]).toEqual(['find', 2])
  })

  test('hands the instance to `key` and `tags`', async () => {
    const users = new Users()
    await users.findTagged(1)
    expect(await keys('acme_1')).toBe(1)
    for (const tag of ['tenant:acme', 'user:1', 'user 1']) {
      await users.findTagged(1)
      await cache.invalidateTags(tag)
      expect(await keys('acme_1')).toBe(0)
    }
  })

  test('decorates static methods, apart from methods of the same name', async () => {
    const users = new Users()
    expect([await Users.find(1), (await users.find(1)).name]).toEqual(['Users 1', 'user 1'])
    expect([await Users.find(1), await Admins.find(1)]).toEqual(['Users 1', 'Admins 1'])
    expect(await keys('static Users.find(1)', 'static Admins.find(1)', 'Users.find(1)')).toBe(3)
  })

  test('decorates private methods', async () => {
    const users = new Users()
    expect([await users.secret(1), await users.secret(1)]).toEqual(['acme 1', 'acme 1'])
    expect(users.asked).toEqual(['#secret'])
    expect(await keys('Users.#secret(1)')).toBe(1)
  })

  test('decorates methods whose name is a symbol', async () => {
    await new Users()[list]()
    expect(await keys('Users.[list]()')).toBe(1)
  })

  test('keeps what a subclass inherits apart from its parent', async () => {
    expect([await new Users().secret(1), await new Admins().secret(1)]).toEqual(['acme 1', 'admin 1'])
    expect(await keys('Users.#secret(1)', 'Admins.#secret(1)')).toBe(2)
  })

  test('does not let a method wait for itself when it calls what it overrides', async () => {
    const guests = new Guests()
    expect(await guests.find(1)).toEqual({ id: 1, name: 'guest user 1' })
    expect(await guests.find(1)).toEqual({ id: 1, name: 'guest user 1' })
    expect(guests.asked).toEqual(['find 1'])
    expect(await keys('Guests.find(1)', 'Guests>Users.find(1)')).toBe(2)
  })

  test('names the class also when the method was bound to its instance', async () => {
    const users = new Users()
    users.find = users.find.bind(users)
    await users.find(1)
    expect(await keys('Users.find(1)')).toBe(1)
  })

  test.each<[string, unknown, string]>([
    ['nothing', undefined, 'undefined'],
    ['an object of no class', Object.create(null), 'an object'],
    ['an instance of a class without a name', new (class extends Users {})(), 'an object'],
  ])('refuses to build a key from %s', async (_, receiver, got) => {
    const promise = Users.prototype.find.call(receiver as Users, 1)
    await expect(promise).rejects.toThrow(CacheKeyError)
    await expect(promise).rejects.toThrow(
      `find: expected an instance of a class with a name as \`this\`, got ${got}; give a \`key\``,
    )
  })

  test('needs no class if there is a key', async () => {
    const call: Promise<unknown> = Users.prototype.findTagged.call({ tenant: 'none', asked: [] } as unknown as Users, 1)
    expect(await call).toEqual({ id: 1, name: 'user 1' })
  })
})

describe('cacheBusting as a standard decorator', () => {
  test('invalidates by arguments and result', async () => {
    const users = new Users()
    await users.find(1)
    await users.findTagged(1)
    expect(await users.rename(1)).toBe('user:1')
    expect(await keys('Users.find(1)', 'acme_1')).toBe(0)
  })
})

describe('what is no method is refused while the class is being defined', () => {
  // The compiler refuses these as well; here speaks who has no compiler.
  const decorator = cached(cache) as unknown as (value: unknown, context: DecoratorContext) => undefined

  test('a getter', () => {
    const define = () =>
      class {
        @decorator get name(): string {
          return ''
        }
      }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the getter name'))
  })

  test('a field', () => {
    const define = () =>
      class {
        @decorator static count = 1
      }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the field count'))
  })

  test('an accessor', () => {
    const define = () =>
      class {
        @decorator accessor count = 1
      }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the accessor count'))
  })

  test('a class', () => {
    const define = () => {
      @decorator
      class Sums {}
      return Sums
    }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the class Sums'))
  })

  test('a generator', () => {
    const define = () =>
      class {
        @decorator async *list(): AsyncGenerator<number> {
          yield 1
        }
      }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the generator function list'))
  })
})

describe('types', () => {
  test('what cannot be decorated is refused by the compiler', () => {
    const refused = (): unknown => {
      class Sums {
        // @ts-expect-error a synchronous method would become asynchronous
        @cached(cache)
        add(one: number): number {
          return one
        }
        // @ts-expect-error the argument is a number
        @cached(cache, { key: (id: string) => id })
        async find(id: number): Promise<number> {
          return id
        }
        // @ts-expect-error a field is no method
        @cached(cache)
        count = 1
        // @ts-expect-error the result is a number
        @cacheBusting(cache, { keys: (_id: number, user: User) => user.name })
        async remove(id: number): Promise<number> {
          return id
        }
      }
      // @ts-expect-error a class is no method
      @cached(cache)
      class Empty {}
      return [Sums, Empty]
    }
    expect(refused).toBeTypeOf('function')
  })
})
