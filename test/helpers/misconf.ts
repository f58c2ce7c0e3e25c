/** A Redis that cannot write its dump, as on a full disk: it refuses writes, and PING, with MISCONF. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from './redis.ts'

/** With these arguments `failDumps` may change where the dump goes. */
export const MAY_FAIL_DUMPS = ['--enable-protected-configs', 'yes'] as const

/** Lets the next dump fail, and returns when Redis refuses for it. */
export async function failDumps(server: RedisServer): Promise<void> {
  const [, directory] = (await server.call('CONFIG', 'GET', 'dir')) as [string, string]
  // The dump is renamed to what is a folder already.
  await mkdir(join(directory, 'taken'))
  await server.call('CONFIG', 'SET', 'dbfilename', 'taken')
  await server.call('CONFIG', 'SET', 'save', '3600 1')
  await server.call('BGSAVE')
  while (!(await refusalOf(server)).startsWith('MISCONF')) await sleep(20)
}

/** What Redis says to a PING that it refuses; empty if it answers. */
export async function refusalOf(server: RedisServer): Promise<string> {
  try {
    await server.call('PING')
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
