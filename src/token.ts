/** Names that are never given twice. */
import { randomUUID } from 'node:crypto'

/** 16 hex digits at random: the name of one attempt to fill an entry. */
export function newToken(): string {
  // randomUUID draws from a pool, ten times as fast as randomBytes; its first and last groups are all random.
  const uuid = randomUUID()
  return uuid.slice(24) + uuid.slice(0, 4)
}

/** 8 hex digits at random: the name of an epoch, should one have to begin. */
export function newEpoch(): string {
  return randomUUID().slice(0, 8)
}
