/**
 * Redis URLs, taken apart.
 *
 * By a pattern of our own, not by `URL`: that refuses a password in front of a socket's path
 * (`redis+unix://:secret@/run/redis.sock`).
 */
import { isIPv6 } from 'node:net'

/** What a URL says; what it leaves out is left to other settings. */
export interface RedisUrlParts {
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly db?: number
  readonly username?: string
  readonly password?: string
  readonly ssl?: true
}

/** What a URL may look like, for error messages. */
export const REDIS_URL_FORMAT: string =
  'redis://[user:password@]host[:port][/db], rediss:// likewise, or redis+unix://[user:password@]/path[?db=0], ' +
  'with user and password percent-encoded'

const PATTERN = /^(rediss?|redis\+unix):\/\/(?:([^/?#\s]*)@)?([^/?#\s@]*)(\/[^?#]*)?(?:\?([^#]*))?$/i
const AUTHORITY = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/
const HOST_NAME = /^[^\s/@:?#[\]]+$/

/** True for a host name or an IP address, without port and without brackets. */
export function isHost(host: string): boolean {
  return HOST_NAME.test(host) || isIPv6(host)
}

/** The parts of a Redis URL, decoded, or `undefined` if it is none. */
export function parseRedisUrl(url: unknown): RedisUrlParts | undefined {
  if (typeof url !== 'string') return undefined
  const [, scheme, userinfo = '', authority = '', path = '', query] = PATTERN.exec(url) ?? []
  const identity = parseUserinfo(userinfo)
  if (scheme === undefined || identity === undefined) return undefined
  const place = scheme.toLowerCase() === 'redis+unix' ? parseSocket : parseServer
  const parts = place(authority, path, query)
  if (parts === undefined) return undefined
  return { ...identity, ...parts, ...(scheme.toLowerCase() === 'rediss' ? { ssl: true } : undefined) }
}

/** `host:port`, `redis://host:port` or `{ host, port }`, or `undefined` if it is none or says more than that. */
export function parseNode(node: unknown, byDefault: number): { host: string; port: number } | undefined {
  const text = typeof node === 'string' ? node.trim().replace(/^redis:\/\/([^/]*)\/?$/i, '$1') : undefined
  const parts = text === undefined ? node : parseAuthority(text)
  if (typeof parts !== 'object' || parts === null) return undefined
  const { host, port = byDefault, ...more } = parts as { host?: unknown; port?: unknown }
  if (typeof host !== 'string' || !isHost(host) || Object.keys(more).length > 0) return undefined
  const isPort = typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535
  return isPort ? { host, port } : undefined
}

function parseUserinfo(userinfo: string): RedisUrlParts | undefined {
  const colon = userinfo.indexOf(':')
  const username = decode(colon === -1 ? userinfo : userinfo.slice(0, colon))
  const password = decode(colon === -1 ? '' : userinfo.slice(colon + 1))
  if (username === undefined || password === undefined) return undefined
  return { ...(username === '' ? undefined : { username }), ...(password === '' ? undefined : { password }) }
}

function parseServer(authority: string, path: string, query: string | undefined): RedisUrlParts | undefined {
  const place = parseAuthority(authority)
  const db = path === '' || path === '/' ? {} : parseDb(path.slice(1))
  return place === undefined || db === undefined || query !== undefined ? undefined : { ...place, ...db }
}

function parseAuthority(authority: string): RedisUrlParts | undefined {
  const [match, ip, name = '', digits] = AUTHORITY.exec(authority) ?? []
  const port = digits === undefined ? undefined : Number(digits)
  if (match === undefined || (port !== undefined && (port < 1 || port > 65_535))) return undefined
  if (ip === undefined ? name !== '' && !HOST_NAME.test(name) : !isIPv6(ip)) return undefined
  const host = ip ?? name
  return { ...(host === '' ? undefined : { host }), ...(port === undefined ? undefined : { port }) }
}

function parseSocket(authority: string, path: string, query: string | undefined): RedisUrlParts | undefined {
  const file = decode(path)
  if (authority !== '' || file === undefined || file.length < 2) return undefined
  if (query === undefined) return { path: file }
  const db = query.startsWith('db=') ? parseDb(query.slice(3)) : undefined
  return db === undefined ? undefined : { path: file, ...db }
}

function parseDb(digits: string): { db: number } | undefined {
  return /^\d{1,9}$/.test(digits) ? { db: Number(digits) } : undefined
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
