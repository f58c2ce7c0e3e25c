/** A load as it is asked for: what is to be loaded, how, and what its loader is told and may say. */
import type { Duration } from './duration.ts'
import type { Entry, Windows } from './entry.ts'
import type { LoadSettings } from './options.ts'
import type { About } from './telemetry.ts'

/** What a loader is told of its load, and may say about it. */
export interface LoadContext<T = unknown> {
  readonly key: string
  readonly namespace: string
  /** Aborts when every caller has given up waiting. */
  readonly signal: AbortSignal
  /** The value that is about to be replaced, if there still is one. */
  readonly stale?: T
  /** Adds tags to the entry, perhaps learnt from what was loaded. */
  tag(...names: string[]): void
  /** Sets the entry's ttl, perhaps learnt from what was loaded; clamped to `cache.maxTtl`. */
  ttl(duration: Duration): void
  /** Keeps the result out of the cache. */
  skip(): void
}

/** What adapters may say beyond it. */
export interface LoadControl extends LoadContext {
  /** Sets all windows of the entry. */
  windows(windows: Windows): void
  /** Stores the entry under another id that hangs on the same parent, as only the load could tell. */
  as(id: string): void
  /** Stores a note beside the entry, under another id that hangs on the same parent. */
  note(id: string, value: unknown): void
}

export interface LoadRequest extends About, LoadSettings {
  readonly id: string
  /** The route whose handler it runs, by its pattern. */
  readonly route?: string | undefined
  /** The parent that the entry hangs on. */
  readonly parentId?: string | undefined
  /** What the caller found instead of a fresh entry, expired or not. */
  readonly found?: Entry | undefined
  /** The store has just failed to answer: do without it. */
  readonly isCutOff?: boolean | undefined
  /** When the store was first asked for it, in milliseconds of `performance.now()`; undefined: it took no time. */
  readonly askedAt?: number | undefined
  /** Neither wait for another caller's load nor let anybody wait for this one. */
  readonly isAlone?: boolean | undefined
  /** The caller has waited for another's load as long as one may. */
  readonly hasWaited?: boolean | undefined
  run(context: LoadControl): unknown
}
