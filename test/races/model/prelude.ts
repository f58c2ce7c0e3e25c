/**
 * What the scripts of the model have in common: src/stores/redis/prelude.ts as functions over the model's keyspace, line by
 * line, so that the two can be read side by side.
 */
import { WrongType, type Keyspace } from './keyspace.ts'

/** Strings are bytes, one character each. */
export type ModelReply = string | number | null | readonly ModelReply[]

/** One call of a script. */
export interface Call {
  readonly keyspace: Keyspace
  readonly keys: readonly string[]
  readonly args: readonly string[]
  readonly run: string
  /** Microseconds of the server's clock. */
  now(): number
  /** Microseconds of the caller's clock, of which no script may take notice. */
  callersNow(): number
  publish(channel: string, message: string): void
}

export type ModelScript = (call: Call) => ModelReply

export interface State {
  readonly epoch: string
  readonly floor: number
  readonly seq: number
  readonly staleness: number
  readonly heldUntil: number
}

export const MAGIC = '\xf7TM\x01'
const GREATEST_STAMP = 9e15
export const YOUTH_MS = 2000
export const MAX_HOLDS = 10_000

/** What a command that reads replies; undefined if nothing is there, or another type of value. */
export function peek<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof WrongType) return undefined
    throw error
  }
}

export function peekText({ keyspace }: Call, key: string | undefined): string | undefined {
  return key === undefined ? undefined : peek(() => keyspace.get(key))
}

export function peekRange({ keyspace }: Call, key: string, to: number): string {
  return peek(() => keyspace.getRange(key, 0, to)) ?? ''
}

export function tell(call: Call, message: readonly string[]): void {
  call.publish(call.keys[2]!, JSON.stringify(message.map((part) => Buffer.from(part, 'latin1').toString())))
}

export function idOf(call: Call, key: string): string {
  return key.slice(call.keys[0]!.length - 1)
}

/** `key` is that of the lease. */
export function ended(call: Call, lease: string | undefined, key: string): void {
  if (lease?.[8] !== 'w') return
  const id = idOf(call, key).slice(1)
  tell(call, ['r', id.startsWith(':') ? `k${id}` : id])
}

export function save({ keyspace, keys }: Call, { epoch, floor, seq, staleness, heldUntil }: State): void {
  keyspace.set(keys[0]!, `${epoch} ${floor} ${seq} ${staleness} ${heldUntil}`)
}

export function watermark(call: Call): State {
  const { keyspace, keys, args } = call
  const [w, t] = keys as [string, string]
  const text = peekText(call, w) ?? ''
  const pattern = /^(\S+) (\d+) (\d+) (\d+) (\d+)$/
  const [, epoch, floor, seq, staleness = '0', heldUntil = '0'] = pattern.exec(text) ?? []
  const kept = { staleness: Number(staleness), heldUntil: Number(heldUntil) }
  const marker = peek(() => keyspace.zscore(t, '!'))
  if (epoch !== undefined && marker !== undefined && marker === Number(floor) && Number(seq) < GREATEST_STAMP) {
    return { epoch, floor: Number(floor), seq: Number(seq), ...kept }
  }
  const birth = call.now()
  const born = { epoch: args[0]!.slice(0, 8), floor: birth, seq: birth, ...kept }
  keyspace.delete(t)
  keyspace.zadd(t, '!', birth)
  save(call, born)
  tell(call, ['s', args[0]!.slice(8), born.epoch, String(birth), String(birth), String(birth), ''])
  return born
}

function isStampedAfter({ keyspace, keys }: Call, seq: number, name: string): boolean {
  return (keyspace.zscore(keys[1]!, name) ?? 0) > seq
}

export function isOvertaken(call: Call, seq: number, names: readonly string[]): boolean {
  return ['*', ...names].some((name) => isStampedAfter(call, seq, name) || isStampedAfter(call, seq, `~${name}`))
}

export function isHardOvertaken(call: Call, seq: number, names: readonly string[]): boolean {
  return ['*', ...names].some((name) => isStampedAfter(call, seq, name))
}

/** Everything is on hold while the holds are lost. */
export function isOnHold(
  { keyspace, now }: Call,
  { holds, heldUntil }: { readonly holds: string; readonly heldUntil: number },
  names: readonly string[],
): boolean {
  const time = now()
  if ((peek(() => keyspace.zcard(holds)) ?? 0) === 0) return heldUntil > time
  return ['*', ...names].some((name) => (peek(() => keyspace.zscore(holds, name)) ?? 0) > time)
}

export function stampOf(epoch: string, seq: number): string {
  const packed = Buffer.alloc(8)
  packed.writeDoubleBE(seq)
  return MAGIC + epoch + packed.toString('latin1').repeat(2)
}

export function entryIdOf(entry: string): string {
  return entry.slice(28, 36)
}
