/** From what code and environment say to the configuration in force, or to one error that lists all that is wrong. */
import { CacheConfigurationError, type ConfigurationFault } from '../exceptions.ts'
import type { ApplicationConfig, Logger } from './application-config.ts'
import type { Config, ResolvedRedisConfig, ResolvedSentinelConfig } from './config.ts'
import { readEnvironment, slips } from './env.ts'
import { isField, isPlainObject, show, showGuarded, type Field, type FieldTree } from './field.ts'
import { layer } from './layer.ts'
import { checkPlace } from './place.ts'
import { SCHEMA, type FieldPath } from './schema.ts'
import { kind, readCode, type Setting, type Settings } from './settings.ts'

/** What a configuration in force does not show. */
export interface Provenance {
  /** Somebody named the logger. */
  readonly hasLogger: boolean
  /** `redis: false`: the entries are meant to be kept in memory. */
  readonly isMemoryMeant: boolean
  /** What whoever reads the log should know of the environment. */
  readonly hints: readonly string[]
}

/** What is loaded already is taken as it is: what is absent in it stays absent, whatever the environment says. */
const LOADED = new WeakMap<object, Provenance>()

/** Where Redis is and who we are; a client of the user's knows that already. */
const PLACE: readonly FieldPath[] = [
  'redis.url',
  'redis.host',
  'redis.port',
  'redis.path',
  'redis.cluster',
  'redis.sentinel.name',
  'redis.sentinel.nodes',
  'redis.sentinel.username',
  'redis.sentinel.password',
  'redis.db',
  'redis.username',
  'redis.password',
  'redis.ssl',
]

/**
 * The configuration in force, complete, checked and frozen: what `explicit` says, else the environment, else defaults.
 *
 * Durations in it are seconds, sizes are bytes. It may be handed on wherever an `ApplicationConfig` is taken.
 *
 * @param env the environment variables; default `process.env`
 * @param explicit the configuration in code; default none
 * @throws {CacheConfigurationError} that lists every fault of code and environment
 * @example
 * loadConfig({ CACHE_DEFAULT_TTL: '5m' }).cache.defaultTtl // 300
 */
export function loadConfig(env: NodeJS.ProcessEnv = process.env, explicit: ApplicationConfig = {}): Config {
  if (LOADED.has(explicit)) return explicit as Config
  if (!isPlainObject(explicit)) {
    const isText = typeof (explicit as unknown) === 'string'
    const expected = isText ? 'an object, { redis: { url: … } } for a URL' : 'an object'
    throw new CacheConfigurationError([{ path: 'config', expected, got: kind(explicit) }])
  }
  const { redis } = explicit
  const faults: ConfigurationFault[] = []
  const code = readCode(explicit, faults)
  refuseContradictions(code, redis, faults)
  const mayAskRedis = redis !== false && !code.has('store') && !code.has('redis.client')
  const settings = layer(code, readEnvironment(env, mayAskRedis), faults)
  const hints = slips(env, mayAskRedis)
  checkPlace(settings, faults)

  const resolved = resolve(SCHEMA, '', { settings, faults })
  const cache = withTtlInRange(resolved.cache, settings, faults)
  if (faults.length > 0) throw new CacheConfigurationError(faults)
  const isRedisAsked = isPlainObject(redis) || [...settings.keys()].some((path) => path.startsWith('redis.'))
  const config = { ...resolved, redis: isRedisAsked ? either(resolved.redis) : undefined, cache }
  return freeze(config, { hasLogger: code.has('logger'), isMemoryMeant: redis === false, hints })
}

/** What is known of a configuration that `loadConfig` returned. */
export function provenanceOf(config: Config): Provenance {
  return LOADED.get(config) ?? { hasLogger: true, isMemoryMeant: false, hints: [] }
}

/** The same configuration, loaded or not, which logs to `logger` unless it names one itself. */
export function withLogger(config: ApplicationConfig | undefined, logger: Logger): ApplicationConfig {
  // What is none is left for `loadConfig` to refuse.
  if (config !== undefined && !isPlainObject(config)) return config
  const provenance = config && LOADED.get(config)
  if (provenance === undefined) return config?.logger === undefined ? { ...config, logger } : config
  return provenance.hasLogger ? config! : freeze({ ...(config as Config), logger }, provenance)
}

/** What the fields of a schema resolve to. */
type Resolved<Tree> = {
  [Name in keyof Tree]: Tree[Name] extends Field<infer Out> ? Out : Resolved<Tree[Name]>
}

interface Given {
  readonly settings: ReadonlyMap<string, Setting>
  readonly faults: ConfigurationFault[]
}

/** Every field's value in force. A refused one is undefined, which no comparison holds for; the error follows. */
function resolve<Tree extends FieldTree>(tree: Tree, prefix: string, given: Given): Resolved<Tree> {
  const values = Object.entries(tree).map(([name, node]) => {
    const path = prefix + name
    return [name, isField(node) ? valueOf(node, path, given) : resolve(node, `${path}.`, given)]
  })
  return Object.fromEntries(values) as Resolved<Tree>
}

function valueOf(field: Field, path: string, { settings, faults }: Given): unknown {
  const setting = settings.get(path)
  if (setting === undefined) return field.default
  const value = field.parse(setting.value)
  if (value === undefined) {
    const shown = path.startsWith('redis.') ? showGuarded(setting.value, field) : show(setting.value, field)
    const expected = (setting.isText && field.expectedText) ?? field.expected
    faults.push({ path: setting.name, expected, got: shown })
  }
  return value
}

function refuseContradictions(code: Settings, redis: unknown, faults: ConfigurationFault[]): void {
  const refuse = (path: string, other: string): void => {
    faults.push({ path, expected: `not to be set beside ${other}`, got: 'both' })
  }
  if (code.has('store') && isPlainObject(redis)) refuse('redis', 'store')
  if (!code.has('redis.client')) return
  for (const path of PLACE) if (code.has(path)) refuse(path, 'redis.client')
}

/** A client of the user's, or all that a connection of our own needs. */
function either(redis: Resolved<typeof SCHEMA.redis>): ResolvedRedisConfig {
  const { client, url: _url, host, port, path, cluster, sentinel, db, username, password, ssl, ...behaviour } = redis
  if (client !== undefined) return { client, ...behaviour }
  const place = { host, port, path, cluster, sentinel: whole(sentinel) }
  return { ...place, db, username, password, ssl, ...behaviour }
}

/** Checked already: either both are there, or nothing is. */
function whole({ name, nodes, ...login }: Resolved<typeof SCHEMA.redis.sentinel>): ResolvedSentinelConfig | undefined {
  return name === undefined || nodes === undefined ? undefined : { name, nodes, ...login }
}

type ResolvedCache = Config['cache']

/** A default that nobody asked for gives way to `maxTtl`; one that somebody wrote contradicts it. */
function withTtlInRange(cache: ResolvedCache, settings: Settings, faults: ConfigurationFault[]): ResolvedCache {
  const setting = settings.get('cache.defaultTtl')
  if (setting === undefined) return { ...cache, defaultTtl: Math.min(cache.defaultTtl, cache.maxTtl) }
  if (cache.defaultTtl > cache.maxTtl) {
    const expected = `at most cache.maxTtl (${cache.maxTtl} s)`
    faults.push({ path: setting.name, expected, got: `${cache.defaultTtl} s` })
  }
  return cache
}

/** Frozen down to what belongs to others: clients, stores, clocks, loggers, TLS options. */
function freeze(config: Config, provenance: Provenance): Config {
  Object.freeze(config.cache.memory)
  Object.freeze(config.cache)
  Object.freeze(config.redis)
  LOADED.set(Object.freeze(config), provenance)
  return config
}
