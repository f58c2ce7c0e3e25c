/** Requests, policies and responses for the rules of http/, and the moment when one of them has been stored. */
import type { CacheManager } from 'tidemark'
import type { CacheableRequest, HandledResponse, Headers } from '../../src/http/message.ts'
import { DEFAULT_MAX_BODY_BYTES, DEFAULT_STATUSES, type RoutePolicy } from '../../src/http/route-policy.ts'

export interface RequestFacts extends Partial<Omit<CacheableRequest, 'tags' | 'mayRefresh' | 'header'>> {
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly tags?: readonly string[]
  readonly mayRefresh?: boolean
}

export function makeRequest(facts: RequestFacts = {}): CacheableRequest {
  const { headers = {}, tags = [], mayRefresh = false, ...rest } = facts
  return {
    method: 'GET',
    scheme: 'http',
    host: 'app.test',
    path: '/',
    search: '',
    query: {},
    content: undefined,
    name: undefined,
    user: undefined,
    ...rest,
    tags: () => tags,
    mayRefresh: () => mayRefresh,
    header: (name) => headers[name],
  }
}

export function makePolicy(policy: Partial<RoutePolicy> = {}): RoutePolicy {
  return {
    kind: 'route',
    pattern: '/',
    namespace: '',
    windows: { ttlMs: 60_000, swrMs: 0, graceMs: 0 },
    softTimeoutMs: undefined,
    isNameComplete: false,
    query: undefined,
    vary: [],
    hasUser: false,
    isAuthShared: false,
    hosts: undefined,
    methods: new Set(['GET', 'HEAD']),
    statuses: new Set(DEFAULT_STATUSES),
    maxBodyBytes: DEFAULT_MAX_BODY_BYTES,
    heedsCdn: false,
    ...policy,
  }
}

export function makeResponse(body: string, headers: Headers = {}, status = 200): HandledResponse {
  return { status, headers, body: Buffer.from(body) }
}

/** Resolves when the next load has been stored. */
export function nextFill(cache: CacheManager): Promise<void> {
  return new Promise((resolve) => {
    const onFill = (): void => {
      cache.off('fill', onFill)
      resolve()
    }
    cache.on('fill', onFill)
  })
}
