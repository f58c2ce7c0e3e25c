/** Which content coding a client wants (RFC 9110 §12.5.3). */

/** The codings that can be made, by the names of HTTP (RFC 9110 §8.4.1, RFC 7932, RFC 8878). */
export type Coding = 'br' | 'gzip' | 'zstd'

/** How much a client wants each coding, from 0 (not at all) to 1. */
interface Preferences {
  /** By name; absent: see `others`. */
  readonly named: ReadonlyMap<string, number>
  /** What `*` says of the codings that are not named; undefined: it is not there. */
  readonly others: number | undefined
}

const QUALITY = /^[ \t]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/** Browsers send a handful of values, which are taken apart once. */
const known = new Map<string, Preferences>()
const MAX_KNOWN = 100
const LONGEST_KNOWN = 100

/**
 * The coding to send, of those that are `offered` (the most welcome to us first); undefined: identity.
 *
 * Identity also goes to those who accept nothing that can be made, though they may have forbidden it: an answer they
 * can perhaps not use is of more use than none (§12.5.3 leaves the choice).
 */
export function preferredCoding(field: string | undefined, offered: readonly Coding[]): Coding | undefined {
  // No field: any coding would do, but those who send none are mostly those who know none.
  if (field === undefined) return undefined
  const preferences = preferencesOf(field)
  const { named, others } = preferences
  let best: Coding | undefined
  // Identity is acceptable unless it is forbidden; unless it is named, it comes last.
  let quality = named.get('identity') ?? 0
  for (const coding of offered) {
    const wanted = named.get(coding) ?? others ?? 0
    if (wanted > quality || (wanted === quality && wanted > 0 && best === undefined)) {
      best = coding
      quality = wanted
    }
  }
  return best
}

function preferencesOf(field: string): Preferences {
  const there = known.get(field)
  if (there !== undefined) return there
  const preferences = parse(field)
  if (field.length > LONGEST_KNOWN) return preferences
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(field, preferences)
  return preferences
}

function parse(field: string): Preferences {
  const named = new Map<string, number>()
  for (const member of field.toLowerCase().split(',')) {
    const semicolon = member.indexOf(';')
    const name = (semicolon === -1 ? member : member.slice(0, semicolon)).trim()
    const quality = semicolon === -1 ? '1' : QUALITY.exec(member.slice(semicolon + 1).trimEnd())?.[1]
    // `x-gzip` is another name of it (RFC 9110 §8.4.1.3). A quality that cannot be read asks for nothing.
    named.set(name === 'x-gzip' ? 'gzip' : name, Number(quality ?? 0))
  }
  return { named, others: named.get('*') }
}
