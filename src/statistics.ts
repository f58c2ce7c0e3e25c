/** Counters of one cache in this process, in all and by namespace. Counting allocates nothing. */

/** What is counted for each namespace. */
export interface NamespaceStatistics {
  /** Fresh entries served. */
  hits: number
  /** Reads that found nothing to serve at once. */
  misses: number
  /** Entries served past their ttl. */
  staleHits: number
  sets: number
  /** Entries that were there when they were deleted. */
  deletes: number
  /** Loaders run. */
  loads: number
  /** Callers who waited for a load of this process instead of loading too. */
  coalesced: number
  /** Results that were not stored because an invalidation, or another load, had overtaken them. */
  fences: number
}

/** What `getStatistics()` returns; `uptime` in seconds since the cache was made or its statistics were reset. */
export interface Statistics extends Readonly<NamespaceStatistics> {
  readonly errors: number
  readonly evictions: number
  /** Calls of `invalidateTags` and `clear` that resolved; those that were queued are told by the event `connection`. */
  readonly invalidations: number
  /** Bytes of entries read from, and written to, Redis. */
  readonly bytesRead: number
  readonly bytesWritten: number
  /** What was served from the cache, fresh or stale, of all reads: `(hits + staleHits) / (hits + staleHits + misses)`; 0 before the first. */
  readonly hitRate: number
  readonly uptime: number
  readonly namespaces: Readonly<Record<string, Readonly<NamespaceStatistics>>>
}

/** More namespaces than this are counted together under `…`: names made from user input must not fill memory. */
const MAX_NAMESPACES = 1000
const OTHERS = '…'

export class Counters {
  errors = 0
  evictions = 0
  invalidations = 0
  bytesRead = 0
  bytesWritten = 0
  readonly #namespaces = new Map<string, NamespaceStatistics>()
  readonly #isEnabled: boolean
  /** Counts what nobody wants to know. */
  readonly #unused: NamespaceStatistics = zero()

  constructor(isEnabled: boolean) {
    this.#isEnabled = isEnabled
  }

  /** The counters of a namespace, to be incremented in place. */
  of(namespace: string): NamespaceStatistics {
    if (!this.#isEnabled) return this.#unused
    return this.#namespaces.get(namespace) ?? this.#add(namespace)
  }

  reset(): void {
    this.errors = this.evictions = this.invalidations = this.bytesRead = this.bytesWritten = 0
    this.#namespaces.clear()
  }

  statistics(uptimeMs: number): Statistics {
    if (!this.#isEnabled) this.reset()
    const total = zero()
    const namespaces = Object.create(null) as Record<string, NamespaceStatistics>
    for (const [name, counters] of this.#namespaces) {
      namespaces[name] = { ...counters }
      for (const field of Object.keys(total) as (keyof NamespaceStatistics)[]) total[field] += counters[field]
    }
    const { errors, evictions, invalidations, bytesRead, bytesWritten } = this
    const served = total.hits + total.staleHits
    const hitRate = served === 0 ? 0 : served / (served + total.misses)
    const rest = { errors, evictions, invalidations, bytesRead, bytesWritten, hitRate, uptime: uptimeMs / 1000 }
    return { ...total, ...rest, namespaces }
  }

  #add(namespace: string): NamespaceStatistics {
    if (this.#namespaces.size >= MAX_NAMESPACES && namespace !== OTHERS) return this.of(OTHERS)
    const counters = zero()
    this.#namespaces.set(namespace, counters)
    return counters
  }
}

function zero(): NamespaceStatistics {
  return { hits: 0, misses: 0, staleHits: 0, sets: 0, deletes: 0, loads: 0, coalesced: 0, fences: 0 }
}
