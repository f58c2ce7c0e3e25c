/** What a process has seen, gathered and sent to the parent a few times a second. */
import { NO_COUNTS, type Batch, type Counts, type FromProcess, type Violation } from './messages.ts'

const SEND_EVERY_MS = 50
/** Who fails all the time need not say more than that. */
const MAX_VIOLATIONS = 20

type Lists = { -readonly [Name in 'loads' | 'invalidations' | 'troubles']: Batch[Name][number][] }

export class Reporting {
  counts: Counts = { ...NO_COUNTS }
  #lists: Lists = noLists()
  #violations: Violation[] = []
  #told = 0

  begin(): void {
    setInterval(() => this.send(), SEND_EVERY_MS)
  }

  add<Name extends keyof Lists>(name: Name, record: Lists[Name][number]): void {
    const list: Lists[Name][number][] = this.#lists[name]
    list.push(record)
  }

  violation(violation: Violation): void {
    if (this.#told++ < MAX_VIOLATIONS) this.#violations.push(violation)
  }

  send(): void {
    const batch: Batch = { ...this.#lists, violations: this.#violations, counts: this.counts }
    this.#lists = noLists()
    this.#violations = []
    say({ kind: 'batch', batch })
  }
}

export function say(message: FromProcess): void {
  // The parent may be gone already.
  if (process.connected) process.send!(message)
}

function noLists(): Lists {
  return { loads: [], invalidations: [], troubles: [] }
}
