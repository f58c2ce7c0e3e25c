/** The environment variables: which setting each one stands for, and how they are read. */
import { closest } from '../closest.ts'
import { FIELDS, type FieldPath } from './schema.ts'
import type { Settings } from './settings.ts'

type CodeOnly = 'store' | 'clock' | 'logger' | 'redis.client' | 'redis.path'

/** Where two variables stand for one setting, the first that is set counts. */
export const VARIABLES: Readonly<Record<string, Exclude<FieldPath, CodeOnly>>> = {
  ENVIRONMENT: 'environment',
  NODE_ENV: 'environment',
  DEBUG: 'debug',
  REDIS_URL: 'redis.url',
  REDIS_HOST: 'redis.host',
  REDIS_PORT: 'redis.port',
  REDIS_CLUSTER_NODES: 'redis.cluster',
  REDIS_SENTINEL_NAME: 'redis.sentinel.name',
  REDIS_SENTINELS: 'redis.sentinel.nodes',
  REDIS_SENTINEL_USERNAME: 'redis.sentinel.username',
  REDIS_SENTINEL_PASSWORD: 'redis.sentinel.password',
  REDIS_DB: 'redis.db',
  REDIS_USERNAME: 'redis.username',
  REDIS_PASSWORD: 'redis.password',
  REDIS_SSL: 'redis.ssl',
  REDIS_SOCKET_TIMEOUT: 'redis.socketTimeout',
  REDIS_SOCKET_CONNECT_TIMEOUT: 'redis.socketConnectTimeout',
  REDIS_SOCKET_KEEPALIVE: 'redis.socketKeepalive',
  REDIS_HEALTH_CHECK_INTERVAL: 'redis.healthCheckInterval',
  REDIS_MAX_CONNECTIONS: 'redis.maxConnections',
  REDIS_DECODE_RESPONSES: 'redis.decodeResponses',
  REDIS_ON_FAILOVER: 'redis.onFailover',
  REDIS_FAIL_FAST: 'redis.failFast',
  CACHE_DEFAULT_TTL: 'cache.defaultTtl',
  CACHE_MAX_TTL: 'cache.maxTtl',
  CACHE_KEY_PREFIX: 'cache.keyPrefix',
  CACHE_COMPRESSION_ENABLED: 'cache.compressionEnabled',
  CACHE_COMPRESSION_THRESHOLD: 'cache.compressionThreshold',
  CACHE_COMPRESSION_ALGORITHM: 'cache.compressionAlgorithm',
  CACHE_STRATEGY: 'cache.strategy',
  CACHE_ENABLE_STATISTICS: 'cache.enableStatistics',
  CACHE_MEMORY_MAX_ENTRIES: 'cache.memory.maxEntries',
  CACHE_MEMORY_MAX_BYTES: 'cache.memory.maxBytes',
  CACHE_L1: 'cache.l1',
  CACHE_ON_ERROR: 'cache.onError',
  CACHE_LEASE_TIME: 'cache.leaseTime',
  CACHE_WAIT_TIME: 'cache.waitTime',
  CACHE_SIGNING_KEY: 'cache.signingKey',
}

/** What the environment says. An empty variable is not set; without `redis` the `REDIS_*` variables do not count. */
export function readEnvironment(env: NodeJS.ProcessEnv, redis: boolean): Settings {
  const settings: Settings = new Map()
  const counts = (variable: string): boolean => redis || !variable.startsWith('REDIS_')
  for (const [variable, path] of Object.entries(VARIABLES)) {
    const text = env[variable]
    if (text === undefined || text === '' || settings.has(path) || !counts(variable)) continue
    // DEBUG also belongs to npm's debug package, as DEBUG=app:*.
    if (variable === 'DEBUG' && !/^(true|false)$/i.test(text)) continue
    settings.set(path, { name: variable, value: FIELDS.get(path)?.fromText(text), isText: true })
  }
  return settings
}

/**
 * What to tell of variables that are one of ours but for a slip: they mean nothing, and nobody would know. Names that are
 * near none of ours are left alone; Kubernetes sets dozens for a service called redis. Values are not shown.
 */
export function slips(env: NodeJS.ProcessEnv, redis: boolean): string[] {
  return Object.keys(env).flatMap((variable) => {
    const [, prefix] = /^(CACHE_|REDIS_)./.exec(variable) ?? []
    if (prefix === undefined || Object.hasOwn(VARIABLES, variable)) return []
    if (prefix === 'REDIS_' && !redis) return []
    const names = Object.keys(VARIABLES).flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []))
    const meant = closest(variable.slice(prefix.length), names)
    return meant === undefined ? [] : [`the variable ${variable} means nothing: did you mean ${prefix}${meant}?`]
  })
}
