/** Commands, replies and messages in a few words, for a counterexample that can be read. */
import type { ModelReply } from './prelude.ts'
import { SCRIPTS } from './scripts.ts'

const BY_TEXT = new Map(SCRIPTS.flatMap(({ name, lua, sha }) => [[lua, name] as const, [sha, name] as const]))

const FIRST_STAMP = 1e9

/** The first three keys of a script are its store's. */
const OWN_KEYS_FROM = 6

/** `ACQUIRE k:a`, `MGET k:a`. */
export function tellCommand(args: readonly (string | Buffer)[]): string {
  const [name, ...rest] = args.map(String) as [string, ...string[]]
  if (name === 'MGET') return `MGET ${rest.slice(0, -1).map(idOf).join(' ')}`
  if (name !== 'EVAL' && name !== 'EVALSHA') return name
  const script = BY_TEXT.get(rest[0]!)!
  const count = Number(rest[1])
  const ids = rest.slice(2 + OWN_KEYS_FROM / 2, 2 + count).map(idOf)
  // Of an entry and its lease, or its holds, the entry says it all.
  const own = script === 'REMOVE' ? ids.filter((_, i) => i % 2 === 0) : ids.slice(0, 1)
  if (script === 'INVALIDATE') return `${script} ${rest[2 + count + 2]!}${rest.slice(2 + count + 4).join(' ')}`
  if (script === 'GREET' || script === 'SYNC') return script
  return `${script} ${own.join(' ')}`
}

export function tellReply(reply: ModelReply): string {
  if (reply === null) return 'nothing'
  if (!Array.isArray(reply)) return tellBytes(String(reply))
  return reply.length === 0 ? 'nothing' : reply.slice(0, 6).map(tellReply).join(', ')
}

export function tellMessage(message: string): string {
  const [kind, ...facts] = JSON.parse(message) as string[]
  if (kind === 'r') return `that the lease of ${facts[0]!} has ended`
  if (kind === 'e') return 'its echo'
  const [, ...told] = facts
  if (kind === 'k') return `that ${told.join(', ')} was removed or replaced`
  const [, before, seq, , soft, ...names] = told
  return `of stamp ${seq!} (after ${before!}) for ${names.map((name) => soft! + name).join(', ') || 'a new epoch'}`
}

/** Epochs have names by chance, and stamps are long: E1 is the first epoch, stamps count from the beginning of the run. */
export class Abridger {
  readonly #epochs: string[] = []

  abridge(line: string): string {
    return line
      .replaceAll(/\b[0-9a-f]{8}\b/g, (epoch) => {
        if (!this.#epochs.includes(epoch)) this.#epochs.push(epoch)
        return `E${this.#epochs.indexOf(epoch) + 1}`
      })
      .replaceAll(/\b1\d{9}\b/g, (stamp) => String(Number(stamp) - FIRST_STAMP))
  }
}

/** Behind the hash tag. */
function idOf(key: string): string {
  return key.slice(key.indexOf('}') + 1)
}

function tellBytes(text: string): string {
  if (text.startsWith('\xf7TM')) return /"version":\d+/.exec(text)?.[0].replaceAll('"', '') ?? 'an entry'
  return /^[ -~]*$/.test(text) ? text : '(bytes)'
}
