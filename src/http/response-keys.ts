/**
 * The keys of requests that came before: to make one takes as long as all else in a hit. Remembered are those that
 * follow from scheme, host and URL, or from scheme, host and name, alone.
 */
import type { CacheParts } from '../cache-parts.ts'
import { Memo } from '../memo.ts'
import { mayVary, responseKey, type ResponseKey } from './key.ts'
import type { CacheableRequest } from './message.ts'
import type { RoutePolicy } from './route-policy.ts'

/** Of all routes of a cache together: some MB at most. */
const MAX_KEYS = 5000

/** By route, scheme and host, and then by URL or name. */
const memos = new WeakMap<CacheParts, Memo<string, ResponseKey>>()
let routes = 0

export class ResponseKeys {
  readonly #policy: RoutePolicy
  readonly #memo: Memo<string, ResponseKey>
  readonly #isMadeOfUrl: boolean
  readonly #route = routes++
  /** Of the last request, for most have the same. */
  #scheme: string | undefined
  #host: string | undefined
  #owner = ''

  constructor(parts: CacheParts, policy: RoutePolicy) {
    this.#policy = policy
    this.#memo = memos.get(parts) ?? new Memo(MAX_KEYS)
    memos.set(parts, this.#memo)
    this.#isMadeOfUrl = !policy.hasUser && !mayVary(policy) && policy.query === undefined
  }

  /** Where the response to a request is stored whose name is this. */
  of(request: CacheableRequest, name: string): ResponseKey {
    if (!this.#isMadeOfUrl || request.method === 'QUERY') return responseKey(request, this.#policy, { name })
    const owner = this.#ownerOf(request)
    const { path, search } = request
    const told = this.#policy.isNameComplete ? name : search === '' ? path : `${path}?${search}`
    const known = this.#memo.get(owner, told)
    if (known !== undefined) return known
    const key = responseKey(request, this.#policy, { name })
    this.#memo.add(owner, told, key)
    return key
  }

  #ownerOf({ scheme, host }: CacheableRequest): string {
    if (this.#scheme !== scheme || this.#host !== host) {
      this.#scheme = scheme
      this.#host = host
      this.#owner = `${this.#route} ${scheme.length} ${scheme}${host}`
    }
    return this.#owner
  }
}
