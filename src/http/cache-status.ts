/** What a response says of the cache's part in it: `Cache-Status` (RFC 9211) and the shorter `X-Cache`. */
import type { Hit, Lead } from './lead.ts'

export type XCache = 'HIT' | 'MISS' | 'STALE' | 'BYPASS'

/** The two header fields of an answer. */
export interface CacheVerdict {
  readonly xCache: XCache
  readonly cacheStatus: string
}

/** A stored response was sent. */
export function hitVerdict(hit: Hit): CacheVerdict {
  return { xCache: hit.isStale ? 'STALE' : 'HIT', cacheStatus: `tidemark; hit; ttl=${hit.ttlSeconds}` }
}

/** The handler ran and its response is stored, or not because of `refusal`. */
export function leadVerdict({ forward, obstacle }: Lead, refusal: string | undefined, status?: number): CacheVerdict {
  const reason = refusal ?? obstacle
  const told = status === undefined ? '' : ` fwd-status=${status};`
  // Such a request is never answered from the cache, unless a response says that it may be.
  if (reason === 'authorization') return bypassVerdict(reason)
  const outcome = reason === undefined ? 'stored' : `detail=${reason}`
  return { xCache: 'MISS', cacheStatus: `tidemark; fwd=${forward};${told} ${outcome}` }
}

/** The cache had no part in it. */
export function bypassVerdict(reason: string): CacheVerdict {
  return reason === 'method'
    ? { xCache: 'BYPASS', cacheStatus: 'tidemark; fwd=method' }
    : { xCache: 'BYPASS', cacheStatus: `tidemark; fwd=bypass; detail=${reason}` }
}
