/** What a store makes when an entry is to hang on a parent that is not there. */
import type { EntryDraft } from '../entry.ts'
import type { AcquireOptions } from './store.ts'

/** An entry without a value of its own, for children to hang on. It bears the namespace's stamp alone. */
export function parentDraft(entryId: string, options: AcquireOptions, now: number): EntryDraft {
  return {
    value: null,
    shareable: true,
    plain: true,
    bytes: 0,
    entryId,
    parentId: undefined,
    storedAt: now,
    // It is not "there" for anybody before a child is.
    freshUntil: now,
    staleUntil: now,
    graceUntil: now + (options.parentMs ?? 0),
    loadMs: 0,
    tags: options.tags.slice(0, 1),
    negative: false,
  }
}
