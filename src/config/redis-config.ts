/** The `redis` section of what people write: which Redis, and how to talk to it. */
import type { ConnectionOptions } from 'node:tls'
import type { Duration } from '../duration.ts'

/** A client of your own, of ioredis, iovalkey or node-redis, also of a cluster; told by these methods. */
export interface RedisClient {
  sendCommand: (...args: never) => unknown
  duplicate: (...args: never) => unknown
  on: (...args: never) => unknown
}

/** Where a node listens: `'host:port'`, `'redis://host:port'` or `{ host, port }`; without a port, the usual one. */
export type NodeAddress = string | { readonly host: string; readonly port?: number | undefined }

/** How to find the primary through Redis Sentinel. */
export interface SentinelConfig {
  /**
   * The name under which the sentinels know the primary.
   *
   * Default: none. Environment: `REDIS_SENTINEL_NAME`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['sentinel-1.example.com:26379'] } } })
   */
  name?: string | undefined
  /**
   * The sentinels, as `'host:port'` or `{ host, port }`; those that do not answer are passed over.
   *
   * Default: none. Environment: `REDIS_SENTINELS`, separated by commas.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1:26379', '10.0.0.2:26379'] } } })
   */
  nodes?: readonly NodeAddress[] | undefined
  /**
   * The user to sign in to the sentinels as; `redis.username` is that of Redis.
   *
   * Default: none. Environment: `REDIS_SENTINEL_USERNAME`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1'], username: 'app', password: process.env.SECRET } } })
   */
  username?: string | undefined
  /**
   * The password to sign in to the sentinels with; no error message shows it.
   *
   * Default: none. Environment: `REDIS_SENTINEL_PASSWORD`.
   *
   * @example
   * createCache({ redis: { sentinel: { name: 'cache', nodes: ['10.0.0.1'], password: process.env.SECRET } } })
   */
  password?: string | undefined
}

/** Which Redis, and how to talk to it. `{}` is the Redis on this machine. */
export interface RedisConfig {
  /**
   * Where Redis is: `redis://`, `rediss://` (TLS) or `redis+unix://` (a socket file); the options below go before its parts.
   *
   * Default: none. Environment: `REDIS_URL`. User and password are percent-decoded.
   *
   * @example
   * createCache({ redis: { url: 'rediss://app:p%40ss@redis.example.com:6380/2' } })
   */
  url?: string | undefined
  /**
   * The host name or IP address.
   *
   * Default `'localhost'`. Environment: `REDIS_HOST`.
   *
   * @example
   * createCache({ redis: { host: 'redis.example.com' } })
   */
  host?: string | undefined
  /**
   * The TCP port, 1 to 65535.
   *
   * Default 6379. Environment: `REDIS_PORT`.
   *
   * @example
   * createCache({ redis: { port: 6380 } })
   */
  port?: number | undefined
  /**
   * The path of a unix socket; `host` and `port` are not used then.
   *
   * Default: none.
   *
   * @example
   * createCache({ redis: { path: '/run/redis/redis.sock' } })
   */
  path?: string | undefined
  /**
   * Some nodes of a Redis Cluster, as `'host:port'` or `{ host, port }`; the others are found through them.
   *
   * Default: none. Environment: `REDIS_CLUSTER_NODES`, separated by commas. Instead of `url`, `host` and the like; what says
   * how to log in holds for all nodes.
   *
   * @example
   * createCache({ redis: { cluster: ['redis-1.example.com:6379', 'redis-2.example.com:6379'] } })
   */
  cluster?: readonly NodeAddress[] | undefined
  /** Redis behind Sentinel, which says where the primary is; instead of `url`, `host` and the like. */
  sentinel?: SentinelConfig | undefined
  /**
   * The number of the database, from 0; 0 on Cluster.
   *
   * Default 0. Environment: `REDIS_DB`.
   *
   * @example
   * createCache({ redis: { db: 2 } })
   */
  db?: number | undefined
  /**
   * The user to sign in as (Redis ACL).
   *
   * Default: none. Environment: `REDIS_USERNAME`.
   *
   * @example
   * createCache({ redis: { username: 'app', password: process.env.SECRET } })
   */
  username?: string | undefined
  /**
   * The password to sign in with; no error message shows it.
   *
   * Default: none. Environment: `REDIS_PASSWORD`.
   *
   * @example
   * createCache({ redis: { password: process.env.SECRET } })
   */
  password?: string | undefined
  /**
   * TLS: `true`, or the options of Node's `tls.connect`.
   *
   * Default `false`. Environment: `REDIS_SSL`.
   *
   * @example
   * createCache({ redis: { ssl: { ca: readFileSync('ca.pem') } } })
   */
  ssl?: boolean | ConnectionOptions | undefined
  /**
   * The deadline of one command, in seconds or with a unit, at most 24 days.
   *
   * Default 5 s. Environment: `REDIS_SOCKET_TIMEOUT`.
   *
   * @example
   * createCache({ redis: { socketTimeout: '250ms' } })
   */
  socketTimeout?: Duration | undefined
  /**
   * How long connecting may take, in seconds or with a unit, at most 24 days.
   *
   * Default 5 s. Environment: `REDIS_SOCKET_CONNECT_TIMEOUT`. No effect with the `client` of one server.
   *
   * @example
   * createCache({ redis: { socketConnectTimeout: '2s' } })
   */
  socketConnectTimeout?: Duration | undefined
  /**
   * TCP keep-alive on the connections to Redis.
   *
   * Default `true`. Environment: `REDIS_SOCKET_KEEPALIVE`. No effect with the `client` of one server.
   *
   * @example
   * createCache({ redis: { socketKeepalive: false } })
   */
  socketKeepalive?: boolean | undefined
  /**
   * How often a connection is asked whether its server is there and still the primary, in seconds or with a unit; no
   * answer: it is replaced. 0 is off.
   *
   * Default 30 s. Environment: `REDIS_HEALTH_CHECK_INTERVAL`. No effect with the `client` of one server.
   *
   * @example
   * createCache({ redis: { healthCheckInterval: '1m' } })
   */
  healthCheckInterval?: Duration | undefined
  /**
   * How many connections there may be, from 1. One serves until it is saturated, further ones open on demand.
   *
   * Default 50. Environment: `REDIS_MAX_CONNECTIONS`. No effect with the `client` of one server.
   *
   * @example
   * createCache({ redis: { maxConnections: 4 } })
   */
  maxConnections?: number | undefined
  /**
   * What to return for a value that another program stored as a plain string: a string, or with `false` a Buffer.
   *
   * Default `true`. Environment: `REDIS_DECODE_RESPONSES`.
   *
   * @example
   * createCache({ redis: { decodeResponses: false } })
   */
  decodeResponses?: boolean | undefined
  /**
   * What it means when another server answers than before (restart, failover): it may have forgotten invalidations, so
   * `'invalidate'` makes all entries invalid; `'trust'` keeps them.
   *
   * Default `'invalidate'`. Environment: `REDIS_ON_FAILOVER`.
   *
   * @example
   * createCache({ redis: { host: 'localhost', onFailover: 'trust' } })
   */
  onFailover?: 'invalidate' | 'trust' | undefined
  /**
   * Refuse to start without Redis: `cache.ready()`, which `setupCache` calls before the application listens, rejects if it
   * cannot be reached.
   *
   * Default `false`: the application comes up, and the cache joins in when Redis does. Environment: `REDIS_FAIL_FAST`.
   *
   * @example
   * createCache({ redis: { host: 'localhost', failFast: true } })
   */
  failFast?: boolean | undefined
  /**
   * A client of your own, of ioredis, iovalkey or node-redis, never closed by the cache; what says where Redis is cannot
   * stand beside it. Of a cluster's client the nodes and the login are taken, for connections of the cache's own.
   *
   * Default: none. The `REDIS_*` variables are ignored with it. `undefined` is refused: a client was meant to be there.
   *
   * @example
   * createCache({ redis: { client: new Redis() } })
   */
  client?: RedisClient
}
