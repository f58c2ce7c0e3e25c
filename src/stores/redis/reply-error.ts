/** What a failed command becomes: an error reply of Redis, or the fault of a connection. Never with arguments in it. */
import { RedisConnectionError, RedisReplyError, type CacheException } from '../../exceptions.ts'

/** An error reply begins with its code; errors of Node and of the clients do not. */
const REPLY_CODE = /^([A-Z][A-Z0-9]+) /

/** Redis 6 wraps what a script was refused: `ERR Error running script (call to f_...): @user_script: 1: -READONLY ...`. */
const SCRIPT_REPLY_CODE = /^ERR Error running script .*?: -?([A-Z][A-Z0-9]+) /s

/** Redis is there and serves nobody, or not us; a replica takes no writes, and what it has to read may be out of date. */
const UNAVAILABLE = new Set(['LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'NOAUTH', 'WRONGPASS', 'READONLY'])

/** Those of them that are not about us. */
const SERVES_NOBODY = new Set(['LOADING', 'MASTERDOWN', 'CLUSTERDOWN', 'READONLY'])

const REDIRECTIONS: ReadonlySet<string> = new Set(['MOVED', 'ASK', 'TRYAGAIN'])

/** "unknown command 'X', with args beginning with: ..." quotes what may be a cached value. */
const QUOTED_ARGUMENTS = /,? with args beginning with:.*$/s

/** Redis 6 wraps what a script was refused, Redis 7 says behind it which script that was: for who writes scripts, not for who runs ours. */
const SCRIPT_WRAPPING = /^ERR Error running script .*?: -(?=[A-Z][A-Z0-9]+ )/s
const SCRIPT_NAME = / script: [0-9a-f]{40}, on @user_script:\d+\.?$/

/** What the parsers of ioredis 6 and node-redis say of bytes that begin no reply, and what that of ioredis 5 says. */
const UNKNOWN_TYPE = /^Unknown RESP type (\d+)/
const UNKNOWN_TYPE_BEFORE = /^Protocol error, got (".+") as reply type byte/

/** What OpenSSL says of an answer in plain text, with the file and the line where it does. */
const NO_TLS = /wrong version number|packet length too long|record layer failure/

/** What Node says of a certificate that none of the authorities it knows vouches for. */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** TLS to a port without it: Redis waits for the end of a line. */
export const NO_HANDSHAKE =
  'it takes the connection and does not answer the TLS handshake; if this is a plain port, use redis:// without redis.ssl'
const NO_ANSWER =
  'it took the connection and ended it without an answer; if this port wants TLS, use rediss:// or redis.ssl'

/** The code of an error reply; undefined if the error is none. */
export function replyCodeOf({ message }: Error): string | undefined {
  return (SCRIPT_REPLY_CODE.exec(message) ?? REPLY_CODE.exec(message))?.[1]
}

/** On Cluster: the slot is elsewhere, or between two nodes. Nothing was executed. */
export function isRedirection(error: unknown): error is RedisReplyError {
  return error instanceof RedisReplyError && REDIRECTIONS.has(error.replyCode)
}

/** True if a server answered that it does not serve us: not what we ask for, but everything. */
export function isUnserved(error: Error): boolean {
  return UNAVAILABLE.has(replyCodeOf(error) ?? '')
}

/** True if PING was refused by a server that reads as ever: one that cannot write its dump, on a full disk for example. */
export function isReadable(error: unknown): boolean {
  if (error instanceof RedisReplyError) return error.replyCode === 'MISCONF'
  return error instanceof Error && replyCodeOf(error) === 'MISCONF'
}

/** True if a client of the user's gave a command up by itself: `commandTimeout` of ioredis and iovalkey. */
export function isGivenUp({ message }: Error): boolean {
  return message === 'Command timed out'
}

/** The exception for a command that failed. */
export function toException(error: Error, command: string, redis: string): CacheException {
  const replyCode = replyCodeOf(error)
  if (isGivenUp(error)) return new RedisConnectionError(`${redis} did not answer ${command} within its commandTimeout`)
  if (replyCode === undefined) {
    const cause = withoutArguments(error)
    return new RedisConnectionError(`${redis} was lost before it answered ${command}: ${reasonOf(cause)}`, { cause })
  }
  const reason = withoutScript(withoutArguments(error).message)
  if (UNAVAILABLE.has(replyCode)) return new RedisConnectionError(`${redis} did not serve ${command}: ${reason}`)
  return new RedisReplyError(`${redis} refused ${command}: ${reason}`, replyCode)
}

/** The exception for a command that was not sent, because of what came of the connection. */
export function outOfReach(redis: string, cause: Error | undefined): RedisConnectionError {
  if (cause === undefined) return new RedisConnectionError(`${redis} cannot be reached`)
  const reason = reasonOf(cause)
  // It was reached, and does not want us: a wrong password, or a database that it has not.
  const replyCode = replyCodeOf(cause)
  if (replyCode !== undefined && !SERVES_NOBODY.has(replyCode))
    return new RedisConnectionError(`${redis} refused the connection: ${reason}`, { cause })
  const isOwnWord = cause instanceof RedisConnectionError && reason.startsWith(`${redis} `)
  const why = isOwnWord ? `it ${reason.slice(redis.length + 1)}` : reason
  return new RedisConnectionError(`${redis} cannot be reached: ${why}`, { cause })
}

/** The exception for a command that was not answered in time. */
export function tooLate(command: string, link: TooLateOptions): RedisConnectionError {
  const { name, commandTimeoutMs, obstacle } = link
  const why = obstacle === undefined ? '' : `: ${obstacle}`
  return new RedisConnectionError(`${name} did not answer ${command} within ${commandTimeoutMs} ms${why}`)
}

interface TooLateOptions {
  readonly name: string
  readonly commandTimeoutMs: number
  readonly obstacle: string | undefined
}

/** Why a server has ended a plain connection on which it had said nothing: a port that wants TLS does so. */
export function unanswered(cause: Error): Error {
  return new Error(`${cause.message} (${NO_ANSWER})`, { cause })
}

/** The exception for a connection that has just been lost. */
export function lost(redis: string, cause: Error): RedisConnectionError {
  return new RedisConnectionError(`${redis} was lost: ${reasonOf(cause)}`, { cause })
}

/** ioredis hangs the command on its errors, with all arguments: a password after AUTH, a cached value after SET. */
export function withoutArguments(error: Error): Error {
  const message = error.message.replace(QUOTED_ARGUMENTS, '')
  if (!('command' in error) && message === error.message) return error
  const bare = new Error(message)
  bare.name = error.name
  return bare
}

/** What an error says; Node's error for a name with several addresses says nothing itself. */
export function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((one: Error) => one.message).join(', ')
  if ('code' in error && UNTRUSTED.has(error.code))
    return `${error.message} (TLS: name the authority that vouches for it in ca of redis.ssl, or of your client)`
  return strangerIn(error.message) ?? withoutScript(error.message)
}

const NO_TLS_THERE =
  'what answers there does not speak TLS, which redis.ssl or rediss:// asks for; if this is a plain port, use redis://'

/** What is there instead, if it does not speak Redis. */
function strangerIn(message: string): string | undefined {
  if (NO_TLS.test(message)) return NO_TLS_THERE
  const [, code] = UNKNOWN_TYPE.exec(message) ?? []
  const [, quoted] = UNKNOWN_TYPE_BEFORE.exec(message) ?? []
  if (code === undefined && quoted === undefined) return undefined
  const first = quoted ?? JSON.stringify(String.fromCharCode(Number(code)))
  return `what answers there does not speak Redis: it sent ${first} where a reply begins`
}

function withoutScript(message: string): string {
  return message.replace(SCRIPT_WRAPPING, '').replace(SCRIPT_NAME, '')
}
