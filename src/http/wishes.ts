/** What a client's Cache-Control wants (RFC 9111 §5.2.1). Heeded in full only under `policy: 'rfc9111'`. */
import { deltaSeconds, parseCacheControl } from './cache-control.ts'

/** Times in seconds, `Infinity` for any. */
export interface Wishes {
  readonly noStore: boolean
  /** Nothing that the handler has not confirmed now: that is meant by `max-age=0`, too. */
  readonly noCache: boolean
  readonly onlyIfCached: boolean
  readonly maxAge: number
  readonly minFresh: number
  readonly maxStale: number
}

const NO_WISHES: Wishes = {
  noStore: false,
  noCache: false,
  onlyIfCached: false,
  maxAge: Infinity,
  minFresh: 0,
  maxStale: 0,
}

export function wishesOf(control: string | undefined, pragma: string | undefined): Wishes {
  // Pragma counts only where there is no Cache-Control (RFC 9111 §5.4).
  if (control === undefined) {
    return pragma !== undefined && parseCacheControl(pragma).has('no-cache')
      ? { ...NO_WISHES, noCache: true }
      : NO_WISHES
  }
  const directives = parseCacheControl(control)
  const maxAge = deltaSeconds(directives, 'max-age') ?? Infinity
  const maxStale = directives.get('max-stale') === true ? Infinity : deltaSeconds(directives, 'max-stale')
  return {
    noStore: directives.has('no-store'),
    noCache: directives.has('no-cache') || maxAge === 0,
    onlyIfCached: directives.has('only-if-cached'),
    maxAge,
    minFresh: deltaSeconds(directives, 'min-fresh') ?? 0,
    maxStale: maxStale ?? 0,
  }
}
