/**
 * The scripts of src/stores/redis/scripts.ts as functions over the model's keyspace: line by line, so that the two can
 * be read side by side. differential.test.ts holds them together.
 */
import {
  ACQUIRE,
  EXPIRE,
  EXTEND,
  FILL,
  GREET,
  HEADERS,
  INVALIDATE,
  REMOVE,
  SET,
  SYNC,
} from '../../../src/stores/redis/scripts.ts'
import { MAX_STAMPS } from '../../../src/stores/watermark.ts'
import type { Keyspace, Scored } from './keyspace.ts'
import {
  MAGIC,
  MAX_HOLDS,
  YOUTH_MS,
  peek,
  peekText,
  peekRange,
  tell,
  idOf,
  ended,
  save,
  watermark,
  isOvertaken,
  isHardOvertaken,
  isOnHold,
  stampOf,
  entryIdOf,
  type Call,
  type ModelReply,
  type ModelScript,
  type State,
} from './prelude.ts'

/** Does what was stored with this stamp count, as far as names tell? */
function stands(call: Call, state: State, stored: string, names: readonly string[]): boolean {
  if (stored.length < 36 || stored.slice(4, 12) !== state.epoch) return false
  const seq = Buffer.from(stored.slice(12, 20), 'latin1').readDoubleBE()
  return seq >= state.floor && !isHardOvertaken(call, seq, names)
}

function acquire(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [, , , , leaseKey, parentKey] = keys as [string, string, string, string, string, string?]
  const [, token, leaseMs, , steal, parentTail, parentMs, ...tags] = args as [string, string, string, ...string[]]
  const state = watermark(call)
  const { epoch, seq } = state
  let parentId = ''
  if (parentKey !== undefined) {
    const parent = peekRange(call, parentKey, 35)
    if (stands(call, state, parent, tags.slice(0, 1))) parentId = entryIdOf(parent)
  }
  const entry = steal === '1' ? undefined : standing(call, state, parentId)
  if (entry !== undefined) return ['hit', entry, parentId, keyspace.get(keys[0]!)!]

  const lease = peekText(call, leaseKey)
  if (lease !== undefined && steal !== '1' && isInForce(call, lease, [epoch, parentId])) {
    keyspace.setRange(leaseKey, 8, 'w')
    return ['busy']
  }
  if (parentKey !== undefined && parentId === '') {
    parentId = token
    keyspace.set(parentKey, stampOf(epoch, seq) + parentTail!, Number(parentMs))
  }
  const facts = `${lease?.[8] === 'w' ? 'w' : '-'}${steal === '1' ? 's' : '-'}${epoch} ${seq} ${parentId}`
  keyspace.set(leaseKey, token + facts, Number(leaseMs))
  return ['lead', epoch, String(seq), parentId]
}

/** The entry that another caller was quicker to fill. */
function standing(call: Call, state: State, parentId: string): string | undefined {
  const { keys, args } = call
  if (parentId === '' && keys[5] !== undefined) return undefined
  const entry = peekText(call, keys[3])
  if (entry === undefined || entryIdOf(entry) === args[3]) return undefined
  const isGone = entry.slice(0, 4) === MAGIC && !stands(call, state, entry, args.slice(7))
  return isGone ? undefined : entry
}

/** A load that was overtaken, or has lost its parent, will be refused: nobody need wait for it. */
function isInForce(call: Call, lease: string, [epoch, parentId]: readonly [string, string]): boolean {
  const [, leaseEpoch, leaseSeq, leaseParent] = /^(\S+) (\d+) ([^]*)$/.exec(lease.slice(10)) ?? []
  if (leaseEpoch !== epoch || leaseParent !== parentId) return false
  return !isOvertaken(call, Number(leaseSeq), call.args.slice(7))
}

function extend({ keyspace, keys, args }: Call): ModelReply {
  if ((keyspace.get(keys[3]!) ?? '').slice(0, 8) !== args[1]) return 0
  return keyspace.expire(keys[3]!, Number(args[2])) ? 1 : 0
}

function fill(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [, , , entryKey, leaseKey, holds, parentKey] = keys as [string, string, string, string, string, string, string?]
  const [, token, tail, entryMs, parentId, parentTail, ...tags] = args as [string, string, string, ...string[]]
  const lease = peekText(call, leaseKey) ?? ''
  if (lease.slice(0, 8) !== token) return 0
  keyspace.delete(leaseKey)
  ended(call, lease, leaseKey)

  const [, leaseEpoch, leaseSeq] = /^(\S+) (\d+)/.exec(lease.slice(10)) ?? []
  const seq = Number(leaseSeq)
  const { epoch, floor, heldUntil } = watermark(call)
  if (leaseEpoch !== epoch || seq < floor) return -1
  if (isOvertaken(call, seq, tags)) return -1
  if (isOnHold(call, { holds, heldUntil }, tags)) return -1

  const parent = parentKey === undefined ? '' : peekRange(call, parentKey, 35)
  if (entryIdOf(parent) !== parentId) return -2
  if (tail === '') return 1
  if (parentKey !== undefined) {
    const lifetime = Math.max(keyspace.pttl(parentKey), Number(entryMs))
    keyspace.set(parentKey, parent.slice(0, 28) + parentTail!, lifetime)
  }
  keyspace.set(entryKey, stampOf(epoch, seq) + tail, Number(entryMs))
  if (lease[9] === 's') tell(call, ['k', args[0]!.slice(8), idOf(call, entryKey)])
  return 1
}

function set(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [, , , entryKey, leaseKey] = keys as [string, string, string, string, string]
  const { epoch, seq } = watermark(call)
  keyspace.set(entryKey, stampOf(epoch, seq) + args[1]!, Number(args[2]))
  ended(call, peekText(call, leaseKey), leaseKey)
  keyspace.delete(leaseKey)
  tell(call, ['k', args[0]!.slice(8), idOf(call, entryKey)])
  return 1
}

/** The header and the PTTL of an entry, for REMOVE and HEADERS. */
function headerOf(call: Call, key: string): readonly ModelReply[] {
  const { keyspace } = call
  const length = peek(() => keyspace.getRange(key, 36, 39))
  if (length === undefined) return ['', -2]
  const isWhole = length.length === 4
  const headerLength = isWhole ? Math.min(Buffer.from(length, 'latin1').readUInt32BE(), 1_048_576) : 1
  // GETRANGE to -1 is all of it.
  const last = headerLength === 0 ? Infinity : headerLength - 1
  return [keyspace.getRange(key, 0, last), keyspace.pttl(key)]
}

function remove(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const replies: ModelReply[] = [peekText(call, keys[0]) ?? '']
  const removed = ['k', args[0]!.slice(8)]
  for (let i = 3; i < keys.length; i += 2) {
    const [entryKey, leaseKey] = keys.slice(i, i + 2) as [string, string]
    replies.push(...headerOf(call, entryKey))
    ended(call, peekText(call, leaseKey), leaseKey)
    keyspace.delete(entryKey, leaseKey)
    removed.push(idOf(call, entryKey))
  }
  tell(call, removed)
  return replies
}

function headers(call: Call): ModelReply {
  return [peekText(call, call.keys[0]) ?? '', ...call.keys.slice(3).flatMap((key) => headerOf(call, key))]
}

function expire(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [key, old] = [keys[3]!, args[1]!]
  // GETRANGE to -1 is all of it.
  if (keyspace.getRange(key, 0, old.length === 0 ? Infinity : old.length - 1) !== old) return 0
  if (args[2] !== '') keyspace.setRange(key, 0, args[2]!)
  tell(call, ['k', args[0]!.slice(8), idOf(call, key)])
  return keyspace.expire(key, Number(args[3])) ? 1 : 0
}

function invalidate(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [, t, , holds] = keys as [string, string, string, string]
  const [, stampsMs, soft, held, ...names] = args as [string, string, string, string, ...string[]]
  const time = call.now()
  if (peek(() => (forgetHolds(keyspace, holds, time), true)) === undefined) keyspace.delete(holds)
  const state = watermark(call)
  const { epoch, floor, seq, staleness, heldUntil } = state
  const stamped = Math.max(time, seq + 1)
  const holdMs = Number(held)
  for (const name of names) keyspace.zadd(t, soft + name, stamped)
  const lastEnd = Math.max(heldUntil, holdMs > 0 ? time + holdMs * 1000 : 0)
  save(call, { ...state, seq: stamped, heldUntil: lastEnd })

  if (holdMs > 0) {
    if (heldUntil > time && keyspace.zcard(holds) === 0) keyspace.zadd(holds, '*', heldUntil)
    for (const name of names) hold(keyspace, holds, [name, time + holdMs * 1000])
    boundHolds(keyspace, holds, time)
  }

  const lowest = prune(call, floor, time - Number(stampsMs) * 1000)
  if (lowest > floor) {
    keyspace.zadd(t, '!', lowest)
    save(call, { epoch, floor: lowest, seq: stamped, staleness, heldUntil: lastEnd })
  }

  const facts = [String(seq), String(stamped), String(lowest)]
  tell(call, ['s', args[0]!.slice(8), epoch, ...facts, soft, ...names])
  const youth = Math.min(Math.ceil((floor - time) / 1000) + YOUTH_MS, YOUTH_MS)
  return [epoch, ...facts, String(Math.max(staleness, youth))]
}

/** ZREMRANGEBYSCORE -inf `time`. */
function forgetHolds(keyspace: Keyspace, holds: string, time: number): void {
  for (const [name, until] of keyspace.zrange(holds)) if (until <= time) keyspace.zrem(holds, name)
}

/** ZADD GT. */
function hold(keyspace: Keyspace, holds: string, [name, until]: Scored): void {
  if (until > (keyspace.zscore(holds, name) ?? 0)) keyspace.zadd(holds, name, until)
}

/** Beyond so many names everything is on hold; all of them end with the last one. */
function boundHolds(keyspace: Keyspace, holds: string, time: number): void {
  const [, last] = keyspace.zrange(holds).at(-1)!
  if (keyspace.zcard(holds) > MAX_HOLDS) {
    keyspace.delete(holds)
    keyspace.zadd(holds, '*', last)
  }
  keyspace.expire(holds, Math.ceil((last - time) / 1000))
}

/** Forgets the oldest stamps; the greatest forgotten one, or the floor. */
function prune({ keyspace, keys, args }: Call, floor: number, horizon: number): number {
  const t = keys[1]!
  let excess = keyspace.zcard(t) - MAX_STAMPS
  let lowest = floor
  for (const [name, score] of keyspace.zrange(t).slice(0, 101 + args.length)) {
    if (score > horizon && excess <= 0) break
    if (name === '!') continue
    keyspace.zrem(t, name)
    excess--
    lowest = Math.max(lowest, score)
  }
  return lowest
}

function greet(call: Call): ModelReply {
  const { keyspace, keys, args, run } = call
  const [w, , , meta, holds] = keys as [string, string, string, string, string]
  // No model of a server is a replica, or refuses INFO.
  const time = call.now()
  peek(() => forgetHolds(keyspace, holds, time))
  // Nor has any another number of shards.
  if (peek(() => keyspace.hget(meta, 'shards')) === undefined) peek(() => keyspace.hset(meta, 'shards', args[2]!))
  if (args[1] !== '1') return 0

  const [before, agoMs] = args.slice(3) as [string, string]
  const noted = peek(() => keyspace.hget(meta, 'from')) ?? ''
  const isDealtWith = (): boolean => {
    if (before === '' || before === /^\S+/.exec(peekText(call, w) ?? '')?.[0]) return true
    const since = new RegExp(`${before}:(\\d+)`).exec(noted)?.[1]
    return since !== undefined && (agoMs === '' || Number(since) >= time - Number(agoMs) * 1000)
  }
  if (peek(() => keyspace.hget(meta, 'run')) === run && isDealtWith()) return [run, watermark(call).epoch]
  keyspace.delete(w)
  if (peek(() => keyspace.hset(meta, 'run', run)) === undefined) {
    keyspace.delete(meta)
    keyspace.hset(meta, 'run', run)
    keyspace.hset(meta, 'shards', args[2]!)
  }
  if (before !== '') keyspace.hset(meta, 'from', `${before}:${time} ${noted}`.slice(0, 512))
  return [run, watermark(call).epoch]
}

function sync(call: Call): ModelReply {
  const { keyspace, keys, args } = call
  const [, epochKnown, since, allowed, echo] = args as [string, string, string, string, string]
  const state = watermark(call)
  if (Number(allowed) > state.staleness) save(call, { ...state, staleness: Number(allowed) })
  if (echo !== '') tell(call, ['e', args[0]!.slice(8), echo])
  const isKnown = state.epoch === epochKnown
  const later = keyspace.zrange(keys[1]!).filter(([, score]) => !isKnown || score > Number(since))
  return [`${state.epoch} ${state.floor} ${state.seq}`, ...later.flatMap(([name, score]) => [name, String(score)])]
}

const NAMED = {
  ACQUIRE: { script: ACQUIRE, model: acquire },
  EXTEND: { script: EXTEND, model: extend },
  FILL: { script: FILL, model: fill },
  SET: { script: SET, model: set },
  REMOVE: { script: REMOVE, model: remove },
  HEADERS: { script: HEADERS, model: headers },
  EXPIRE: { script: EXPIRE, model: expire },
  INVALIDATE: { script: INVALIDATE, model: invalidate },
  GREET: { script: GREET, model: greet },
  SYNC: { script: SYNC, model: sync },
} as const

export type ScriptName = keyof typeof NAMED

export interface KnownScript {
  readonly name: ScriptName
  readonly sha: string
  readonly lua: string
  readonly model: ModelScript
}

export const SCRIPTS: readonly KnownScript[] = Object.entries(NAMED).map(([name, { script, model }]) => ({
  name: name as ScriptName,
  sha: script.sha,
  lua: script.lua,
  model,
}))
