/** What a response says of the cache's part in it: `Cache-Status` (RFC 9211) and the shorter `X-Cache`. */
import type { Hit, Lead } from './lead.ts'

export type XCache = 'HIT' | 'MISS' | 'STALE' | 'BYPASS'

/** The two header fields of an answer. */
export interface CacheVerdict {
  readonly xCache: XCache
  readonly cacheStatus: string
}

/** A stored response was sent; without asking the handler, or because of what came of that. */
export function hitVerdict({ isStale, ttlSeconds, forwarded }: Hit): CacheVerdict {
  if (forwarded === undefined)
    return { xCache: isStale ? 'STALE' : 'HIT', cacheStatus: `tidemark; hit; ttl=${ttlSeconds}` }
  const { why, outcome, status } = forwarded
  const told = status === undefined ? '' : ` fwd-status=${status};`
  // `collapsed` and `stored` are parameters of the standard's own; the others are ours to tell.
  const how = outcome === 'collapsed' || outcome === 'stored' ? outcome : `detail=${outcome}`
  const xCache = isStale ? 'STALE' : outcome === 'stored' ? 'MISS' : 'HIT'
  return { xCache, cacheStatus: `tidemark; fwd=${why};${told} ${how}; ttl=${ttlSeconds}` }
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
  if (reason === 'method') return { xCache: 'BYPASS', cacheStatus: 'tidemark; fwd=method' }
  // What the client wanted, not what the route does (RFC 9211 §2.2).
  const why = reason === 'request-no-store' ? 'request' : 'bypass'
  return { xCache: 'BYPASS', cacheStatus: `tidemark; fwd=${why}; detail=${reason}` }
}
