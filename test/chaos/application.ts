/** An application in a process of its own, as one is deployed: a cached route on Redis, and what it says of itself. */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { cached, createCacheErrorHandler, setupCache } from '../../src/adapters/fastify/index.ts'
import { createCache, type ApplicationConfig } from '../../src/index.ts'
import { bodyOf } from './pages.ts'

export interface ApplicationSetup {
  readonly config: ApplicationConfig
  /** How long the handler takes, as a query to a database does. */
  readonly handlerMs: number
}

/** What the parent may ask of it. */
export type ApplicationOrder = { readonly what: 'facts' } | KeysOrder

export interface KeysOrder {
  /** Look at each key, read it (what has to be loaded is `value`), or invalidate it by a call of its own and then read. */
  readonly what: 'peek' | 'read' | 'invalidate'
  readonly namespace: string
  readonly keys: readonly string[]
  readonly value?: string
}

export interface Facts {
  readonly rssBytes: number
  readonly heapBytes: number
  /** Sockets, timers and the like that are open, as Node counts them. */
  readonly handles: number
  /** Lines that it has logged since it began. */
  readonly lines: readonly string[]
  readonly unhandled: readonly string[]
  /** MaxListenersExceededWarning and the like. */
  readonly warnings: readonly string[]
}

export interface Outcomes {
  /** By how it ended: `ok`, or the code of the error. */
  readonly ends: Readonly<Record<string, number>>
  /** What was found in the end; null is nothing. */
  readonly values: readonly unknown[]
}

const lines: string[] = []
const unhandled: string[] = []
const warnings: string[] = []
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)))
process.on('warning', (warning) => warnings.push(String(warning)))

const setup = JSON.parse(process.argv[2]!) as ApplicationSetup
const log = (line: string): void => void lines.push(line)
const cache = createCache({ ...setup.config, logger: { info: () => undefined, warn: log, error: log } })
const app = Fastify()
setupCache(app, cache)
createCacheErrorHandler(app)
app.get('/pages/:page', cached(cache, { ttl: '1h', namespace: 'pages' }), async (request) => {
  await sleep(setup.handlerMs)
  return bodyOf((request.params as { page: string }).page)
})
await app.listen({ host: '127.0.0.1', port: 0 })

function facts(): Facts {
  globalThis.gc?.()
  const { rss: rssBytes, heapUsed: heapBytes } = process.memoryUsage()
  return { rssBytes, heapBytes, handles: process.getActiveResourcesInfo().length, lines, unhandled, warnings }
}

async function obey(order: ApplicationOrder): Promise<Facts | Outcomes> {
  if (order.what === 'facts') return facts()
  const { namespace, keys, value } = order
  const ends: Record<string, number> = {}
  if (order.what === 'invalidate') {
    for (const one of await Promise.allSettled(keys.map((key) => cache.delete(key, { namespace })))) {
      const end = one.status === 'fulfilled' ? 'ok' : (one.reason as { code: string }).code
      ends[end] = (ends[end] ?? 0) + 1
    }
  }
  if (order.what === 'peek') return { ends, values: await cache.getMany(keys, { namespace }) }
  return { ends, values: await Promise.all(keys.map((key) => cache.getOrSet(key, () => value, { namespace }))) }
}

process.on('message', ({ id, order }: { id: number; order: ApplicationOrder }) => {
  obey(order).then(
    (result) => process.send!({ answers: id, result }),
    (error: unknown) => process.send!({ answers: id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
const { port } = app.server.address() as { port: number }
process.send!({ port })
