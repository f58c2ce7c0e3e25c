/**
 * A refresh behind the caller's back: the route runs again, with nothing of the caller's but what is in the key.
 *
 * That a request is such a one is no header, which clients could forge, but known by its asynchronous context. It is
 * handed the lead only if it asks for the very entry that is refreshed: a hook may ask other routes on its way, and a
 * key that is made of a cookie is another one without it.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Lead } from '../../http/lead.ts'
import type { CacheableRequest } from '../../http/message.ts'
import type { ResponseCache } from '../../http/response-cache.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'

interface Refresh {
  readonly url: string
  /** Handed out once. */
  lead: Lead | undefined
}

const refreshes = new AsyncLocalStorage<Refresh>()

/** Runs a function outside of the caller's asynchronous context, where applications keep who is asking. */
const outside = AsyncLocalStorage.snapshot()

export function isRefreshing(request: FastifyRequest): boolean {
  return refreshes.getStore()?.url === request.originalUrl
}

/** The lead that a request is to finish, if it is a refresh; 'another' if it turned out to ask for another entry. */
export function refreshOf(
  responses: ResponseCache,
  request: FastifyRequest,
  view: CacheableRequest,
): Lead | 'another' | undefined {
  const refresh = refreshes.getStore()
  const lead = refresh?.lead
  if (lead === undefined || refresh?.url !== request.originalUrl) return undefined
  if (!responses.isFor(lead, view)) return 'another'
  // Once: what the handler asks on its way is no refresh.
  refresh.lead = undefined
  return lead
}

export interface Caller {
  readonly request: FastifyRequest
  readonly view: CacheableRequest
  readonly policy: RoutePolicy
}

/** Runs the route of a request again, to finish `lead`. */
export function rerun(app: FastifyInstance, lead: Lead, { request, view, policy }: Caller): void {
  const url = request.originalUrl
  const end = (): void => lead.drop('unreached')
  if (!isInjectable(url)) return end()
  const { remoteAddress } = request.socket
  const asked = {
    method: 'GET',
    url,
    headers: headersFor(view, [...selecting(request), ...policy.vary, ...lead.variesBy]),
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
  } as const
  outside(() => {
    refreshes.run({ url, lead }, () => {
      app.inject(asked).then(end, end)
    })
  })
}

/** The header field by which Fastify has chosen this route among those of its URL. */
function selecting({ routeOptions }: FastifyRequest): readonly string[] {
  return routeOptions.version === undefined ? [] : ['accept-version']
}

function headersFor(view: CacheableRequest, keyed: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = { host: view.host }
  // Behind a proxy that is trusted, it is the proxy who tells the scheme.
  if (view.header('x-forwarded-proto') !== undefined) headers['x-forwarded-proto'] = view.scheme
  for (const name of keyed) {
    const value = view.header(name)
    // Nobody's credentials: what comes without them is another variant, which the lead is not for.
    if (value !== undefined && name !== 'authorization') headers[name] = value
  }
  return headers
}

/** `inject` reads a URL as a browser does, and so would run `/admin` in the place of `/items/%2e%2e/admin`. */
function isInjectable(url: string): boolean {
  const address = `http://localhost${url}`
  if (!url.startsWith('/') || !URL.canParse(address)) return false
  const { pathname, search } = new URL(address)
  return pathname + search === url
}
