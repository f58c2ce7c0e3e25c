/** The model of Redis does what Redis does: the same calls of the same scripts have the same replies and leave the same keys. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRedis, type RedisServer } from '../../helpers/redis.ts'
import { bundle } from './bundle.ts'
import { MUTANTS } from './mutants.ts'
import {
  BRIEF_MS,
  CHANNEL,
  HOLDS,
  isBrief,
  META,
  OLD_HEADER,
  STAMPS,
  trialCalls,
  WATERMARK,
  type TrialCall,
} from './script-calls.ts'
import type { ModelReply } from './prelude.ts'
import { SCRIPTS } from './scripts.ts'
import type { ModelServer, Sender } from './server.ts'

/** The end of the last hold, in the watermark. */
const HELD_UNTIL = /(?<=^\S{8}(?: \d+){3}) \d{16}$/

/** `RUNS=5000` for many. */
const RUNS = Number(process.env['RUNS'] ?? 40)

let server: RedisServer
let redis: Redis
let ear: Redis
let heard: string[]
let run: string

beforeAll(async () => {
  server = await startRedis()
  redis = connect()
  ear = connect()
  run = /run_id:(\w+)/.exec(await redis.info('server'))![1]!
  ear.on('messageBuffer', (_channel: Buffer, message: Buffer) => heard.push(message.toString()))
  await ear.subscribe(CHANNEL)
})
afterAll(async () => {
  redis.disconnect()
  ear.disconnect()
  await server.stop()
})

function connect(): Redis {
  return new Redis({ host: server.host, port: server.port, protocol: 2, disableClientInfo: true })
}

/** A server and the model of it, to which the same is done at the same time of the same clock. */
class Twins {
  readonly said: string[] = []
  readonly #model: ModelServer
  readonly #sender: Sender = {
    clock: () => 0,
    receive: (_channel, message) => {
      this.said.push(message)
      // Redis's clock goes on while a script runs: what it does after the birth of an epoch is later.
      this.#now = this.#later
    },
  }
  #now = 0
  #later = 0

  constructor(make: typeof ModelServer) {
    this.#model = new make(() => this.#now)
    this.#model.execute(this.#sender, ['SUBSCRIBE', CHANNEL])
  }

  /** Both answers, in one form. */
  async do(call: TrialCall): Promise<readonly [unknown, unknown]> {
    const { keyspace } = this.#model
    if ('command' in call) {
      const [name, ...args] = call.command
      this.#now = await time()
      const real = await settled(async () => redis.callBuffer(name, args.map(bytes)))
      const model = await settled(() => call.onModel(keyspace))
      return [typeof real === 'string' ? real : 'done', typeof model === 'string' ? model : 'done']
    }
    const { script, keys, args } = 'key' in call ? this.#expire(call) : call
    const { lua } = SCRIPTS.find(({ name }) => name === script)!
    const rest = [String(keys.length), ...keys, ...args]
    // Sent together, executed in this order.
    const [before, real, after, now] = await Promise.all([
      stamps(),
      settled(() => redis.callBuffer('EVAL', [lua, ...rest].map(bytes))),
      stamps(),
      time(),
    ])
    ;[this.#now, this.#later] = timesOf(before, after) ?? [now, now]
    const model = await settled(() => this.#model.execute(this.#sender, ['EVAL', lua, ...rest]))
    return [
      comparable(real, script),
      comparable(Array.isArray(model) && model[0] === 'run0' ? [run, ...model.slice(1)] : model, script),
    ]
  }

  /** All keys of both, in one form. */
  async keys(): Promise<readonly [unknown, unknown]> {
    const names = (await redis.keys('*')).toSorted()
    this.#now = this.#later = await time()
    const { keyspace } = this.#model
    const real = await Promise.all(names.map((key) => dump(key, this.#now)))
    const model = keyspace
      .keys()
      .map((key) => [key, inOneForm(key, keyspace.dump(key), this.#now), coarse(keyspace.pttl(key))])
    return [real, JSON.parse(JSON.stringify(model).replaceAll('"run0"', `"${run}"`))]
  }

  #expire({ key, lifetime }: { readonly key: string; readonly lifetime: string }) {
    const stored = this.#model.keyspace.dump(key)
    const old = typeof stored === 'string' ? stored.slice(0, OLD_HEADER) : 'none'
    const renewed = `${old.slice(0, -1)}x`
    const keys = [WATERMARK, WATERMARK.replace(/w$/, 't'), CHANNEL, key]
    return { script: 'EXPIRE', keys, args: ['epoch-01origin-1', old, renewed, lifetime] } as const
  }
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

async function settled(call: () => unknown): Promise<unknown> {
  try {
    return await call()
  } catch (error) {
    return `error ${(error as Error).message.split(' ')[0]!}`
  }
}

/** Times to live are a little shorter than they were said to be. */
function comparable(reply: unknown, script: string): unknown {
  if (Buffer.isBuffer(reply)) return comparable(reply.toString('latin1'), script)
  if (typeof reply === 'string') return reply.replace(HELD_UNTIL, ' held')
  if (typeof reply === 'number' && (script === 'REMOVE' || script === 'HEADERS')) return coarse(reply)
  return Array.isArray(reply) ? reply.map((one: ModelReply) => comparable(one, script)) : reply
}

/** What is left of a time to live, to ten seconds. */
function coarse(pttl: number): number {
  return Math.round(pttl / 10_000) + 0
}

async function time(): Promise<number> {
  const [seconds, microseconds] = (await redis.time()) as unknown as [string, string]
  return Number(seconds) * 1e6 + Number(microseconds)
}

interface Stamps {
  readonly watermark: string | null
  readonly greatest: number
}

async function stamps(): Promise<Stamps> {
  const [watermark, [, score]] = await Promise.all([
    redis.get(WATERMARK).catch(() => null),
    redis.zrange(STAMPS, '-1', '-1', 'WITHSCORES').catch((): string[] => []),
  ])
  return { watermark, greatest: Number(score ?? 0) }
}

/** When a script ran, by the floor and the stamp that it made; if it made none it is enough to know it roughly. */
function timesOf(before: Stamps, after: Stamps): [atFirst: number, later: number] | undefined {
  if (after.watermark === null) return undefined
  const [epoch, floor, seq] = after.watermark.split(' ')
  const [epochBefore, , seqBefore] = (before.watermark ?? '').split(' ')
  // A new epoch may bear the old one's name here; in an old one the floor only rises to stamps that were there.
  const isBorn = epoch !== epochBefore || Number(floor) > Math.max(Number(seqBefore), before.greatest)
  if (isBorn) return [Number(floor), Number(seq)]
  if (seq !== seqBefore) return [Number(seq), Number(seq)]
  // An INVALIDATE that fails at the holds, which are not a set, has given its first stamp.
  return after.greatest > before.greatest ? [after.greatest, after.greatest] : undefined
}

/** A hold is counted from before the birth of an epoch, and nobody knows how long before: what is left of it is known. */
function inOneForm<T>(key: string, value: T, now: number): unknown {
  if (key === WATERMARK && typeof value === 'string') {
    return value.replace(HELD_UNTIL, (until) => ` ${coarse((Number(until) - now) / 1000)}`)
  }
  if (key === META && Array.isArray(value)) {
    // When callers from elsewhere were dealt with: by the clock of each.
    return value.map(([field, text]: [string, string]) => [
      field,
      field === 'from' ? text.replaceAll(/:\d+/g, ':AT') : text,
    ])
  }
  if (key !== HOLDS || !Array.isArray(value)) return value
  return value.map(([name, until]: [string, number]) => [name, coarse((until - now) / 1000)])
}

async function dump(key: string, now: number): Promise<unknown> {
  const type = await redis.type(key)
  const pttl = coarse(await redis.pttl(key))
  if (type === 'string') return [key, inOneForm(key, (await redis.getBuffer(key))!.toString('latin1'), now), pttl]
  if (type === 'hash') return [key, inOneForm(key, Object.entries(await redis.hgetall(key)), now), pttl]
  const members = await redis.zrangeBuffer(key, '0', '-1', 'WITHSCORES')
  const pairs = members.flatMap((member, i) => {
    return i % 2 === 0 ? [[member.toString('latin1'), Number(members[i + 1]!.toString())]] : []
  })
  return [key, inOneForm(key, pairs, now), pttl]
}

async function compare(make: typeof ModelServer, calls: readonly TrialCall[]): Promise<void> {
  await redis.flushall()
  await ear.ping()
  heard = []
  const twins = new Twins(make)
  for (const call of calls) {
    const [real, model] = await twins.do(call)
    expect(model).toEqual(real)
    if (isBrief(call)) await sleep(BRIEF_MS + 2)
  }
  const [real, model] = await twins.keys()
  expect(model).toEqual(real)
  await ear.ping()
  const parse = (message: string): unknown => JSON.parse(message)
  expect(twins.said.map(parse)).toEqual(heard.map(parse))
}

test('the model and Redis reply the same, say the same and keep the same', async () => {
  const { ModelServer: bundled } = await bundle()
  const same = fc.asyncProperty(trialCalls, (calls) => compare(bundled, calls))
  await fc.assert(same, { seed: 1, numRuns: RUNS })
})

test.each(MUTANTS.filter(({ file }) => file.startsWith('test/')))(
  'a model where $name is found out',
  async (mutant) => {
    const { ModelServer: Mutated } = await bundle(mutant)
    const same = fc.asyncProperty(trialCalls, (calls) => compare(Mutated, calls))
    const { failed } = await fc.check(same, { seed: 2, numRuns: 10 * RUNS, endOnFailure: true })
    expect(failed).toBe(true)
  },
)
