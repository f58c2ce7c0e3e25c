/** The other end of processes.ts: a process with a cache of its own, which does as it is told and says what happens. */
import { createCache, type ApplicationConfig, type CacheManager, type GetOrSetOptions } from '../../src/index.ts'

/** What the parent may ask for. */
export type Order =
  | { readonly what: 'load'; readonly load: LoadOrder }
  | { readonly what: 'open' }
  | { readonly what: 'call'; readonly method: Method; readonly args: readonly unknown[] }

export type Method = 'get' | 'set' | 'delete' | 'clear' | 'invalidateTags' | 'getStatistics'

/** So many callers of `getOrSet` at once. */
export interface LoadOrder {
  readonly key: string
  readonly callers: number
  /** What the loader returns, or the message of the error that it throws. */
  readonly value: string
  readonly fails?: boolean
  /** The loader ends only when the parent says `open`. */
  readonly waits?: boolean
  readonly options?: Omit<GetOrSetOptions, 'signal'>
}

export interface LoadReport {
  /** How often the loader ran. */
  readonly loads: number
  readonly values: readonly string[]
  readonly errors: readonly string[]
  /** All callers were handed the same error, not copies of it. */
  readonly isOneError: boolean
}

/** What the child says: the answer to an order, or that a loader began, or how a load ended in the store. */
export type Said =
  | { readonly answers: number; readonly result?: unknown; readonly error?: string }
  | { readonly event: ProcessEvent }

export type ProcessEvent = 'up' | 'loading' | 'fill' | 'fence'

const cache: CacheManager = createCache(JSON.parse(process.argv[2]!) as ApplicationConfig)
let open: () => void = () => undefined
const gate = new Promise<void>((resolve) => (open = resolve))

function say(said: Said): void {
  process.send!(said)
}

async function load({ key, callers, value, fails, waits, options }: LoadOrder): Promise<LoadReport> {
  let loads = 0
  const loader = async (): Promise<string> => {
    loads++
    say({ event: 'loading' })
    if (waits) await gate
    if (fails) throw new Error(value)
    return value
  }
  const calls = Array.from({ length: callers }, () => cache.getOrSet(key, loader, options))
  const settled = await Promise.allSettled(calls)
  const values = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const reasons = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  return { loads, values, errors: reasons.map(String), isOneError: new Set(reasons).size === 1 }
}

async function obey(order: Order): Promise<unknown> {
  if (order.what === 'load') return load(order.load)
  if (order.what === 'open') return open()
  const method = cache[order.method] as (this: CacheManager, ...args: readonly unknown[]) => unknown
  return method.apply(cache, [...order.args])
}

process.on('message', ({ id, order }: { id: number; order: Order }) => {
  obey(order).then(
    (result) => say({ answers: id, result }),
    (error: unknown) => say({ answers: id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
cache.on('fill', () => say({ event: 'fill' }))
cache.on('fence', () => say({ event: 'fence' }))
await cache.get('up')
say({ event: 'up' })
