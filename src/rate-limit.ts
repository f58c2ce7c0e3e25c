/**
 * Rate limits: `'100/minute'` and how often a key has used it up, counted in Redis or in this process.
 *
 * The counting is rate-limiter-flexible's: one counter per key and window, which begins with the first hit and ends
 * `windowMs` later. Its Redis limiter is handed a client of one command that goes over the cache's own connection, so
 * every client kind that the cache speaks is served, and no second connection is opened.
 *
 * A limiter must never be what takes a service down. A command that fails, or that a silent server leaves unanswered
 * for `DEADLINE_MS`, is counted in memory instead; from then on only one command per `RETRY_MS` still tries Redis, until
 * one succeeds. Meanwhile every process grants the limit on its own.
 */
import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import { type Clock, systemClock } from './clock.ts'
import { CacheConfigurationError, describe, RedisConnectionError } from './exceptions.ts'
import { defineScript, type RedisConnection, type Script } from './stores/redis/connection.ts'

/** `limit` hits in `windowMs`. */
export interface RateLimitWindow {
  readonly limit: number
  readonly windowMs: number
}

/** What became of one hit: the window that refused it, or the one that has least left. */
export interface RateLimitResult {
  readonly allowed: boolean
  readonly limit: number
  readonly remaining: number
  /** Until the window ends and its count begins anew. */
  readonly resetMs: number
  /** Until a hit may be allowed again; 0 when this one was. */
  readonly retryAfterMs: number
}

export interface RateLimiterOptions {
  /** The cache's connection; absent: each process counts for itself. */
  readonly connection?: Connection | undefined
  /** What the keys in Redis begin with. */
  readonly keyPrefix: string
  readonly clock?: Clock
  /** Redis fails, or refuses (`RedisReplyError`), and this process begins to count for itself: told once per outage, for all limiters of a connection. */
  readonly onOutage?: (error: Error) => void
}

type Connection = Pick<RedisConnection, 'run' | 'ping'>
type Limiter = RateLimiterMemory | RateLimiterRedis

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const UNIT_MS: ReadonlyMap<string, number> = new Map(
  [
    { names: 's sec secs second seconds', ms: SECOND_MS },
    { names: 'm min mins minute minutes', ms: MINUTE_MS },
    { names: 'h hour hours', ms: HOUR_MS },
    { names: 'd day days', ms: DAY_MS },
    { names: 'month months', ms: 30 * DAY_MS },
    { names: 'year years', ms: 365 * DAY_MS },
  ].flatMap(({ names, ms }) => names.split(' ').map((name): [string, number] => [name, ms])),
)

const SEPARATOR = /[;,|]/
const WINDOW = /^(\d+) ?(?:\/|per) ?(?:(\d+) ?)?([a-z]+)$/
const FORMAT = "a limit such as '100/minute', '5 per 10 seconds' or '10/second; 500/hour'"

/** A healthy Redis answers in about a millisecond; a request shall not feel one that does not answer. */
const DEADLINE_MS = 40
/** How long the first command may wait for the connection to be made. */
const START_MS = 1000
/** How often Redis is tried while it fails. */
const RETRY_MS = 1000
/** Keys counted in memory per limiter and window, some 300 bytes each; beyond it the one seen longest ago is forgotten. */
const MAX_MEMORY_KEYS = 20_000
/** Node's timers end at 2^31 ms and fire at once beyond it; rate-limiter-flexible ends a window in memory with one. */
const MAX_MEMORY_SECONDS = 24 * 86_400
/** Longer keys (tokens, whatever a header holds) are hashed, so that a client cannot fill the memory with them. */
const MAX_KEY_LENGTH = 128

/**
 * The windows of a limit, in the words of SlowAPI: `'100/minute'`, `'5 per 10 seconds'`, `'10/second; 500/hour'`.
 *
 * Units: second, minute, hour, day, month (30 days), year (365 days), in plural too, and `s sec m min h d`.
 * Several windows are separated by `;`, `,` or `|`, and all of them apply.
 *
 * @throws {CacheConfigurationError} that names what cannot be read
 * @example
 * parseRateLimit('5 per 10 seconds') // [{ limit: 5, windowMs: 10_000 }]
 */
export function parseRateLimit(text: string): RateLimitWindow[] {
  if (typeof text !== 'string') throw refusal(describe(text))
  return text.split(SEPARATOR).map((part) => {
    const window = parseWindow(part)
    if (window !== undefined) return window
    throw refusal(part === text ? describe(text) : `${describe(part.trim())} in ${describe(text)}`)
  })
}

function parseWindow(text: string): RateLimitWindow | undefined {
  const [, limitText, countText = '1', unit = ''] = WINDOW.exec(normalize(text)) ?? []
  const limit = Number(limitText)
  const windowMs = Number(countText) * (UNIT_MS.get(unit) ?? Number.NaN)
  const isUsable = Number.isSafeInteger(limit) && limit > 0 && Number.isSafeInteger(windowMs) && windowMs > 0
  return isUsable ? { limit, windowMs } : undefined
}

function normalize(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ').toLowerCase()
}

function refusal(got: string): CacheConfigurationError {
  return new CacheConfigurationError([{ path: 'limit', expected: FORMAT, got }], 'rate limit')
}

/**
 * Counts hits per key and says which are too many.
 *
 * @example
 * const limiter = new RateLimiter(parseRateLimit('5/minute'), { keyPrefix: 'cache:rl:login' })
 * const { allowed, retryAfterMs } = await limiter.consume('user_1')
 */
export class RateLimiter {
  /**
   * Shortest window first. They are asked one after the other, and the first that refuses ends it: hits that a burst
   * limit turns away use up nothing of the hour, and what a longer window turns away has cost only shorter ones.
   */
  readonly #limiters: readonly Limiter[]
  readonly #connection: Connection | undefined

  constructor(windows: readonly RateLimitWindow[], options: RateLimiterOptions) {
    this.#connection = options.connection
    this.#limiters = windows.toSorted((a, b) => a.windowMs - b.windowMs).map((window) => createLimiter(window, options))
  }

  /**
   * Resolves when Redis has answered for the first time, or after a second. Whoever waits for it at start-up has all
   * hits counted in Redis, also those that would come before the connection is made.
   */
  async ready(): Promise<void> {
    if (this.#connection !== undefined) await circuitOf(this.#connection).ready()
  }

  /** Counts one hit. It never fails for Redis' sake. */
  async consume(key: string): Promise<RateLimitResult> {
    const shortKey = key.length > MAX_KEY_LENGTH ? createHash('sha256').update(key).digest('base64url') : key
    let tightest: RateLimitResult | undefined
    for (const limiter of this.#limiters) {
      const result = await consumeOne(limiter, shortKey)
      if (!result.allowed) return result
      if (tightest === undefined || result.remaining <= tightest.remaining) tightest = result
    }
    return tightest!
  }
}

function createLimiter({ limit, windowMs }: RateLimitWindow, options: RateLimiterOptions): Limiter {
  const duration = windowMs / SECOND_MS
  const keyPrefix = `${options.keyPrefix}:${limit}/${duration}`
  const memory = new MemoryLimiter({ points: limit, duration: Math.min(duration, MAX_MEMORY_SECONDS), keyPrefix })
  if (options.connection === undefined) return memory
  const storeClient = new LimiterClient(options.connection, options)
  return new RateLimiterRedis({ storeClient, points: limit, duration, keyPrefix, insuranceLimiter: memory })
}

async function consumeOne(limiter: Limiter, key: string): Promise<RateLimitResult> {
  try {
    return resultOf(await limiter.consume(key), limiter.points, true)
  } catch (thrown) {
    if (thrown instanceof RateLimiterRes) return resultOf(thrown, limiter.points, false)
    throw thrown
  }
}

function resultOf(counted: RateLimiterRes, limit: number, allowed: boolean): RateLimitResult {
  const resetMs = Math.max(0, counted.msBeforeNext)
  return { allowed, limit, remaining: counted.remainingPoints, resetMs, retryAfterMs: allowed ? 0 : resetMs }
}

/** rate-limiter-flexible's memory limiter with a bound on how much it remembers. */
class MemoryLimiter extends RateLimiterMemory {
  readonly #keys = new Set<string>()

  override consume(key: string, points?: number): Promise<RateLimiterRes> {
    this.#keys.delete(key)
    this.#keys.add(key)
    if (this.#keys.size > MAX_MEMORY_KEYS) this.#forgetOldest()
    return super.consume(key, points)
  }

  #forgetOldest(): void {
    const [oldest] = this.#keys
    if (oldest === undefined) return
    this.#keys.delete(oldest)
    void this.delete(oldest)
  }
}

/** All that rate-limiter-flexible asks of an ioredis client in order to consume, over the cache's connection. */
class LimiterClient {
  readonly #connection: Connection
  readonly #circuit: Circuit
  readonly #clock: Clock
  readonly #onOutage: ((error: Error) => void) | undefined
  #script: Script | undefined

  constructor(connection: Connection, { clock = systemClock, onOutage }: RateLimiterOptions) {
    this.#connection = connection
    this.#circuit = circuitOf(connection)
    this.#clock = clock
    this.#onOutage = onOutage
  }

  defineCommand(_name: string, { lua }: { readonly lua: string }): void {
    this.#script = defineScript(lua)
  }

  /** Adds to a counter; its value, and the milliseconds it has left. */
  async rlflxIncr([key, ...args]: readonly [string, ...string[]]): Promise<readonly number[]> {
    if (!this.#circuit.isReady) await this.#circuit.ready()
    const sentAt = this.#clock.now()
    if (!this.#circuit.mayAsk(sentAt)) throw new RedisConnectionError('Redis is not asked: it failed just now')
    try {
      const reply = await withinDeadline(this.#connection.run(this.#script!, [key], args))
      this.#circuit.succeeded(sentAt)
      return (reply as readonly unknown[]).map(Number)
    } catch (error) {
      if (this.#circuit.failed(this.#clock.now())) this.#onOutage?.(error as Error)
      throw error
    }
  }
}

/** Whether Redis is worth asking: one per connection, so that an outage is found, and told, once and not per limiter. */
class Circuit {
  /** Whether `ready` has resolved. */
  isReady = false
  readonly #connection: Connection
  #ready: Promise<void> | undefined
  #isOpen = false
  /** When Redis was last seen to fail, or last tried while it did. */
  #triedAt = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  ready(): Promise<void> {
    this.#ready ??= Promise.race([this.#connection.ping(), delay(START_MS, false, { ref: false })]).then(() => {
      this.isReady = true
    })
    return this.#ready
  }

  mayAsk(now: number): boolean {
    if (!this.#isOpen) return true
    // Absolute, lest a clock that is set back keep Redis shut out until it has caught up.
    if (Math.abs(now - this.#triedAt) < RETRY_MS) return false
    this.#triedAt = now
    return true
  }

  /** Commands sent before the failure prove nothing: a server that is slow now and then would open and close all day. */
  succeeded(sentAt: number): void {
    if (sentAt >= this.#triedAt) this.#isOpen = false
  }

  /** True if an outage begins. */
  failed(now: number): boolean {
    const begins = !this.#isOpen
    this.#isOpen = true
    this.#triedAt = now
    return begins
  }
}

const circuits = new WeakMap<Connection, Circuit>()

function circuitOf(connection: Connection): Circuit {
  const circuit = circuits.get(connection) ?? new Circuit(connection)
  circuits.set(connection, circuit)
  return circuit
}

function withinDeadline<T>(reply: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const expire = (): void => reject(new RedisConnectionError(`Redis did not answer within ${DEADLINE_MS} ms`))
    // After a busy stretch timers run before the replies that lie ready in the socket; setImmediate runs after them.
    const timer = setTimeout(() => setImmediate(expire), DEADLINE_MS)
    void reply.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/**
 * What stands for a client in a count: its IPv4 address, or the /64 network of its IPv6 address, since one client owns
 * all addresses of such a network and would else have as many limits.
 */
export function clientNetwork(client: string): string {
  const ip = withoutPort(client)
  if (!isIPv6(ip)) return ip
  const [address = ''] = ip.toLowerCase().split('%')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)
  if (mapped !== null) return mapped[1]!
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = 8 - left.length - right.length - (address.includes('.') ? 1 : 0)
  const groups = [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

/** Some proxies write the client's port into X-Forwarded-For, which is another one for each connection. */
function withoutPort(client: string): string {
  const parts = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(client) ?? /^\[([^\]]+)\](?::\d+)?$/.exec(client)
  return parts?.[1] ?? client
}
