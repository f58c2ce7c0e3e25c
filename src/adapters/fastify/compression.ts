/** Whether what a route answers is compressed: by the cache's own configuration, or by @fastify/compress in its scope. */
import type { FastifyReply, RouteOptions } from 'fastify'
import type { CacheManager } from '../../cache-manager.ts'
import { listOf } from './pinned-hooks.ts'

/** Fastify's own hook of the HEAD routes that it makes. */
const HEAD_HOOK = 'headRouteOnSendHandler'

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
    hasHook ??= listOf(route.onSend).some((hook) => !own.includes(hook) && hook.name !== HEAD_HOOK)
    return hasHook
  }
}
