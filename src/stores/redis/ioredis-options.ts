/** The options of every ioredis client of our own. */
import type { RedisOptions } from 'ioredis'
import type { ServerOptions } from './client.ts'

/** How long a connection that is being closed may linger for the server's half of the goodbye. */
const GOODBYE_MS = 100
const KEEP_ALIVE_DELAY_MS = 30_000

/** Where a server is, and who we are there, as ioredis wants it. */
export function serverOptions(server: ServerOptions): Omit<RedisOptions, 'replyMapping'> {
  const { ssl, username, password } = server
  return {
    ...placeOf(server),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(ssl !== false && { tls: ssl === true ? {} : ssl }),
    db: server.db,
    connectTimeout: server.connectTimeoutMs,
    connectionName: 'tidemark',
  }
}

function placeOf({
  host,
  port,
  path,
  sentinel,
  ssl,
  connectTimeoutMs,
}: ServerOptions): Omit<RedisOptions, 'replyMapping'> {
  if (sentinel === undefined) return path === undefined ? { host, port } : { path }
  const { name, nodes, username, password } = sentinel
  return {
    name,
    sentinels: [...nodes],
    // ioredis goes on where it ended the last time: all of them have been asked after a second round.
    sentinelRetryStrategy: (rounds) => (rounds === 1 ? 0 : null),
    sentinelCommandTimeout: connectTimeoutMs,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(ssl !== false && { enableTLSForSentinelMode: true, sentinelTLS: ssl === true ? {} : ssl }),
  }
}

/** How every client of our own behaves. */
export const BEHAVIOUR: Omit<RedisOptions, 'replyMapping'> = {
  disconnectTimeout: GOODBYE_MS,
  keepAlive: KEEP_ALIVE_DELAY_MS,
  lazyConnect: true,
  retryStrategy: null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  // RESP2: what we send has the same replies in both, and proxies that know no HELLO are out there.
  protocol: 2,
  // INFO, which restricted users may not call. `#verify` does what it is for.
  enableReadyCheck: false,
  disableClientInfo: true,
}
