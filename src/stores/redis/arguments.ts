/** How ids, leases, tokens and durations stand in commands and replies. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lease } from '../store.ts'

/** The lease of entry `k:...` stands under `l:...`, that of a variant `v:...` under `lv:...`. */
export function leaseId(id: string): string {
  return id.startsWith('k:') ? `l${id.slice(1)}` : `l${id}`
}

export function leaseOf(
  name: Pick<Lease, 'id' | 'token'>,
  parentId: string | undefined,
  reply: readonly Buffer[],
): Lease {
  const [epoch, seq, parentEntryId] = reply
  const parent = parentId === undefined ? undefined : { id: parentId, entryId: parentEntryId!.toString('hex') }
  return { ...name, seq: Number(seq!.toString()), epoch: epoch!.toString(), parent }
}

/** The 8 bytes of a token or an entryId. */
export function bytesOf(token: string): Buffer {
  return Buffer.from(token, 'hex')
}

/** A time to live as Redis takes it: whole milliseconds, at least one. */
export function ms(duration: number): string {
  return String(Math.max(1, Math.ceil(duration)))
}

/** Waits for all of `forMs`: a timer counts from the beginning of its turn, and so may fire too early. */
export async function wholly(forMs: number): Promise<void> {
  const until = performance.now() + forMs
  for (let leftMs = forMs; leftMs > 0; leftMs = until - performance.now()) await sleep(leftMs)
}

/** Why FILL refuses a load, by its reply. */
export const FENCED: Readonly<Record<number, string>> = {
  [0]: 'its lease was taken by another load, a set or a delete, or has run out',
  [-1]: 'a name it bears was invalidated meanwhile, or is on hold',
  [-2]: 'the name it hangs on was deleted meanwhile',
}
