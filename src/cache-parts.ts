/** What a cache is made of: how it comes up, how it stands, and how it ends. */
import type { Clock } from './clock.ts'
import type { CompressionAlgorithm } from './codec/compression.ts'
import type { EntryIds } from './entry-ids.ts'
import type { Loads } from './load.ts'
import type { TtlLimits } from './options.ts'
import type { ClusterConnection } from './stores/redis/cluster-connection.ts'
import type { RedisConnection } from './stores/redis/connection.ts'
import type { Store, StoreHealth } from './stores/store.ts'
import type { Telemetry } from './telemetry.ts'

/** What all views of one cache share. */
export interface CacheParts extends TtlLimits {
  readonly store: Store
  readonly loads: Loads
  readonly ids: EntryIds
  readonly telemetry: Telemetry
  readonly clock: Clock
  /** Where what nobody else tells is told. */
  readonly logError: (message: string) => void
  readonly leaseMs: number
  /** How long the store may take for one call that asks it more than once. */
  readonly storeMs: number
  /** A fault of the store rejects `getOrSet`; otherwise it loads. */
  readonly isStrict: boolean
  /** Absent without Redis. */
  readonly connection: RedisConnection | ClusterConnection | undefined
  /** `ready` waits for Redis, and rejects without it. */
  readonly failFast: boolean
  readonly keyPrefix: string
  readonly environment: string
  /** How adapters compress what they store by themselves; without an `algorithm` they do not. */
  readonly compression: { readonly algorithm: CompressionAlgorithm | undefined; readonly thresholdBytes: number }
}

/** What `health` tells; `breaker` and `undelivered` only with Redis. */
export interface Health extends Partial<StoreHealth> {
  readonly ok: boolean
  /** Milliseconds; absent if the store did not answer. */
  readonly latencyMs?: number
}

/** How long loads under way are waited for when it ends. */
const CLOSE_GRACE_MS = 1000

/** @throws {RedisConnectionError} with `failFast`, if Redis cannot be reached */
export async function reach({ connection, failFast }: CacheParts): Promise<void> {
  if (failFast) await connection?.reach()
}

/** The store answers. */
export async function answers({ store }: CacheParts): Promise<boolean> {
  try {
    return await store.ping()
  } catch {
    return false
  }
}

export async function healthOf(parts: CacheParts): Promise<Health> {
  const askedAt = performance.now()
  const ok = await answers(parts)
  const latencyMs = Math.round((performance.now() - askedAt) * 1000) / 1000
  return { ok, ...(ok && { latencyMs }), ...parts.store.health?.() }
}

/** Ends the store and the connections it opened, behind the loads under way. */
export async function closeAll({ loads, store }: CacheParts): Promise<void> {
  const finishing = loads.flights.finished(CLOSE_GRACE_MS)
  if (finishing !== undefined) await finishing
  await store.close()
}
