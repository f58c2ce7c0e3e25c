/** Enough of a store for a configuration, which only keeps it. */
import type { Store } from '../../src/stores/store.ts'

export const store: Store = {
  read: () => undefined,
  acquire: () => ({ outcome: 'busy' }),
  extend: () => false,
  fill: () => 'fenced',
  release: () => 'released',
  set: () => undefined,
  remove: () => [],
  times: () => [],
  expire: () => false,
  invalidate: () => undefined,
  watch: () => ({ ended: () => Promise.resolve(), stop: () => undefined }),
  ping: () => true,
  listen: () => undefined,
  close: () => Promise.resolve(),
}
