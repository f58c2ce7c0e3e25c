/** A load under way: what its loader is told, what it has said, and the entry that becomes of it. */
import { snapshot } from './codec/snapshot.ts'
import { toMs } from './duration.ts'
import { lifeOf, newDraft, type Entry, type EntryDraft, type Windows } from './entry.ts'
import { assertTag, tagStamp } from './key.ts'
import type { LoadControl, LoadRequest } from './load-request.ts'
import { handOut, valueOf } from './loaded.ts'
import type { Lease } from './stores/store.ts'
import { newToken } from './token.ts'

/** What is known of a load so far. */
export interface Load {
  value: unknown
  loadMs: number
  readonly tags: string[]
  windows: Windows
  isSkipped: boolean
  /** The id to store it under, if only the load has told. */
  as: string | undefined
  note: { readonly id: string; readonly value: unknown } | undefined
}

export function newLoad({ tags, windows }: LoadRequest): Load {
  return { value: undefined, loadMs: 0, tags: [...tags], windows, isSkipped: false, as: undefined, note: undefined }
}

interface Surroundings {
  /** Node makes a signal when it is asked for, which costs as much as the rest of a load. */
  readonly flight: { readonly signal: AbortSignal }
  /** What may still be sent, and is about to be replaced. */
  readonly stale: Entry | undefined
  readonly maxTtlMs: number
}

/** What a loader is handed: what it says changes `load`. */
export function contextOf({ key, namespace }: LoadRequest, load: Load, around: Surroundings): LoadControl {
  const { flight, stale, maxTtlMs } = around
  return {
    key,
    namespace,
    get signal() {
      return flight.signal
    },
    tag: (...names) => {
      names.forEach(assertTag)
      load.tags.push(...names.map(tagStamp))
    },
    ttl: (duration) => {
      load.windows = { ...load.windows, ttlMs: Math.min(toMs(duration, 'ttl'), maxTtlMs) }
    },
    windows: (windows) => {
      load.windows = windows
    },
    as: (id) => {
      load.as = id
    },
    note: (id, value) => {
      load.note = { id, value }
    },
    skip: () => {
      load.isSkipped = true
    },
    ...(stale !== undefined && { stale: handOut(valueOf(stale)) }),
  }
}

/** The entry that a load becomes, should it be stored. @throws {CacheSerializationError} if it cannot be */
export function draftOf(
  request: LoadRequest,
  load: Load,
  { lease, now }: { readonly lease: Lease | undefined; readonly now: number },
): EntryDraft {
  const { negativeTtlMs: ttlMs, key, namespace, compress } = request
  const isNothing = load.value === undefined || load.value === null
  const windows = isNothing && ttlMs !== undefined ? { ttlMs, swrMs: 0, graceMs: 0 } : load.windows
  return newDraft(snapshot(load.value ?? null, key, namespace), lifeOf(windows, now), {
    entryId: lease?.token ?? '',
    parentId: lease?.parent?.entryId,
    loadMs: load.loadMs,
    tags: [...new Set(load.tags)],
    negative: load.value === undefined,
    compress,
  })
}

interface NoteFacts {
  readonly parentId: string | undefined
  readonly tags: readonly string[]
  readonly now: number
}

/** A note beside an entry, which lives as long as that one. */
export function noteDraft(value: unknown, windows: Windows, { now, ...facts }: NoteFacts): EntryDraft {
  const life = lifeOf({ ttlMs: windows.ttlMs + windows.swrMs + windows.graceMs, swrMs: 0, graceMs: 0 }, now)
  return newDraft(snapshot(value), life, { ...facts, entryId: newToken(), loadMs: 0, negative: false, compress: false })
}
