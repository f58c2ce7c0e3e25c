/** A raw HTTP server that answers as a script says, and a Fastify application that passes on what it says. */
import { once } from 'node:events'
import { createServer, request as send, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { onTestFinished } from 'vitest'

/** What the origin answers to the next request of a path. */
export interface Scripted {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string
  /** It closes the connection instead, before or after it has sent a part of the body. */
  readonly breaks?: 'at once' | 'in mid-body'
  /** A 103 with Early Hints goes before. */
  readonly isHinted?: boolean
}

export interface ScriptedOrigin {
  readonly port: number
  /** What it was asked, by path. */
  readonly asked: Map<string, { readonly method: string; readonly headers: IncomingHttpHeaders }[]>
  /** What it will answer at `path`, in turn; after that it answers 404 without anything that makes it storable. */
  script(path: string, answers: readonly Scripted[]): void
}

export async function startScriptedOrigin(): Promise<ScriptedOrigin> {
  const scripts = new Map<string, Scripted[]>()
  const asked: ScriptedOrigin['asked'] = new Map()
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://origin').pathname
    const requests = asked.get(path) ?? []
    asked.set(path, [...requests, { method: request.method ?? '', headers: request.headers }])
    request.resume()
    const answer = scripts.get(path)?.shift() ?? { status: 404, headers: { 'cache-control': 'no-store' } }
    if (answer.breaks === 'at once') {
      request.socket.destroy()
      return
    }
    if (answer.isHinted === true) response.writeEarlyHints({ link: '</style.css>; rel=preload' })
    const { status = 200, headers = {}, body = `answer ${requests.length + 1}` } = answer
    response.sendDate = false
    response.writeHead(status, { 'x-answer': String(requests.length + 1), ...headers } as Record<string, string>)
    if (answer.breaks === 'in mid-body') {
      response.write(body)
      setTimeout(() => request.socket.destroy(), 20)
    } else {
      response.end(status === 304 || status === 204 ? undefined : body)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return { port, asked, script: (path, answers) => void scripts.set(path, [...answers]) }
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'proxy-connection',
  'te',
  'host',
])

/** Passes a request on to the origin, and the answer back: what a reverse proxy does that knows nothing of a cache. */
export function passTo(port: number) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP_BY_HOP.has(name)))
    const { previous } = request.cache
    if (previous?.etag !== undefined) headers['if-none-match'] = previous.etag
    if (previous?.lastModified !== undefined) headers['if-modified-since'] = previous.lastModified
    const response = await ask({ port, method: request.method, url: request.url, headers })
    reply.code(response.statusCode ?? 502)
    for (let i = 0; i < response.rawHeaders.length; i += 2) {
      const name = response.rawHeaders[i]!.toLowerCase()
      if (HOP_BY_HOP.has(name) && name !== 'connection') continue
      const before = reply.getHeader(name)
      const value = response.rawHeaders[i + 1]!
      reply.header(name, before === undefined || name === 'content-length' ? value : [before, value].flat())
    }
    return reply.send(response)
  }
}

interface Asked {
  readonly port: number
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

function ask({ port, method, url, headers }: Asked): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { 'content-length': _, ...rest } = headers
    const passed = send({ host: '127.0.0.1', port, method, path: url, headers: rest }, resolve)
    passed.on('error', reject)
    passed.end()
  })
}
