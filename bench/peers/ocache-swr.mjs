/** ocache on Redis as it comes: stale-while-revalidate is on. */
import { create } from './ocache.mjs'

export const contestant = {
  name: 'ocache, as it comes',
  create: (setup) => create(setup, true),
}
