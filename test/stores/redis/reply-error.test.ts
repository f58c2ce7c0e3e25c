/** What a failed command says, and what it keeps to itself. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { Redis as Iovalkey } from 'iovalkey'
import { createClient } from 'redis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createCache } from '../../../src/create-cache.ts'
import type { RedisConfig } from '../../../src/config/redis-config.ts'
import { CacheException, RedisConnectionError, RedisReplyError } from '../../../src/exceptions.ts'
import { reasonOf, toException, withoutArguments } from '../../../src/stores/redis/reply-error.ts'

const silent = { info: (): void => undefined, warn: (): void => undefined, error: (): void => undefined }
const convert = (message: string): CacheException => toException(new Error(message), 'SET', 'Redis at a:1')

describe('an error reply', () => {
  test.each([
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'WRONGTYPE'],
    ["OOM command not allowed when used memory > 'maxmemory'.", 'OOM'],
    ['NOSCRIPT No matching script. Please use EVAL.', 'NOSCRIPT'],
    ['NOPERM this user has no permissions', 'NOPERM'],
    ['ERR syntax error', 'ERR'],
  ])('is a CacheException that gives the words of Redis: %s', (message, replyCode) => {
    const exception = convert(message)
    expect(exception).toBeInstanceOf(RedisReplyError)
    expect(exception).toBeInstanceOf(CacheException)
    expect(exception).not.toBeInstanceOf(RedisConnectionError)
    expect(exception).toMatchObject({
      replyCode,
      code: 'ERR_CACHE_REDIS_REPLY',
      message: `Redis at a:1 refused SET: ${message}`,
    })
  })

  test.each([
    'LOADING Redis is loading the dataset in memory',
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'CLUSTERDOWN The cluster is down',
    'NOAUTH Authentication required.',
    'WRONGPASS invalid username-password pair or user is disabled.',
    "READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_6b1b): @user_script:90: @user_script: 90: -READONLY You can't write against a read only replica.",
  ])('that says Redis serves nobody, or not us, is a RedisConnectionError: %s', (message) => {
    expect(convert(message)).toBeInstanceOf(RedisConnectionError)
    // What Redis 6 puts around it is left out.
    const said = message.slice(message.indexOf('READONLY') === -1 ? 0 : message.indexOf('READONLY'))
    expect(convert(message).message).toBe(`Redis at a:1 did not serve SET: ${said}`)
  })

  test('of a script has the code of what the script was refused, as Redis 6 wraps it', () => {
    const full = "@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."
    const exception = convert(`ERR Error running script (call to f_6b1b): @user_script:1: ${full}`)
    expect(exception).toMatchObject({
      replyCode: 'OOM',
      message: "Redis at a:1 refused SET: OOM command not allowed when used memory > 'maxmemory'.",
    })
    expect(convert('ERR Error running script (call to f_6b1b): @user_script:1: bad')).toMatchObject({
      replyCode: 'ERR',
    })
  })

  test.each([
    ["OOM command not allowed when used memory > 'maxmemory'.", 'OOM'],
    ["ERR The user executing the script can't run this command or subcommand", 'ERR'],
    ['ERR user_script:3: bad argument #1', 'ERR'],
  ])('of a script does not say which script that was: %s', (said, replyCode) => {
    const exception = convert(`${said} script: 05568cefb7d1fac07ffb6b72232ac9f466f0af4d, on @user_script:110.`)
    expect(exception).toMatchObject({ replyCode, message: `Redis at a:1 refused SET: ${said}` })
  })

  test('that quotes the arguments is cut', () => {
    const { message } = convert("ERR unknown command 'STE', with args beginning with: 'key' 'secret \n value' ")
    expect(message).toBe("Redis at a:1 refused SET: ERR unknown command 'STE'")
  })
})

test.each(['Connection is closed.', 'Socket closed unexpectedly', 'read ECONNRESET', 'The client is closed'])(
  'an error of the client is a RedisConnectionError with it as the cause: %s',
  (message) => {
    const error = new Error(message)
    const exception = toException(error, 'GET', 'Redis at a:1')
    expect(exception).toBeInstanceOf(RedisConnectionError)
    expect(exception.message).toBe(`Redis at a:1 was lost before it answered GET: ${message}`)
    expect(exception.cause).toBe(error)
  },
)

test('an error with the command on it is replaced by one without', () => {
  const error = Object.assign(new Error('WRONGPASS invalid'), { command: { name: 'auth', args: ['open sesame'] } })
  expect(inspect(withoutArguments(error), { depth: null })).not.toContain('open sesame')
  expect(withoutArguments(error).message).toBe('WRONGPASS invalid')
})

test('of a name with several addresses it is told what came of each', () => {
  const error = new AggregateError([
    new Error('connect ECONNREFUSED ::1:6379'),
    new Error('connect ECONNREFUSED 127.0.0.1:6379'),
  ])
  expect(reasonOf(error)).toBe('connect ECONNREFUSED ::1:6379, connect ECONNREFUSED 127.0.0.1:6379')
})

describe('a server that is none', () => {
  const GREETINGS = { H: 'HTTP/1.1 400 Bad Request\r\n', S: 'SSH-2.0-OpenSSH_9.6\r\n' }

  test.each(Object.entries(GREETINGS))('is told as what it is: %s', async (first, greeting) => {
    const { host, port } = await listen(greeting)
    const expected = `does not speak Redis: it sent "${first}" where a reply begins`
    await expect(ask({ host, port })).resolves.toBe(
      `Redis at ${host}:${port} cannot be reached: what answers there ${expected}`,
    )
    await expect(ask({ cluster: [`${host}:${port}`] })).resolves.toContain(expected)
    const client = createClient({ socket: { host, port } })
    client.on('error', () => undefined)
    onTestFinished(() => client.destroy())
    await expect(ask({ client })).resolves.toContain(expected)
    const before = new Iovalkey({ host, port, lazyConnect: true })
    before.on('error', () => undefined)
    onTestFinished(() => before.disconnect())
    await expect(ask({ client: before })).resolves.toContain(expected)
  })

  test('nor TLS, where that is asked for', async () => {
    const place = await listen(GREETINGS.H)
    expect(await ask({ ...place, ssl: true })).toMatch(
      /: what answers there does not speak TLS, .* asks for; if this is a plain port, use redis:\/\/$/,
    )
  })

  async function ask(redis: RedisConfig): Promise<string> {
    const cache = createCache({ redis: { socketTimeout: '2s', ...redis }, logger: silent })
    onTestFinished(() => cache.close())
    return cache.get('a').then(
      () => 'answered',
      (error: unknown) => (error as Error).message,
    )
  }

  /** A server that says `greeting` when it is asked anything. */
  async function listen(greeting: string): Promise<{ host: string; port: number }> {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', () => socket.write(greeting))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  }
})
