/** Whether what a route answers is compressed: by the cache's own configuration, or by @fastify/compress in its scope. */
import type { FastifyReply, RouteOptions } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { listOf } from './pinned-hooks.ts'

/** Fastify's own hook of the HEAD routes that it makes. */
export const HEAD_HOOK = 'headRouteOnSendHandler'

/**
 * The question for one route's replies.
 *
 * The plugin gives `reply.compress` to each reply of its scope but those of routes with `compress: false`. With
 * `global: false` it does no more than that, and leaves no hook on the route: then answers are the handler's to compress.
 *
 * @param own the cache's hooks on the route
 */
export function compressing(
  route: RouteOptions,
  { parts }: CacheManager,
  own: readonly unknown[],
): (reply: FastifyReply) => boolean {
  if (parts.compression.algorithm !== undefined) return () => true
  let hasHook: boolean | undefined
  return (reply) => {
    if (typeof (reply as { compress?: unknown }).compress !== 'function') return false
    // Plugins may add their hooks until the application is ready.
    hasHook ??= othersOf(route, own).length > 0
    return hasHook
  }
}

/** The onSend hooks of a route's own that are neither the cache's nor Fastify's. */
function othersOf(route: RouteOptions, own: readonly unknown[]): readonly unknown[] {
  return listOf(route.onSend).filter((hook) => !own.includes(hook) && hook.name !== HEAD_HOOK)
}

/**
 * How many of a route's onSend hooks are those of @fastify/compress, if it has no others of its own; otherwise 0.
 *
 * The plugin exports its hook nowhere. Its source is known by an option that no other has.
 */
export function compressHooksOf(route: RouteOptions, own: readonly unknown[]): number {
  const others = othersOf(route, own)
  return others.every((hook) => String(hook).includes('params.inflateIfDeflated')) ? others.length : 0
}
