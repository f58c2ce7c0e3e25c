/** What a caller is handed, and how it goes out of the cache. */
import { copy } from './codec/snapshot.ts'
import type { Entry } from './entry.ts'

export interface Loaded {
  readonly value: unknown
  readonly shareable: boolean
  /** The entry it stands in, unless it was not stored. */
  readonly entry: Entry | undefined
  readonly source: 'hit' | 'stale' | 'load' | 'joined'
}

/** What an entry says, as it is kept: `handOut` makes it a caller's. */
export function valueOf(entry: Pick<Entry, 'value' | 'shareable' | 'negative'>): Pick<Loaded, 'value' | 'shareable'> {
  return { value: entry.negative ? undefined : entry.value, shareable: entry.shareable }
}

export function loadedFrom(entry: Entry, source: Loaded['source']): Loaded {
  const { value, shareable } = valueOf(entry)
  return { value, shareable, entry, source }
}

/** The frozen value that all callers share, or a copy of what cannot be frozen. */
export function handOut({ value, shareable }: Pick<Loaded, 'value' | 'shareable'>): unknown {
  return shareable ? value : copy(value)
}
