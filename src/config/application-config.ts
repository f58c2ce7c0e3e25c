/** What people write to configure the cache. Every option may be left out; schema.ts holds the same options as a table. */
import type { Clock } from '../clock.ts'
import type { Store } from '../stores/store.ts'
import type { CacheConfig } from './cache-config.ts'
import type { RedisConfig } from './redis-config.ts'

/**
 * The configuration of a cache, as `createCache` and `loadConfig` take it.
 *
 * For each option: what the code says, else what the environment says, else the default.
 *
 * @example
 * createCache({ redis: { url: 'redis://localhost:6379/0' }, cache: { defaultTtl: '5m' } })
 */
export interface ApplicationConfig {
  /**
   * The name of the place the process runs in; in `'production'` the management routes must be guarded.
   *
   * Default `'development'`. Environment: `ENVIRONMENT`, else `NODE_ENV`.
   *
   * @example
   * createCache({ environment: 'staging' })
   */
  environment?: string | undefined
  /**
   * Log, with `logger.info`, each load and how long it took, loads that are refused and why, and invalidations.
   *
   * Default `false`. Environment: `DEBUG`, where anything but true and false is ignored (npm's `DEBUG=app:*`).
   *
   * @example
   * createCache({ debug: true })
   */
  debug?: boolean | undefined
  /**
   * The Redis to store entries in; `false` for the embedded memory store even if `REDIS_*` variables are set.
   *
   * Default: the embedded memory store, unless any `REDIS_*` variable is set.
   *
   * @example
   * createCache({ redis: { host: 'localhost' } })
   */
  redis?: RedisConfig | false | undefined
  /** How the cache behaves. */
  cache?: CacheConfig | undefined
  /**
   * A store of your own, instead of Redis or memory; `REDIS_*` variables are ignored then.
   *
   * Default: none.
   *
   * @example
   * createCache({ store: new MyStore() })
   */
  store?: Store | undefined
  /**
   * What tells the time: `now()` decides freshness, `passed()` in memory when leases and holds end.
   *
   * Default: the clock of this machine.
   *
   * @example
   * createCache({ clock: { now: () => Date.now() } })
   */
  clock?: Clock | undefined
  /**
   * Where messages to the operator go.
   *
   * Default: `console`.
   *
   * @example
   * createCache({ logger: app.log })
   */
  logger?: Logger | undefined
}

/** What the cache needs of a logger; `console`, pino and Fastify's logger satisfy it. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}
