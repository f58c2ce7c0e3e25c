/**
 * `strict`: the handler is given a request that notes which header fields, cookies and query parameters it reads.
 *
 * The notes are taken from the moment the handler is called until it answers; hooks before and after it read the request
 * as it is, and pieces of it that the handler has taken with it (`const { headers } = request`) go on noting, for streams
 * that are made while they flow. What it reads of `request.raw`, `request.ip` and the like nobody sees.
 */
import type { FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { CacheKeyError } from '../../exceptions.ts'
import type { Lead } from '../../http/lead.ts'
import { Narrowed, type FieldKind, type RequestField } from '../../http/narrowed.ts'
import type { RoutePolicy } from '../../http/route-policy.ts'
import { nameOf, type CacheRouteOptions, type CacheSpec, type Route, type RouteRequest } from './route-options.ts'

/** As many fields of a route are logged, each once. */
const MAX_LOGGED = 100

/** Parts of a request that are watched, if they are there, and what they hold. */
const PARTS = { headers: 'header', cookies: 'cookie', query: 'query' } as const

interface Narrowing {
  readonly spec: CacheSpec<CacheRouteOptions>
  readonly policy: RoutePolicy
  /** The lead of a request whose handler is about to run; undefined if it leads nothing. */
  readonly leadOf: (reply: FastifyReply) => Lead | undefined
}

/** The very last preHandler of a strict route. */
export function narrowing(route: Route, { spec, policy, leadOf }: Narrowing): preHandlerHookHandler {
  const told = new Set<string>()
  const throwing = isThrowing(spec.cache) && policy.kind === 'route'
  return function narrow(request, reply, done) {
    const lead = leadOf(reply)
    if (lead === undefined) return done()
    const onRefusal = (field: RequestField): void => {
      const what = described(field)
      if (told.has(what) || told.size >= MAX_LOGGED) return
      told.add(what)
      request.log.warn(`${complaint(route, what)}: its answer was not stored`)
    }
    const narrowed = new Narrowed({ policy, onRefusal })
    noteKeyed(request, spec.options, (field) => narrowed.addKeyed(field))
    const note = (field: RequestField): void => {
      narrowed.add(field)
      if (throwing && !narrowed.isKeyed(field, policy.vary)) {
        const remedy = remedyFor(field, policy)
        throw unkeyedRead(
          `${complaint(route, described(field))}: others would be sent the answer, whatever they send. ${remedy}, or do not read it`,
        )
      }
    }
    lead.narrow(narrowed)
    // Where only declared parameters get through, there is nothing else to be read.
    const isQueryOpen = spec.options.query !== undefined || policy.isNameComplete
    watchUntilSent(request, reply, {
      note,
      parts: isQueryOpen ? ['headers', 'cookies', 'query'] : ['headers', 'cookies'],
    })
    done()
  }
}

/** What a handler threw because it read what is not in its key. Only in development, and nobody's secret. */
const unkeyedReads = new WeakSet<object>()

function unkeyedRead(message: string): CacheKeyError {
  const error = new CacheKeyError(message)
  unkeyedReads.add(error)
  return error
}

/** Whether a developer is to see it where others are told nothing of what is inside. */
export function isUnkeyedRead(error: object): boolean {
  return unkeyedReads.has(error)
}

/** The option that puts it into the key. */
function remedyFor({ kind, name }: RequestField, { isNameComplete }: RoutePolicy): string {
  if (name === undefined) return 'Read those alone that are in the key'
  if (kind === 'query') return isNameComplete ? 'Let `key` read it' : `Name it in \`query: ['${name}']\``
  const isWho = kind === 'cookie' || name === 'cookie' || name === 'authorization'
  return isWho ? 'Say with `user` whose answer it is, or let `key` read it' : `Add \`vary: ['${name}']\``
}

function isThrowing({ parts }: CacheManager): boolean {
  return parts.environment === 'development'
}

function complaint(route: Route, what: string): string {
  return `${nameOf(route)} (strict) reads ${what}, which is not in its key`
}

function described({ kind, name }: RequestField): string {
  const nouns = { header: 'header', cookie: 'cookie', query: 'query parameter' }
  return name === undefined ? `which ${nouns[kind]}s there are` : `the ${nouns[kind]} ${JSON.stringify(name)}`
}

interface Watch {
  readonly note: (field: RequestField) => void
  readonly parts: readonly (keyof typeof PARTS)[]
}

type Watched = Partial<Record<keyof typeof PARTS, unknown>>

function watchUntilSent(request: FastifyRequest, reply: FastifyReply, { note, parts }: Watch): void {
  const seen = request as Watched
  // Behind a proxy that is trusted, Fastify makes them of headers, and they are in the key.
  const restore = [replace(request, 'host', request.host), replace(request, 'protocol', request.protocol)]
  for (const part of parts) {
    const value = seen[part]
    if (typeof value !== 'object' || value === null) continue
    restore.push(replace(request, part, noting(value, PARTS[part], note)))
  }
  const send = reply.send.bind(reply)
  reply.send = (payload?: unknown) => {
    for (const one of restore.splice(0)) one()
    return send(payload)
  }
}

/** Fastify's own setter of `headers` would read them all. Returns what puts things back. */
function replace(request: FastifyRequest, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(request, name)
  Object.defineProperty(request, name, { value, configurable: true, enumerable: true, writable: true })
  return () => {
    if (before === undefined) Reflect.deleteProperty(request, name)
    else Object.defineProperty(request, name, before)
  }
}

/** The same object to read, of which each read is noted. */
function noting(fields: object, kind: FieldKind, note: (field: RequestField) => void): object {
  const noteName = (name: string | symbol): void => {
    if (typeof name === 'string' && isField(fields, name, kind)) note({ kind, name })
  }
  return new Proxy(fields, {
    get(target, name) {
      noteName(name)
      return Reflect.get(target, name, target) as unknown
    },
    has(target, name) {
      noteName(name)
      return Reflect.has(target, name)
    },
    getOwnPropertyDescriptor(target, name) {
      noteName(name)
      return Reflect.getOwnPropertyDescriptor(target, name)
    },
    ownKeys(target) {
      note({ kind, name: undefined })
      return Reflect.ownKeys(target)
    },
  })
}

/** Not what languages and libraries ask of every object: `toString`, `toJSON`, `then`. */
function isField(fields: object, name: string, kind: FieldKind): boolean {
  if (Object.hasOwn(fields, name)) return true
  if (kind === 'header' && name !== name.toLowerCase()) return false
  return !(name in Object.prototype) && name !== 'toJSON' && name !== 'then'
}

/** What `key` and `user` make of a request is in the key, and so is all that they read of it. */
function noteKeyed(request: FastifyRequest, { key, user }: CacheRouteOptions, note: Watch['note']): void {
  if (typeof key !== 'function' && user === undefined) return
  const seen = new Proxy(request, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (name === 'url' || name === 'originalUrl') note({ kind: 'query', name: undefined })
      if (!isPart(name) || typeof value !== 'object' || value === null) return value
      return noting(value, PARTS[name], note)
    },
  }) as RouteRequest
  if (typeof key === 'function') key(seen)
  user?.(seen)
}

function isPart(name: string | symbol): name is keyof typeof PARTS {
  return typeof name === 'string' && Object.hasOwn(PARTS, name)
}
