/** What a failed command says, and what it keeps to itself. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { CacheException, RedisConnectionError, RedisReplyError } from '../../../src/exceptions.ts'
import { reasonOf, toException, withoutArguments } from '../../../src/stores/redis/reply-error.ts'

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
    expect(convert(message).message).toBe(`Redis at a:1 did not serve SET: ${message}`)
  })

  test('of a script has the code of what the script was refused, as Redis 6 wraps it', () => {
    const full = "@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."
    const exception = convert(`ERR Error running script (call to f_6b1b): @user_script:1: ${full}`)
    expect(exception).toMatchObject({ replyCode: 'OOM' })
    expect(convert('ERR Error running script (call to f_6b1b): @user_script:1: bad')).toMatchObject({
      replyCode: 'ERR',
    })
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
