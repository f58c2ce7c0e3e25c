/** cacheable as its documents show it: memory in front of Redis. */
import { Cacheable } from 'cacheable'
import { redisStore, underTest } from './cacheable.mjs'

export const contestant = {
  name: 'cacheable, memory + Redis',
  async create({ redisUrl, keyPrefix }) {
    return underTest(new Cacheable({ secondary: redisStore(redisUrl, keyPrefix) }))
  },
}
