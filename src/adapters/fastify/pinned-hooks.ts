/**
 * Hooks that keep their place in a route's list, whatever other plugins do to the list later.
 *
 * A plugin that is registered after the cache may add its own hooks in `onRoute`, authentication among them. Behind the
 * lookup they would not be asked on a hit; before the capture they would show it a body that is no longer the handler's.
 * Fastify takes the lists over when the application is ready, so up to then they are put in order whenever they are read.
 */
import type { RouteOptions } from 'fastify'

interface Pinned {
  /** A function where it is known only when the list is read. */
  readonly first?: readonly unknown[] | (() => readonly unknown[])
  readonly last?: readonly unknown[]
}

export function pin(route: RouteOptions, name: 'preHandler' | 'onSend', { first = [], last = [] }: Pinned): void {
  let list: unknown[] = listOf<unknown>(route[name])
  Object.defineProperty(route, name, {
    enumerable: true,
    configurable: true,
    get: () => {
      const front = typeof first === 'function' ? first() : first
      const others = list.filter((hook) => !front.includes(hook) && !last.includes(hook))
      // The same array each time: some plugins push to it.
      list.splice(0, list.length, ...front, ...others, ...last)
      return list
    },
    set: (hooks: unknown) => {
      list = listOf(hooks)
    },
  })
}

/** A route's hooks of one kind as a list, which is nobody else's. */
export function listOf<Hook>(hooks: Hook | Hook[] | undefined): Hook[] {
  return hooks === undefined ? [] : ([hooks].flat() as Hook[])
}
