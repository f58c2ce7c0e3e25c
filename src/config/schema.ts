/** Every setting there is, once: its kind, its default and its range. The types make it match what people may write. */
import * as zlib from 'node:zlib'
import type { ConnectionOptions } from 'node:tls'
import { systemClock, type Clock } from '../clock.ts'
import type { Duration } from '../duration.ts'
import type { Store } from '../stores/store.ts'
import type { ApplicationConfig, Logger } from './application-config.ts'
import type { CacheConfig, L1Config, MemoryConfig } from './cache-config.ts'
import type {
  Config,
  RedisConnectionConfig,
  ResolvedCacheConfig,
  ResolvedL1Config,
  ResolvedMemoryConfig,
  ResolvedNodeAddress,
  ResolvedSentinelConfig,
} from './config.ts'
import {
  BOOLEAN_FORMAT,
  bytes,
  choice,
  duration,
  flag,
  flagOrOptions,
  integer,
  isField,
  isPlainObject,
  object,
  secret,
  show,
  text,
  type Field,
  type FieldOf,
  type FieldTree,
} from './field.ts'
import type { NodeAddress, RedisClient, RedisConfig, SentinelConfig } from './redis-config.ts'
import { isHost, parseNode, parseRedisUrl, REDIS_URL_FORMAT, type RedisUrlParts } from './redis-url.ts'

/** A field for each option of `In`, of exactly its type, that resolves to the field of the same name in `Out`. */
type Fields<In, Out> = {
  readonly [Name in keyof Required<In>]: FieldOf<
    Exclude<In[Name], undefined>,
    Name extends keyof Out ? Out[Name] : unknown
  >
}

interface RedisParts extends Omit<RedisConnectionConfig, 'client' | 'sentinel'> {
  readonly client: RedisClient | undefined
  readonly url: RedisUrlParts | undefined
}

type Schema = Fields<Omit<ApplicationConfig, 'redis' | 'cache'>, Config> & {
  readonly redis: Fields<Omit<RedisConfig, 'sentinel'>, RedisParts> & {
    readonly sentinel: Fields<SentinelConfig, Partial<ResolvedSentinelConfig>>
  }
  readonly cache: Fields<Omit<CacheConfig, 'memory'>, ResolvedCacheConfig> & {
    readonly memory: Fields<MemoryConfig, ResolvedMemoryConfig>
  }
}

/** Where a setting stands: `cache.memory.maxBytes`. */
export type FieldPath =
  | Exclude<keyof ApplicationConfig, 'redis' | 'cache'>
  | `redis.${Exclude<keyof RedisConfig, 'sentinel'>}`
  | `redis.sentinel.${keyof SentinelConfig}`
  | `cache.${Exclude<keyof CacheConfig, 'memory'>}`
  | `cache.memory.${keyof MemoryConfig}`

/** Beyond 2^31 ms a timer of Node fires at once. */
const TIMER: readonly [Duration, Duration] = ['1ms', '24d']
const TIMER_OR_OFF: readonly [Duration, Duration] = ['0s', '24d']
/** A hundred years; Redis refuses expiries that do not fit its clock. */
const TTL: readonly [Duration, Duration] = ['1ms', '36500d']

const redisUrl: FieldOf<string, RedisUrlParts | undefined> = {
  ...text(undefined, REDIS_URL_FORMAT),
  default: undefined,
  parse: parseRedisUrl,
  secret: true,
}

/** Addresses of nodes: what else a URL may say holds for all of them, and has a setting. */
function nodes(port: number): FieldOf<readonly NodeAddress[], readonly ResolvedNodeAddress[] | undefined> {
  return {
    expected: `one or more nodes, each 'host:port', 'redis://host:port' or { host, port }, without user and password`,
    default: undefined,
    parse: (value) => {
      if (!Array.isArray(value) || value.length === 0) return undefined
      const parsed = value.map((node: unknown) => parseNode(node, port))
      return parsed.every((node) => node !== undefined) ? parsed : undefined
    },
    fromText: (raw) => raw.split(','),
    secret: true,
  }
}

const STALENESS = duration(0.5, ['20ms', '2s'])
const TRUE_OR_FALSE = flag(false)

const l1: FieldOf<boolean | L1Config, false | ResolvedL1Config> = {
  expected: `true, false or { maxStaleness }, which is ${STALENESS.expected}`,
  default: false,
  parse: (value) => {
    if (typeof value === 'boolean') return value && { maxStaleness: STALENESS.default }
    if (!isPlainObject(value) || Object.keys(value).some((name) => name !== 'maxStaleness')) return undefined
    const { maxStaleness: given = STALENESS.default } = value as { maxStaleness?: unknown }
    const maxStaleness = STALENESS.parse(given)
    return maxStaleness === undefined ? undefined : { maxStaleness }
  },
  expectedText: `${BOOLEAN_FORMAT}, or ${STALENESS.expected}`,
  show: (value) => {
    if (!isPlainObject(value)) return undefined
    return `{ ${Object.entries(value)
      .map(([name, given]) => `${name}: ${show(given)}`)
      .join(', ')} }`
  },
  fromText: (raw) => {
    const value = TRUE_OR_FALSE.fromText(raw)
    if (typeof value === 'boolean') return value
    const maxStaleness = STALENESS.fromText(raw)
    return STALENESS.parse(maxStaleness) === undefined ? raw : { maxStaleness }
  },
  secret: false,
}

const isKeyPrefix = (prefix: string): boolean => prefix !== '' && prefix.isWellFormed() && !/[{}]/.test(prefix)

export const SCHEMA: Schema = {
  environment: text('development'),
  debug: flag(false),
  redis: {
    url: redisUrl,
    host: text('localhost', 'a host name or an IP address, without port', isHost),
    port: integer(6379, 1, 65_535),
    path: text(undefined),
    cluster: nodes(6379),
    sentinel: { name: text(undefined), nodes: nodes(26_379), username: text(undefined), password: secret() },
    db: integer(0, 0),
    username: text(undefined),
    password: secret(),
    ssl: flagOrOptions<ConnectionOptions>(false, "true, false or the options of Node's tls.connect"),
    socketTimeout: duration(5, TIMER),
    socketConnectTimeout: duration(5, TIMER),
    socketKeepalive: flag(true),
    healthCheckInterval: duration(30, TIMER_OR_OFF),
    maxConnections: integer(50, 1),
    decodeResponses: flag(true),
    onFailover: choice(['invalidate', 'trust']),
    failFast: flag(false),
    client: {
      ...object<RedisClient, undefined>(undefined, 'one client of ioredis, iovalkey or node-redis, not a pool', {
        sendCommand: true,
        duplicate: true,
        on: true,
      }),
      show: showPool,
    },
  },
  cache: {
    defaultTtl: duration(3600, TTL),
    maxTtl: duration(86_400, TTL),
    keyPrefix: text('cache:', 'a non-empty string of well-formed Unicode without { and }', isKeyPrefix),
    compressionEnabled: flag(false),
    compressionThreshold: bytes(1024, 0),
    compressionAlgorithm: choice(['gzip', 'brotli', 'zstd'], {
      choice: 'zstd',
      needs: 'Node 22.15 or later',
      isThere: 'zstdCompress' in zlib,
    }),
    strategy: choice(['LRU', 'FIFO']),
    enableStatistics: flag(true),
    memory: {
      maxEntries: integer(10_000, 1),
      maxBytes: bytes(64 * 1024 * 1024, 1),
    },
    l1,
    onError: choice(['serve', 'throw']),
    leaseTime: duration(5, TIMER),
    waitTime: duration(10, TIMER),
    signingKey: secret('a string of at least 16 characters', (key) => key.length >= 16),
  },
  store: object<Store, undefined>(undefined, 'a store', {
    read: true,
    acquire: true,
    extend: true,
    fill: true,
    release: true,
    set: true,
    remove: true,
    times: true,
    expire: true,
    invalidate: true,
    watch: true,
    ping: true,
    listen: true,
    close: true,
  }),
  clock: object<Clock, Clock>(systemClock, 'a clock', { now: true }),
  logger: object<Logger, Logger>(console, 'a logger', { info: true, warn: true, error: true }),
}

/** What a client is that the cache has no use for, as a fault names it. */
function showPool(value: unknown): string | undefined {
  const isPool = typeof value === 'object' && value !== null && 'totalClients' in value && 'execute' in value
  return isPool ? 'a pool of node-redis (createClientPool), where createClient is enough' : undefined
}

/** Every field by its path, sections dissolved. */
export const FIELDS: ReadonlyMap<string, Field> = new Map(leaves(SCHEMA, ''))

function* leaves(tree: FieldTree, prefix: string): Generator<[path: string, Field]> {
  for (const [name, node] of Object.entries(tree)) {
    if (isField(node)) yield [prefix + name, node]
    else yield* leaves(node, `${prefix}${name}.`)
  }
}
