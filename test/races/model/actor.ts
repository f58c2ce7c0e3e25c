/** One process of the model: a cache of the library's, on a client of the model's, and what it is told to do. */
import { createCache, RedisConnectionError, type CacheManager, type GetOrSetOptions } from '../../../src/index.ts'
import { ModelClient } from './client.ts'
import type { Cached, Database, HasHeard, Reader } from './database.ts'
import type { Place } from './network.ts'
import { KEYS, LEASE_MS, MAX_STALENESS_MS, type Invalidation, type LoadStyle, type Operation } from './program.ts'
import type { Step } from './step.ts'

const SILENT = { info: () => {}, warn: () => {}, error: () => {} }
const TAG = 't'

const WINDOWS: Readonly<Record<LoadStyle, GetOrSetOptions>> = {
  plain: { tags: [TAG] },
  learnt: {},
  stale: { tags: [TAG], ttl: 1, swr: 10 },
  failing: { tags: [TAG], ttl: 1, grace: 10 },
  forced: { tags: [TAG], forceRefresh: true },
}

export interface ActorOptions {
  readonly place: Place
  readonly database: Database
  readonly isTiered: boolean
  /** As of now: whether a process has heard, whenever that is asked, all that has been said by now. */
  readonly hasHeardUntilNow: () => HasHeard
  /** Told of a read that broke the promise. */
  readonly onFault: (fault: string) => void
}

/** A load that has read the database and has not returned yet. */
interface Gate {
  readonly by: string
  readonly since: number
  readonly cached: Cached
  open(): void
}

export class Actor {
  readonly client: ModelClient
  readonly cache: CacheManager
  readonly #options: ActorOptions
  readonly #gates = new Set<Gate>()
  #outages = 0

  constructor(options: ActorOptions) {
    const { place, isTiered } = options
    this.#options = options
    this.client = new ModelClient(place)
    this.cache = createCache({
      redis: { client: this.client, socketTimeout: 0.6 },
      cache: {
        l1: isTiered ? { maxStaleness: MAX_STALENESS_MS / 1000 } : false,
        leaseTime: LEASE_MS / 1000,
        waitTime: 2,
        defaultTtl: 60,
        // Room for a few, which takes no time to make.
        memory: { maxEntries: 20 },
      },
      clock: { now: () => Math.floor(place.clock() / 1000) },
      logger: SILENT,
    })
    this.cache.on('error', ({ error }) => {
      if (error instanceof RedisConnectionError) this.#outages++
    })
  }

  steps(): Step[] {
    const { process } = this.#options.place
    const loads = Array.from(this.#gates, (gate): Step => {
      const { by, since, cached } = gate
      const tell = (): string => `${by}: its load returns version ${cached.version}`
      const run = (): void => {
        this.#gates.delete(gate)
        gate.open()
      }
      return { name: `${by.slice(by.lastIndexOf('#'))}$`, process, since, tell, run }
    })
    return [...this.client.steps(), ...(this.client.ear?.steps() ?? []), ...loads]
  }

  /** Ends all that is under way, so that the next run begins without it. */
  async end(): Promise<void> {
    this.client.disconnect()
    this.client.ear?.disconnect()
    await this.cache.close()
  }

  /** Does what it is told; settles when the library has answered, and never rejects. */
  async perform(operation: Operation, by: string): Promise<unknown> {
    const { database } = this.#options
    const { what } = operation
    if (what === 'clear') return this.#invalidate(KEYS, 'hard', { by, call: () => this.cache.clear() })
    if (what === 'invalidateTags') {
      const { mode } = operation
      const options = { soft: mode === 'soft', strict: mode === 'strict' }
      return this.#invalidate(KEYS, mode, { by, call: () => this.cache.invalidateTags(TAG, options) })
    }
    const { key } = operation
    if (what === 'delete') return this.#invalidate([key], 'hard', { by, call: () => this.cache.delete(key) })
    if (what === 'get') return this.#read(key, false, () => this.cache.get<Cached>(key))
    if (what === 'getOrSet') return this.#load(key, operation.style, by)
    if (what === 'expire') return this.cache.expire(key, 30).catch(() => 'rejected')
    if (what === 'fill') return this.#fill(key, by).catch(() => 'rejected')
    const cached = database.beginSet(key, by)
    const isRejected = await rejects(this.cache.set(key, cached, { tags: [TAG] }))
    database.endSet(by, isRejected)
    return isRejected ? 'rejected' : 'stored'
  }

  async #invalidate(
    keys: readonly string[],
    mode: Invalidation,
    { by, call }: { readonly by: string; readonly call: () => Promise<unknown> },
  ): Promise<unknown> {
    const end = this.#options.database.write(keys, mode, by)
    const isRejected = await rejects(call())
    end(isRejected, this.#options.hasHeardUntilNow())
    return isRejected ? 'rejected' : 'resolved'
  }

  async #read(key: string, takesStale: boolean, call: () => Promise<Cached | undefined>): Promise<unknown> {
    const { database, onFault, place, isTiered } = this.#options
    const reader: Reader = { process: place.process, maxStalenessMs: isTiered ? MAX_STALENESS_MS : 0, takesStale }
    const reading = database.beginRead(key, reader)
    const outages = this.#outages
    try {
      const handed = await call()
      const fault = database.fault(reading, handed, this.#outages > outages)
      if (fault !== undefined) onFault(fault)
      return handed === undefined ? 'nothing' : `version ${handed.version} from ${handed.by}`
    } catch (error) {
      return `rejected: ${(error as Error).message}`
    }
  }

  #load(key: string, style: LoadStyle, by: string): Promise<unknown> {
    const load = (): Promise<Cached> =>
      this.cache.getOrSet<Cached>(
        key,
        async (context) => {
          const cached = await this.#readDatabase(key, by)
          if (style === 'failing') throw new Error('the database fails')
          if (style === 'learnt') context.tag(TAG)
          return cached
        },
        WINDOWS[style],
      )
    return this.#read(key, true, load)
  }

  async #fill(key: string, by: string): Promise<unknown> {
    const token = await this.cache.begin(key)
    const isStored = await token.set(await this.#readDatabase(key, by), { tags: [TAG] })
    return isStored ? 'stored' : 'refused'
  }

  /** It is read at once, which is as old as it can be, and arrives when the schedule says so. */
  #readDatabase(key: string, by: string): Promise<Cached> {
    const { database, place } = this.#options
    const cached = { version: database.version(key), by }
    return new Promise((resolve) => {
      this.#gates.add({ by, since: place.ages.next(), cached, open: () => resolve(cached) })
    })
  }
}

function rejects(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => false,
    () => true,
  )
}
