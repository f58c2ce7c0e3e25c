/**
 * A cluster client that the user brought (ioredis, iovalkey, node-redis): what is read off it.
 *
 * Neither tells when one of its nodes is another server than before, and each sends a command anew that was redirected;
 * so it is asked where the nodes are, how to log in and what addresses to put in the place of those that are announced,
 * and the connections are ours, one to each master, as with `redis.cluster`. The client itself is left as it is.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { CacheConfigurationError } from '../../exceptions.ts'
import type { ServerOptions } from './client.ts'
import type { Address } from './slots.ts'

/** Where a cluster is, and how to log in to its nodes. */
export interface ClusterPlace {
  /** Some of the nodes. */
  readonly nodes: readonly Address[]
  readonly login: Omit<ServerOptions, 'host' | 'port' | 'path' | 'db' | 'sentinel' | 'isClusterNode'>
  /** Where to connect to for an address that the cluster announces. */
  readonly mapAddress?: ((address: Address) => Address) | undefined
}

type Socket = Pick<ServerOptions, 'keepAlive' | 'connectTimeoutMs'>

interface NodeRedisSocket {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly tls?: boolean | undefined
}

/** What may stand in the options of either client, as far as it is looked at. */
interface NodeOptions {
  readonly url?: string | undefined
  readonly host?: string | undefined
  readonly port?: number | string | undefined
  readonly username?: string | null | undefined
  readonly password?: string | null | undefined
  readonly tls?: TlsOptions | undefined
  readonly keyPrefix?: string | undefined
  readonly socket?: NodeRedisSocket | undefined
  readonly credentialsProvider?: unknown
}

type AddressMap =
  | Readonly<Record<string, Address>>
  | ((address: string) => Address | null | undefined)
  | null
  | undefined

interface IoredisCluster {
  readonly isCluster: true
  readonly options: {
    readonly redisOptions?: NodeOptions | undefined
    readonly natMap?: AddressMap
    readonly keyPrefix?: string | undefined
    readonly useSRVRecords?: boolean | undefined
  }
  readonly startupNodes: readonly (string | number | NodeOptions)[]
}

interface NodeRedisCluster {
  readonly slots: unknown
  readonly masters: unknown
  readonly _self?: NodeRedisCluster
  readonly _options?: {
    readonly rootNodes: readonly NodeOptions[]
    readonly defaults?: NodeOptions | undefined
    readonly nodeAddressMap?: AddressMap
    readonly keyPrefix?: unknown
  }
}

const PORT = 6379

export function isClusterClient(client: unknown): client is IoredisCluster | NodeRedisCluster {
  return typeof client === 'object' && client !== null && (isIoredisCluster(client) || isNodeRedisCluster(client))
}

/** ioredis and iovalkey say so. */
function isIoredisCluster(client: object): client is IoredisCluster {
  return 'isCluster' in client && client.isCluster === true
}

/** That of node-redis is known by its slots. */
function isNodeRedisCluster(client: object): client is NodeRedisCluster {
  return 'slots' in client && 'masters' in client
}

/**
 * What is read off a cluster client, as it was made; whether it is connected makes no difference.
 *
 * @throws {CacheConfigurationError} for settings that connections of our own could not follow
 */
export function placeOf(client: IoredisCluster | NodeRedisCluster, socket: Socket): ClusterPlace {
  return isIoredisCluster(client) ? placeOfIoredis(client, socket) : placeOfNodeRedis(client, socket)
}

function placeOfIoredis({ options, startupNodes }: IoredisCluster, socket: Socket): ClusterPlace {
  const { redisOptions = {}, natMap, keyPrefix = redisOptions.keyPrefix, useSRVRecords } = options
  if (keyPrefix) throw refused('a cluster client without keyPrefix (that is cache.keyPrefix)', 'a keyPrefix')
  if (useSRVRecords) throw refused('a cluster client that names nodes; name them in redis.cluster', 'useSRVRecords')
  const nodes = startupNodes.map(nodeIn)
  // ioredis lets them stand with the nodes too.
  const known = [redisOptions, ...nodes].find(({ password }) => typeof password === 'string') ?? redisOptions
  const tls = redisOptions.tls ?? nodes.find((node) => node.tls !== undefined)?.tls
  return {
    nodes: nodes.map(addressIn),
    login: { ...socket, ...identityIn(known), ssl: tls ?? false },
    mapAddress: mapping(natMap),
  }
}

function placeOfNodeRedis(client: NodeRedisCluster, socket: Socket): ClusterPlace {
  // `withCommandOptions` makes one that inherits from the first.
  const { _self: made = client } = client
  const { _options: options } = made
  if (options === undefined) throw refused('a cluster client that shows its options; name the nodes in redis.cluster')
  const { rootNodes, defaults = {}, nodeAddressMap, keyPrefix } = options
  if (keyPrefix) throw refused('a cluster client without keyPrefix (that is cache.keyPrefix)', 'a keyPrefix')
  if (defaults.credentialsProvider !== undefined) {
    throw refused('a cluster client with username and password', 'a credentialsProvider')
  }
  const { tls = false, ...tlsOptions } = defaults.socket ?? {}
  return {
    // The settings of these are for asking them who else is there; those for all nodes are the defaults.
    nodes: rootNodes.map(({ url, socket: { host, port } = {} }) => addressIn(nodeIn(url ?? { host, port }))),
    login: { ...socket, ...identityIn(defaults), ssl: tls && tlsOnly(tlsOptions) },
    mapAddress: mapping(nodeAddressMap),
  }
}

/** node-redis keeps both in one object; what is of the socket is ours to say. */
function tlsOnly(options: object): TlsOptions {
  const ofSocket = ['host', 'port', 'path', 'keepAlive', 'keepAliveInitialDelay', 'noDelay', 'family']
  const ofClient = ['reconnectStrategy', 'connectTimeout', 'socketTimeout']
  const mine = new Set([...ofSocket, ...ofClient])
  return Object.fromEntries(Object.entries(options).filter(([name]) => !mine.has(name)))
}

function nodeIn(node: string | number | NodeOptions): NodeOptions {
  if (typeof node === 'number') return { port: node }
  const { url, ...options } = typeof node === 'string' ? { url: node } : node
  if (url === undefined) return options
  const { hostname, port, username, password, protocol } = new URL(url.includes('://') ? url : `redis://${url}`)
  return {
    host: hostname.replaceAll(/^\[|\]$/g, ''),
    port: port || PORT,
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
    ...options,
  }
}

function addressIn({ host = '127.0.0.1', port = PORT }: NodeOptions): Address {
  return { host, port: Number(port) }
}

function identityIn({ username, password }: NodeOptions): Pick<ServerOptions, 'username' | 'password'> {
  return { username: username ?? undefined, password: password ?? undefined }
}

/** Both clients know the same two forms. */
function mapping(map: AddressMap): ClusterPlace['mapAddress'] {
  if (map === undefined || map === null) return undefined
  return (address) => {
    const name = `${address.host}:${address.port}`
    return (typeof map === 'function' ? map(name) : map[name]) ?? address
  }
}

function refused(expected: string, got = 'none'): CacheConfigurationError {
  return new CacheConfigurationError([{ path: 'redis.client', expected, got }])
}
