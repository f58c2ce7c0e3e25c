/** A request and a response as the rules see them: no framework, header names in lower case. */

/** Header fields of a response: a value, or several of one name. */
export type HeaderValue = string | readonly string[]
export type Headers = Readonly<Record<string, HeaderValue>>

export interface CacheableRequest {
  readonly method: string
  /** `https`, as the framework sees it (behind a trusted proxy: what the client used). */
  readonly scheme: string
  readonly host: string
  /** The path as it was received, not decoded, without the query. */
  readonly path: string
  /** The query as it was received, without `?`. */
  readonly search: string
  /** The parsed query, validated where the route has a schema. */
  readonly query: unknown
  /** The body of a QUERY, as its handler will see it: part of the key (RFC 10008 §2.7). Asked with this method only. */
  readonly content: unknown
  /** What the route's `key` says: the name it is stored under. */
  readonly name: string | undefined
  /** What the route's `user` says: whose response it is; undefined is nobody's. */
  readonly user: string | undefined
  /** The tags its response will bear. Asked on a miss. */
  tags(): readonly string[]
  /** Whether this client may have the entry refreshed by `Cache-Control: no-cache`. Asked when it does. */
  mayRefresh(): boolean
  /** A field as the request came with it; what its handler does to the fields is the handler's own. */
  header(name: string): string | undefined
}

/** A response as the handler made it, before compression. */
export interface HandledResponse {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
  /** The entity tag was made here, of its bytes: nobody else knows it. */
  readonly hasOwnTag?: boolean
}
