/** Chance in pauses: processes that lost one server at the same moment do not all come back at the same moment. */

/** A pause of which half is chance: at least half of `ms`, and less than `ms`. */
export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2)
}
