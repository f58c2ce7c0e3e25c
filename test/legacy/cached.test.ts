import { createCache } from 'tidemark'
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest'
import { cacheBusting, cached } from '../../src/cached.ts'

const cache = createCache()
const list = Symbol('list')
afterEach(() => cache.clear())

const options = { ttl: 300, namespace: 'users' }

interface User {
  readonly id: number
  readonly name: string
}

/** A decorator as frameworks have them: it says something about the function it stands on. */
function route(path: string) {
  return <F>(_target: object, _name: string | symbol, descriptor: TypedPropertyDescriptor<F>): void => {
    Object.assign(descriptor.value as unknown as object, { path })
  }
}

class Users {
  readonly asked: string[] = []
  readonly tenant: string = 'acme'

  @cached(cache, options)
  @route('/users/:id')
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
  async [list](): Promise<string[]> {
    return [this.tenant]
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

describe('cached as a legacy decorator', () => {
  test('keeps results by class, method and arguments, for all instances', async () => {
    const [one, other] = [new Users(), new Users()]
    expect(await one.find(1)).toEqual({ id: 1, name: 'user 1' })
    expect(await other.find(1)).toEqual({ id: 1, name: 'user 1' })
    await other.find(1, true)
    expect([one.asked, other.asked]).toEqual([['find 1'], ['find 1 deep']])
    expect(await keys('Users.find(1)', 'Users.find(1,true)')).toBe(2)
  })

  test('keeps name, length, properties and the descriptor', () => {
    const { find } = Users.prototype
    expect([find.name, find.length, Object.entries(find)]).toEqual(['find', 2, [['path', '/users/:id']]])
    const descriptor = { value: find, enumerable: true, configurable: false, writable: false }
    expect(cached(cache)(Users.prototype, 'find', descriptor)).toEqual({ ...descriptor, value: expect.any(Function) })
  })

  test('hands the instance to `key` and `tags`', async () => {
    const users = new Users()
    for (const tag of ['tenant:acme', 'user:1', 'user 1']) {
      await users.findTagged(1)
      expect(await keys('acme_1')).toBe(1)
      await cache.invalidateTags(tag)
      expect(await keys('acme_1')).toBe(0)
    }
  })

  test('decorates static methods, apart from methods of the same name', async () => {
    expect([await Users.find(1), (await new Users().find(1)).name]).toEqual(['Users 1', 'user 1'])
    expect(await Admins.find(1)).toBe('Admins 1')
    expect(await keys('static Users.find(1)', 'static Admins.find(1)', 'Users.find(1)')).toBe(3)
  })

  test('decorates methods whose name is a symbol, and keeps what a subclass inherits apart from its parent', async () => {
    expect([await new Users()[list](), await new Admins()[list]()]).toEqual([['acme'], ['admin']])
    expect(await keys('Users.[list]()', 'Admins.[list]()')).toBe(2)
  })

  test('does not let a method wait for itself when it calls what it overrides', async () => {
    const guests = new Guests()
    expect(await guests.find(1)).toEqual({ id: 1, name: 'guest user 1' })
    expect(await keys('Guests.find(1)', 'Guests>Users.find(1)')).toBe(2)
  })
})

describe('cacheBusting as a legacy decorator', () => {
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
  const decorator = cached(cache) as unknown as (target: object, name?: string, descriptor?: object) => undefined

  test('a getter', () => {
    const define = () => {
      class Sums {
        @decorator get total(): number {
          return 1
        }
      }
      return Sums
    }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the accessor total'))
  })

  test('a field', () => {
    const define = () => {
      class Sums {
        @decorator total = 1
      }
      return Sums
    }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the property total'))
  })

  test('a class', () => {
    const define = () => {
      @decorator
      class Sums {}
      return Sums
    }
    expect(define).toThrow(new TypeError('cached: expected a function or a method, got the class Sums'))
  })
})

describe('with reflect-metadata', () => {
  /** Of the package reflect-metadata, the three functions that speak of an object as a whole. */
  const all = new Map<object, Map<unknown, unknown>>()
  const metadata = {
    getOwnMetadataKeys: (target: object) => [...(all.get(target)?.keys() ?? [])],
    getOwnMetadata: (key: unknown, target: object) => all.get(target)?.get(key),
    defineMetadata: (key: unknown, value: unknown, target: object) => {
      all.set(target, (all.get(target) ?? new Map<unknown, unknown>()).set(key, value))
    },
  }
  beforeAll(() => void Object.assign(Reflect, metadata))
  afterAll(() => {
    for (const name of Object.keys(metadata)) Reflect.deleteProperty(Reflect, name)
  })

  test('a function keeps what the decorators below and above have said of it', () => {
    const say =
      (key: string) =>
      <F>(_target: object, _name: string, descriptor: TypedPropertyDescriptor<F>) => {
        metadata.defineMetadata(key, `${key} of find`, descriptor.value as unknown as object)
      }
    class Controller {
      @say('guards')
      @cached(cache)
      @say('path')
      @say('method')
      async find(): Promise<number> {
        return 1
      }
    }
    const said = metadata.getOwnMetadataKeys(Controller.prototype.find)
    expect(said).toEqual(['method', 'path', 'guards'])
    expect(metadata.getOwnMetadata('path', Controller.prototype.find)).toBe('path of find')
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
      }
      // @ts-expect-error a class is no method
      @cached(cache)
      class Empty {}
      return [Sums, Empty]
    }
    expect(refused).toBeTypeOf('function')
  })
})
