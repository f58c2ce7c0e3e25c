/** What happens to Redis in each phase of the chaos run, and how it ends. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultProxy } from '../../src/testing/index.ts'
import type { RedisServer } from '../helpers/redis.ts'

export interface Place {
  readonly server: RedisServer
  /** Between the application and the server. */
  readonly proxy: FaultProxy
}

export interface Outage {
  readonly name: string
  /** How long it lasts in the full run. */
  readonly lastsMs: number
  /** Lines that it may cost in the log. */
  readonly lines: number
  /** Begins, lasts, and is over when it resolves. */
  happen(place: Place, lastsMs: number): Promise<void>
}

/** Redis may use so much beside what it uses, which is nothing. */
const FULL = '1mb'

export const OUTAGES: readonly Outage[] = [
  {
    name: 'silent',
    lastsMs: 5000,
    lines: 2,
    async happen({ proxy }, lastsMs) {
      proxy.stall()
      await sleep(lastsMs)
      proxy.resume()
    },
  },
  {
    name: 'gone',
    lastsMs: 5000,
    lines: 2,
    async happen({ proxy }, lastsMs) {
      proxy.refuse()
      proxy.cut()
      await sleep(lastsMs)
      await proxy.accept()
    },
  },
  {
    name: 'restarted empty',
    lastsMs: 1000,
    lines: 2,
    async happen({ server, proxy }, lastsMs) {
      proxy.refuse()
      proxy.cut()
      await server.kill()
      await sleep(lastsMs)
      await server.restart()
      await proxy.accept()
    },
  },
  {
    name: 'CLIENT PAUSE',
    lastsMs: 3000,
    lines: 2,
    async happen({ server }, lastsMs) {
      await server.call('CLIENT', 'PAUSE', String(lastsMs), 'ALL')
      await sleep(lastsMs)
    },
  },
  {
    name: 'DEBUG SLEEP',
    lastsMs: 3000,
    lines: 2,
    async happen({ server }, lastsMs) {
      await server.call('DEBUG', 'SLEEP', String(lastsMs / 1000))
    },
  },
  {
    name: 'SIGSTOP',
    lastsMs: 5000,
    lines: 2,
    async happen({ server }, lastsMs) {
      server.pause()
      await sleep(lastsMs)
      server.resume()
    },
  },
  {
    name: 'full',
    lastsMs: 5000,
    // That it refuses to store is said once a minute, not that it is away.
    lines: 1,
    async happen({ server }, lastsMs) {
      await server.call('CONFIG', 'SET', 'maxmemory', FULL)
      await sleep(lastsMs)
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
    },
  },
]

/** As Redis has to be started for all of them. */
export const SERVER_ARGS: readonly string[] = ['--enable-debug-command', 'local']
