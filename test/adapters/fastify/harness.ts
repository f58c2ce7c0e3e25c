/** Applications for these tests, closed when the test is over, and what is asked of them again and again. */
import Fastify, { type FastifyInstance, type FastifyServerOptions, type LightMyRequestResponse } from 'fastify'
import { onTestFinished } from 'vitest'
import { createCache, type ApplicationConfig, type CacheManager } from 'tidemark'
import { setupCache } from 'tidemark/fastify'
import { nextFill } from '../../http/facts.ts'

export const silent = { info: (): void => undefined, warn: (): void => undefined, error: (): void => undefined }

/** For rules that no store has a part in. */
export function inMemory(config: ApplicationConfig = {}): CacheManager {
  const cache = createCache({ redis: false, logger: silent, ...config })
  onTestFinished(() => cache.close())
  return cache
}

export function makeApp(options: FastifyServerOptions = {}): FastifyInstance {
  const app: FastifyInstance = Fastify(options)
  onTestFinished(() => app.close())
  return app
}

/** An application with a cache in front of it. */
export function makeCachedApp(cache: CacheManager, options: FastifyServerOptions = {}): FastifyInstance {
  const app = makeApp(options)
  setupCache(app, cache)
  return app
}

export type RequestHeaders = Readonly<Record<string, string>>

export function get(app: FastifyInstance, url: string, headers: RequestHeaders = {}): Promise<LightMyRequestResponse> {
  return app.inject({ url, headers })
}

/** `X-Cache` and the body of each of these requests, one after the other. */
export async function inTurn(app: FastifyInstance, urls: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const url of urls) found.push(summary(await get(app, url)))
  return found
}

/** `X-Cache` and the body. */
export function summary({ headers, body }: LightMyRequestResponse): string {
  return `${String(headers['x-cache'])} ${body}`
}

/** Asks, and waits until the answer is stored: `X-Cache` and the body. */
export async function fillWith(cache: CacheManager, ask: () => Promise<LightMyRequestResponse>): Promise<string> {
  const filled = nextFill(cache)
  const answer = await ask()
  await filled
  return summary(answer)
}

/** Something to wait for, and its end. */
export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

export function makeGate(): Gate {
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open: () => open() }
}

/** Listens on a free port of 127.0.0.1. */
export function listen(app: FastifyInstance): Promise<string> {
  return app.listen({ port: 0, host: '127.0.0.1' })
}
