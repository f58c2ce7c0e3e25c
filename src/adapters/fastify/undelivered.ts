/** Telling of an invalidation that a request should have made: what it changed may still be served. */
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheException, CacheKeyError, describeError } from '../../exceptions.ts'
import type { News } from '../../telemetry.ts'

/** The namespaces of which a request's log has it already. */
const told = new WeakMap<FastifyRequest, Set<string>>()

/** A line that says of those that it stands for, and of those that there are too many of, where they are logged. */
export function withOthers(text: string, news: News, of: 'routes' | 'namespaces'): string {
  const others = news === 'more' ? `there are more such ${of} than are told: the others` : 'others like it'
  return `${text}; ${others} are logged as debug`
}

interface Undelivered {
  readonly namespace: string
  readonly keys?: readonly string[] | undefined
  readonly tags?: readonly string[] | undefined
}

/**
 * Logs it to the application, or, if that logs nothing, where the cache logs to: once for a namespace of a request, and
 * what is queued once for a namespace and fault in ten minutes of an outage, the rest of it at the level `debug`.
 */
export function tellUndelivered(
  request: FastifyRequest,
  { parts }: CacheManager,
  { err, ...names }: Undelivered & { readonly err: unknown },
): void {
  const namespaces = told.get(request) ?? new Set()
  told.set(request, namespaces)
  if (namespaces.has(names.namespace)) return
  namespaces.add(names.namespace)
  const isQueued = parts.connection !== undefined && err instanceof CacheException && !(err instanceof CacheKeyError)
  const text = textFor(names.namespace, isQueued)
  const news = isQueued ? parts.telemetry.newsOf('undelivered', names.namespace, err) : undefined
  if (!isSilent(request.log)) {
    if (news === 'none') return request.log.debug({ err, ...names }, text)
    return request.log.error({ err, ...names }, news === undefined ? text : withOthers(text, news, 'namespaces'))
  }
  if (news === 'none') return
  const more = news === 'more' ? '; there are more namespaces than are told' : ''
  parts.logError(
    `tidemark: ${request.method} ${request.routeOptions.url ?? request.url}: ${text} (${describeError(err)})${more}`,
  )
}

function textFor(namespace: string, isQueued: boolean): string {
  const place = namespace === '' ? 'the default namespace' : `namespace ${JSON.stringify(namespace)}`
  const fault = `what this request changed in ${place} may still be served: its invalidation was not delivered`
  return isQueued ? `${fault}; it is queued, and will be when Redis is back` : fault
}

/** An application without a logger has one whose methods are all the same. */
function isSilent({ error, trace }: FastifyBaseLogger): boolean {
  return error === trace
}
