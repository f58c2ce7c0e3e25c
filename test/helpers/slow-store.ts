/** A store in memory to which the request for a lease takes a while: a test says what happens on the way there and back. */
import { MemoryStore, systemClock, type Clock, type Store } from 'tidemark'

export class SlowStore {
  readonly store: Store
  /** What happens before the next request arrives. */
  onTheWayThere: (() => unknown) | undefined
  /** What happens before the answer to it does. */
  onTheWayBack: (() => unknown) | undefined

  constructor(clock: Clock = systemClock) {
    const inner = new MemoryStore({ maxEntries: 1000, maxBytes: 1e6, strategy: 'LRU', stampsMs: 1e9, clock })
    const acquire: Store['acquire'] = async (...args) => {
      const there = this.onTheWayThere
      this.onTheWayThere = undefined
      await there?.()
      const acquired = inner.acquire(...args)
      const back = this.onTheWayBack
      this.onTheWayBack = undefined
      await back?.()
      return acquired
    }
    this.store = new Proxy<Store>(inner, { get: (_, name) => (name === 'acquire' ? acquire : bound(inner, name)) })
  }
}

function bound(store: object, name: string | symbol): unknown {
  const member: unknown = Reflect.get(store, name)
  return typeof member === 'function' ? member.bind(store) : member
}
