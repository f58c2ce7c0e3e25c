/** `policy: 'rfc9111'` in a reverse proxy: one route of all methods in front of a scripted origin, asked over real sockets. */
import { request as send, type OutgoingHttpHeaders } from 'node:http'
import { expect } from 'vitest'
import { ManualClock } from 'tidemark/testing'
import type { Caches } from '../../helpers/caches.ts'
import { listen, makeCachedApp } from './harness.ts'
import { passTo, startScriptedOrigin, type Scripted, type ScriptedOrigin } from './scripted-origin.ts'

/** A request, and what is expected of its answer. */
export interface Step {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined
  /** What the origin would answer, if it were asked. */
  readonly origin?: Scripted
  /** Seconds that pass before. */
  readonly after?: number
  /** Whether it is answered from the cache, by the origin, or by both together. */
  readonly by: 'cache' | 'origin' | 'confirmation' | 'nobody'
  readonly status?: number
  readonly expected?: Readonly<Record<string, string | RegExp | undefined>>
  readonly body?: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export class Proxy {
  readonly clock = new ManualClock()
  origin!: ScriptedOrigin
  readonly #caches: Caches
  #url = ''

  constructor(caches: Caches) {
    this.#caches = caches
  }

  async start(grace = 0): Promise<void> {
    this.origin = await startScriptedOrigin()
    const app = makeCachedApp(this.#caches.create({ clock: this.clock }))
    app.addHttpMethod('M-SEARCH', { hasBody: true })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    app.all(
      '/test/*',
      { config: { cache: { policy: 'rfc9111', ...(grace > 0 && { grace }) } } },
      passTo(this.origin.port),
    )
    this.#url = await listen(app)
  }

  date(seconds = 0): string {
    return new Date(this.clock.now() + seconds * 1000).toUTCString()
  }

  ask({ method = 'GET', path = '/test/a', headers = {} }: Step): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(this.#url)
      const asked = send({ hostname, port, method, path, headers: headers as OutgoingHttpHeaders }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        )
      })
      asked.on('error', reject)
      asked.end()
    })
  }
}

export type Steps = readonly Step[] | ((proxy: Proxy) => readonly Step[])

/** Plays steps one after the other, each case at a path of its own. */
export function playing(caches: Caches): (steps: Steps, grace?: number) => Promise<void> {
  let cases = 0
  return async (steps, grace) => {
    const proxy = new Proxy(caches)
    await proxy.start(grace)
    cases++
    for (const [i, step] of (typeof steps === 'function' ? steps(proxy) : steps).entries()) {
      const path = step.path ?? `/test/${cases}`
      if (step.after !== undefined) proxy.clock.advance(step.after)
      const { pathname } = new URL(path, 'http://origin')
      proxy.origin.script(pathname, step.origin === undefined ? [] : [step.origin])
      const before = proxy.origin.asked.get(pathname)?.length ?? 0
      const answer = await proxy.ask({ ...step, path })
      const all = proxy.origin.asked.get(pathname) ?? []
      const isConfirmed =
        all.at(-1)?.headers['if-none-match'] !== undefined || all.at(-1)?.headers['if-modified-since'] !== undefined
      const by =
        all.length === before ? (answer.status === 504 ? 'nobody' : 'cache') : isConfirmed ? 'confirmation' : 'origin'
      const what = `step ${i + 1}: ${JSON.stringify(step)} got ${JSON.stringify(answer)}`
      expect(by, what).toBe(step.by)
      if (step.status !== undefined) expect(answer.status, what).toBe(step.status)
      if (step.body !== undefined) expect(answer.body, what).toBe(step.body)
      for (const [name, value] of Object.entries(step.expected ?? {})) {
        if (value instanceof RegExp) expect(String(answer.headers[name]), what).toMatch(value)
        else expect(answer.headers[name], what).toBe(value)
      }
      await settle()
    }
  }
}

/** A fill goes behind its answer. */
export const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 15))

export const fresh = (more: Record<string, string | readonly string[]> = {}): Scripted => ({
  headers: { 'cache-control': 'max-age=3600', ...more },
})
