/** `cached` and `cacheBusting`: a function's results kept, and given up when another function changes the data. */
import type { CacheManager } from './cache-manager.ts'
import {
  assertCacheBustingOptions,
  assertCachedOptions,
  listOf,
  type CacheBustingOptions,
  type CachedOptions,
  type KeyFunction,
} from './cached-options.ts'
import { callKey, nameOfSource, type Call } from './call-key.ts'
import { decorator, textOf, type FunctionDecorator, type NamesFunction, type Subject } from './decorator.ts'
import { CacheConfigurationError, RedisConnectionError } from './exceptions.ts'
import type { LoadContext } from './load-request.ts'
import type { GetOrSetOptions } from './options.ts'

/**
 * Keeps the results of a function, or of a method in either dialect of decorators; types are kept.
 *
 * Without `key` the key is the function's name and its arguments, `Users.find(42,{"deep":true})`; `Users` is the class of
 * the instance, or for a static method, whose name begins with `static`, the class itself. A function without a name is
 * called after the hash of its source. Two classes or functions of one name, or nameless ones of one source, in one
 * namespace share their entries: give each a `namespace` or a `key`.
 *
 * @throws {CacheConfigurationError} at once, listing all that is wrong with the options; also for a function that has
 * neither a name nor a source (it is bound, or native) nor a `key`
 * @throws {TypeError} at once, when applied to a class, an accessor, a field or a generator
 * @example
 * const getUser = cached(cache, { ttl: 300, namespace: 'users', key: (id) => `user_${id}` })(async (id: number) => db.user(id))
 * await getUser(42) // from the database
 * await getUser(42) // from the cache, for five minutes
 * @example
 * class Users {
 *   @cached(cache, { ttl: '5m', tags: (id: number, user: User) => [`user:${id}`, `team:${user.teamId}`] })
 *   async find(id: number): Promise<User> {
 *     return db.user(id)
 *   }
 * }
 */
export function cached<Key extends KeyFunction = KeyFunction, Tags extends NamesFunction = NamesFunction>(
  cache: CacheManager,
  options: CachedOptions<Key, Tags> = {},
): FunctionDecorator<Key, Tags> {
  assertCachedOptions(cache, options)
  const { key, tags, ...own } = options
  const tagsOf = typeof tags === 'function' ? tags : undefined
  // Tags that are known beforehand are given beforehand: an invalidation of one of them then ends the lease, too.
  const settings: GetOrSetOptions = { ...own, tags: typeof tags === 'function' ? undefined : listOf(tags ?? []) }
  return decorator('cached', (subject) => {
    const name = textOf(subject.name) === '' ? nameOfSource(subject.fn) : subject.name
    if (key === undefined && name === undefined) throw namelessFunction()
    const wrapped = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const call: Call = { subject: { ...subject, name: name ?? '' }, wrapped, receiver: this, args }
      const load = async (context: LoadContext): Promise<unknown> => {
        const result = await subject.fn.apply(this, args)
        // One by one: a call takes no more than some ten thousand arguments.
        if (tagsOf !== undefined) for (const tag of namesFor(tagsOf, call, result)) context.tag(tag)
        return result
      }
      return cache.getOrSet(
        typeof key === 'function' ? key.apply(this, args) : (key ?? callKey(call, own.namespace)),
        load,
        settings,
      )
    }
    wrappers.add(wrapped)
    return wrapped
  })
}

const wrappers = new WeakSet()

/** True for what `cached` has made of a function, also if that is wrapped once more. */
export function isCachedFunction(fn: unknown): boolean {
  return typeof fn === 'function' && wrappers.has(fn)
}

/** At least one of these names is there. */
type OneOf<Names extends string> = { [Name in Names]: { [Only in Name]: unknown } }[Names]

/**
 * Invalidates what a function makes out of date, after it has succeeded and before its result is handed out; a function
 * that fails invalidates nothing.
 *
 * When Redis is out of reach the function has run, but its invalidation has not been delivered: the call rejects with
 * `RedisConnectionError`, because what is served may now be out of date.
 *
 * @throws {CacheConfigurationError} at once, listing all that is wrong with the options
 * @throws {TypeError} at once, when applied to a class, an accessor, a field or a generator
 * @example
 * const renameUser = cacheBusting(cache, { namespace: 'users', keys: (id) => ['users_list', `user_${id}`] })(
 *   async (id: number, name: string) => db.renameUser(id, name),
 * )
 * await renameUser(42, 'Ada') // resolves when no process is handed the old name any more
 */
export function cacheBusting<Keys extends NamesFunction = NamesFunction, Tags extends NamesFunction = NamesFunction>(
  cache: CacheManager,
  options: CacheBustingOptions<Keys, Tags> & OneOf<'keys' | 'tags'>,
): FunctionDecorator<never, Keys | Tags> {
  assertCacheBustingOptions(cache, options)
  const { keys = [], tags = [], namespace } = options
  return decorator('cacheBusting', (subject) => {
    const wrapped = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const call: Call = { subject, wrapped, receiver: this, args }
      const result = await subject.fn.apply(this, args)
      // Both are tried even if one fails, or cannot say its names: the less remains stale the better.
      const deleting = async (): Promise<unknown> => cache.delete(namesFor(keys, call, result), { namespace })
      const invalidating = async (): Promise<unknown> => cache.invalidateTags(namesFor(tags, call, result))
      const outcomes = await Promise.allSettled([deleting(), invalidating()])
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw undelivered(outcome.reason, subject)
      return result
    }
    if (isCachedFunction(subject.fn)) wrappers.add(wrapped)
    return wrapped
  })
}

/**
 * The names an option gives for one call. To a function the result is handed last: behind every argument there was, every
 * parameter the cached function declares (a default or a rest is not counted), and where the asking function declares it.
 */
function namesFor(names: string | readonly string[] | NamesFunction, call: Call, result: unknown): readonly string[] {
  if (typeof names !== 'function') return listOf(names)
  const args = [...call.args]
  args[Math.max(args.length, call.subject.fn.length, names.length - 1)] = result
  return listOf(names.apply(call.receiver, args))
}

function namelessFunction(): CacheConfigurationError {
  const fault = { path: 'key', expected: 'a key, or a function with a name to build it from', got: 'neither' }
  return new CacheConfigurationError([fault], 'options of cached')
}

function undelivered(error: unknown, { name }: Subject): unknown {
  if (!(error instanceof RedisConnectionError)) return error
  return new RedisConnectionError(
    `${textOf(name) || 'the function'} has run, but its invalidation could not be delivered: ${error.message}`,
    { cause: error, key: error.key, namespace: error.namespace },
  )
}
