/** Calls of tidemark's scripts, and what others may do to its keys, by chance: for the real server and for the model. */
import fc from 'fast-check'
import { leaseId } from '../../../src/stores/redis/arguments.ts'
import type { Keyspace } from './keyspace.ts'
import type { ScriptName } from './scripts.ts'

/** Bytes are latin1 strings. */
export type TrialCall =
  | { readonly script: ScriptName; readonly keys: readonly string[]; readonly args: readonly string[] }
  /** With the header that the entry has now, as the model knows it, in the place of the old one. */
  | { readonly script: 'EXPIRE'; readonly key: string; readonly lifetime: string }
  | {
      readonly command: readonly [name: string, key: string, ...args: string[]]
      readonly onModel: (it: Keyspace) => void
    }

const ROOT = 'trial:{#0}'
const META_KEYS = ['w', 't', 'x'].map((name) => ROOT + name)
export const STAMPS = `${ROOT}t`
export const HOLDS = `${ROOT}h`
export const META = `${ROOT}m`

export const CHANNEL = `${ROOT}x`
export const WATERMARK = `${ROOT}w`

export const BRIEF_MS = 2
const BRIEF = String(BRIEF_MS)

const TOKENS = ['token-01', 'token-02', 'token\xff03'] as const
const EPOCHS = ['epoch-01', 'epoch-02', 'epoch-03'] as const

// Mostly the same, so that calls meet.
const token = fc.constantFrom(TOKENS[0], TOKENS[0], ...TOKENS)
const id = fc.constantFrom('k:a', 'k:a', 'k:b', 'v:a')
const call = fc
  .tuple(fc.constantFrom(...EPOCHS), fc.constantFrom('origin-1', 'origin-2'))
  .map((parts) => parts.join(''))
const NAMES = ['n:', 't:x', 't:y', 't:ü', '*'].map((name) => Buffer.from(name).toString('latin1'))
const tags = fc.subarray(NAMES)
/** Long, or over before the next call. */
const lifetime = fc.constantFrom('60000', '60000', '90000', BRIEF)
const flag = fc.constantFrom('', '1')

/** Name, length of the header and the rest of an entry; the length may be any. */
const tail = fc.tuple(
  token,
  fc.constantFrom(44, 48, 0, 3, 4_000_000_000),
  fc.constantFrom('', 'body', 'header and body'),
)
const tailBytes = tail.map(([name, length, rest]) => {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(length)
  return name + header.toString('latin1') + rest
})

function keysOf(...ids: readonly string[]): string[] {
  return [...META_KEYS, ...ids.map((one) => ROOT + one)]
}

const parents = fc.constantFrom<readonly string[]>([], [], ['p:a'])

function script(name: ScriptName, keys: fc.Arbitrary<readonly string[]>, args: fc.Arbitrary<readonly string[]>) {
  return fc.tuple(keys, call, args).map(([all, first, rest]): TrialCall => {
    return { script: name, keys: all, args: [first, ...rest] }
  })
}

const entryKeys = fc.tuple(id, parents).map(([one, parent]) => keysOf(one, leaseId(one), ...parent))
const fillKeys = fc.tuple(id, parents).map(([one, parent]) => keysOf(one, leaseId(one), 'h', ...parent))
const ids = fc.uniqueArray(id, { minLength: 1 })

const acquire = script(
  'ACQUIRE',
  entryKeys,
  fc
    .tuple(token, lifetime, fc.constantFrom('', ...TOKENS), flag, tailBytes, lifetime, tags)
    .map(([one, leaseMs, seen, steal, parentTail, parentMs, names]) => {
      return [one, leaseMs, seen, steal, parentTail, parentMs, ...names]
    }),
)
const fill = script(
  'FILL',
  fillKeys,
  fc
    .tuple(
      token,
      fc.oneof(fc.constant(''), tailBytes),
      lifetime,
      fc.constantFrom('', '', '', ...TOKENS),
      tailBytes,
      tags,
    )
    .map(([one, own, entryMs, parentId, parentTail, names]) => [one, own, entryMs, parentId, parentTail, ...names]),
)
const extend = script(
  'EXTEND',
  id.map((one) => keysOf(leaseId(one))),
  fc.tuple(token, lifetime),
)
const set = script(
  'SET',
  id.map((one) => keysOf(one, leaseId(one))),
  fc.tuple(tailBytes, lifetime),
)
const remove = script(
  'REMOVE',
  ids.map((all) => keysOf(...all.flatMap((one) => [one, leaseId(one)]))),
  fc.constant([]),
)
const headers = script(
  'HEADERS',
  ids.map((all) => keysOf(...all)),
  fc.constant([]),
)
const strangeExpire = script(
  'EXPIRE',
  id.map((one) => keysOf(one)),
  fc.tuple(fc.constantFrom('', 'x'), flag, lifetime),
)
const expire = fc.tuple(id, lifetime).map(([one, ms]): TrialCall => {
  return { script: 'EXPIRE', key: ROOT + one, lifetime: ms }
})
const invalidate = script(
  'INVALIDATE',
  fc.constant(keysOf('h')),
  fc
    .tuple(
      fc.constantFrom('60000', '60000', BRIEF),
      fc.constantFrom('', '', '~'),
      fc.constantFrom('0', '0', '60000', BRIEF),
      fc.subarray(NAMES, { minLength: 1 }),
    )
    .map(([stampsMs, soft, holdMs, names]) => [stampsMs, soft, holdMs, ...names]),
)
const greet = script(
  'GREET',
  fc.constant(keysOf('m', 'h')),
  fc.tuple(flag, fc.constant('1'), fc.constantFrom('', ...EPOCHS), fc.constantFrom('', '60000')),
)
const sync = script(
  'SYNC',
  fc.constant(keysOf()),
  fc.tuple(
    fc.constantFrom(...EPOCHS),
    fc.constantFrom('0', '9000000000000000'),
    fc.constantFrom('0', '250', '800'),
    fc.constantFrom('', '', 'echo'),
  ),
)

/** What others do: evict, overwrite, put a value of another type there. */
const strange = fc.oneof(
  fc.constantFrom(WATERMARK, STAMPS, HOLDS, META, `${ROOT}k:a`, `${ROOT}l:a`, `${ROOT}p:a`).map((key): TrialCall => {
    return { command: ['DEL', key], onModel: (it) => it.delete(key) }
  }),
  fc
    .tuple(
      fc.constantFrom(WATERMARK, STAMPS, HOLDS, META, `${ROOT}k:a`, `${ROOT}l:a`),
      fc.constantFrom('', 'of another program', 'epoch-09 1 9000000000000001 0 0'),
    )
    .map(([key, value]): TrialCall => ({ command: ['SET', key, value], onModel: (it) => it.set(key, value) })),
  fc.constantFrom(`${ROOT}k:b`, `${ROOT}l:b`, WATERMARK).map((key): TrialCall => {
    // ZADD to a string is an error on both.
    return { command: ['ZADD', key, '5', 'member'], onModel: (it) => it.zadd(key, 'member', 5) }
  }),
  fc.constant<TrialCall>({
    command: ['HSET', META, 'run', 'another'],
    onModel: (it) => it.hset(META, 'run', 'another'),
  }),
)

const anything = fc.oneof(
  { weight: 5, arbitrary: acquire },
  { weight: 5, arbitrary: fill },
  { weight: 4, arbitrary: invalidate },
  ...[extend, set, remove, headers, expire, strangeExpire, greet, sync, strange].map((arbitrary) => ({
    weight: 2,
    arbitrary,
  })),
)

/** A load from its beginning to its end, and what happens meanwhile. */
const load = fc.tuple(id, token, call, tailBytes, tags, anything).map(([one, name, first, own, names, meanwhile]) => {
  const begin = [first, name, '60000', '', '', '', '1', ...names]
  const end = [first, name, own, '60000', '', '', ...names]
  return [
    { script: 'ACQUIRE', keys: keysOf(one, leaseId(one)), args: begin },
    meanwhile,
    { script: 'FILL', keys: keysOf(one, leaseId(one), 'h'), args: end },
  ] satisfies TrialCall[]
})

export const trialCalls: fc.Arbitrary<readonly TrialCall[]> = fc
  .array(fc.oneof({ weight: 4, arbitrary: anything.map((one) => [one]) }, { weight: 1, arbitrary: load }), {
    minLength: 1,
    maxLength: 30,
    size: 'max',
  })
  .map((parts) => parts.flat())

/** So much of the entry is its header, for EXPIRE. */
export const OLD_HEADER = 40

/** Something of it is soon over: wait before the next call. */
export function isBrief(one: TrialCall): boolean {
  const args = 'args' in one ? one.args : 'lifetime' in one ? [one.lifetime] : []
  return args.includes(BRIEF)
}
