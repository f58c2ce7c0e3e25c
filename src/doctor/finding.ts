/** What an examination comes to, and the reply of INFO it is made of. */

/** One thing that was looked at. */
export interface Finding {
  /** `reach`, `latency`, `version`, `role`, `cluster`, `memory`, `eviction`, `persistence`, `clock`, `rights`, `connections`, `store`. */
  readonly check: string
  /** 'problem': tidemark does not work, or not as promised; 'warning': it could be better. */
  readonly level: 'ok' | 'warning' | 'problem'
  /** What was found. */
  readonly found: string
  /** What to do about it. */
  readonly remedy?: string | undefined
}

/** The fields of an INFO reply (`name:value` lines). */
export function parseInfo(reply: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of reply.split('\n')) {
    const [name, ...value] = line.trim().split(':')
    if (name !== undefined && value.length > 0) fields.set(name, value.join(':'))
  }
  return fields
}
