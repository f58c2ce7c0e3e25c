/** Programs and libraries that people ask with, each behind the same two calls. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request as send, type IncomingMessage } from 'node:http'
import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import type { FastifyServerOptions } from 'fastify'
import { Agent as UndiciAgent, Client as UndiciClient, type Dispatcher } from 'undici'
import { onTestFinished } from 'vitest'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Decoded as `Content-Encoding` says. */
  readonly body: string
}

export interface Question {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Goes away when it is aborted, where that is asked for. */
  readonly signal?: AbortSignal
}

/** One who asks an application. */
export interface Client {
  ask(path: string, question?: Question): Promise<Answer>
  /** Resolves when a part of the body is there; what it resolves to goes away in the middle of it. */
  begin(path: string): Promise<() => void>
}

export interface ClientKind {
  readonly name: string
  /** What the application has to speak. */
  readonly server: FastifyServerOptions
  /** Why it cannot be tested here; undefined if it can. */
  missing(): Promise<string | undefined>
  make(origin: string): Client
}

const isThere = async (): Promise<undefined> => undefined

export const CLIENTS: readonly ClientKind[] = [
  { name: 'fetch', server: {}, missing: isThere, make: fetching },
  { name: 'node:http with keep-alive', server: {}, missing: isThere, make: (origin) => keepingAlive(origin) },
  { name: 'undici with keep-alive', server: {}, missing: isThere, make: withUndici },
  { name: 'node:http2', server: { http2: true } as FastifyServerOptions, missing: isThere, make: overHttp2 },
  { name: 'curl', server: {}, missing: missingCurl, make: withCurl },
]

function fetching(origin: string): Client {
  return {
    async ask(path, { method = 'GET', headers = {} } = {}) {
      // Of its own accord it asks for codings.
      const asked = { 'accept-encoding': 'identity', ...headers }
      const response = await fetch(origin + path, { method, headers: asked })
      return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() }
    },
    async begin(path) {
      const control = new AbortController()
      const response = await fetch(origin + path, { signal: control.signal })
      const reader = response.body!.getReader()
      await reader.read()
      // What is still to come is refused to whoever reads on.
      reader.closed.catch(() => undefined)
      return () => control.abort()
    },
  }
}

export function keepingAlive(origin: string, maxSockets = Infinity): Client {
  const agent = new Agent({ keepAlive: true, maxSockets })
  onTestFinished(() => agent.destroy())
  async function open(path: string, { method = 'GET', ...rest }: Question): Promise<IncomingMessage> {
    const [response] = await once(send(origin + path, { agent, method, ...rest }).end(), 'response')
    return response as IncomingMessage
  }
  return {
    async ask(path, question = {}) {
      const response = await open(path, question)
      return answerOf(response.statusCode, response.headers, await buffer(response))
    },
    async begin(path) {
      const response = await open(path, {})
      response.on('error', () => undefined)
      await once(response, 'data')
      return () => void response.destroy()
    },
  }
}

/** Connections of HTTP/1.1 that are kept, as many as are asked for at once. */
function withUndici(origin: string): Client {
  return dispatching(origin, new UndiciAgent({ keepAliveTimeout: 60_000, allowH2: false }))
}

/** One connection of HTTP/1.1, over which up to `depth` requests are on their way at once. */
export function pipelining(origin: string, depth: number): Client {
  return dispatching(origin, new UndiciClient(origin, { pipelining: depth, allowH2: false, keepAliveTimeout: 60_000 }))
}

function dispatching(origin: string, dispatcher: Dispatcher): Client {
  onTestFinished(() => dispatcher.destroy())
  const open = (path: string, { method = 'GET', ...rest }: Question): Promise<Dispatcher.ResponseData> =>
    // `blocking`: no other request goes out before this one's head has come.
    dispatcher.request({ origin, path, method, blocking: false, ...rest })
  return {
    async ask(path, question = {}) {
      const { statusCode, headers, body } = await open(path, question)
      return answerOf(statusCode, headers, await buffer(body))
    },
    async begin(path) {
      const { body } = await open(path, {})
      body.on('error', () => undefined)
      await once(body, 'data')
      return () => void body.destroy()
    },
  }
}

function overHttp2(origin: string): Client {
  let session: ClientHttp2Session | undefined
  function open(path: string, { method = 'GET', headers = {} }: Question): ClientHttp2Stream {
    if (session === undefined) {
      const opened = connect(origin)
      session = opened
      onTestFinished(() => opened.destroy())
    }
    return session.request({ ':path': path, ':method': method, ...headers }).end()
  }
  return {
    async ask(path, question = {}) {
      const stream = open(path, question)
      const [[headers], body] = await Promise.all([once(stream, 'response'), buffer(stream)])
      const { ':status': status, ...fields } = headers as IncomingHttpHeaders
      return answerOf(Number(status), fields, body)
    },
    async begin(path) {
      const stream = open(path, {})
      stream.on('error', () => undefined)
      await once(stream, 'data')
      return () => void stream.destroy()
    },
  }
}

const run = promisify(execFile)

async function missingCurl(): Promise<string | undefined> {
  return run('curl', ['--version']).then(
    () => undefined,
    () => 'there is no curl here',
  )
}

function withCurl(origin: string): Client {
  const options = ['--silent', '--show-error', '--path-as-is', '--noproxy', '*']
  return {
    async ask(path, { method = 'GET', headers = {} } = {}) {
      const fields = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`])
      const how = method === 'HEAD' ? ['--head'] : ['--include', '--request', method]
      const args = [...options, ...how, ...fields, origin + path]
      const { stdout } = await run('curl', args, { encoding: 'buffer' })
      const end = stdout.indexOf('\r\n\r\n')
      const [line = '', ...lines] = stdout.subarray(0, end).toString('latin1').split('\r\n')
      const told = lines.map((field) => [
        field.slice(0, field.indexOf(':')).toLowerCase(),
        field.slice(field.indexOf(':') + 1).trim(),
      ])
      return answerOf(Number(line.split(' ')[1]), Object.fromEntries(told), stdout.subarray(end + 4))
    },
    async begin(path) {
      const child = spawn('curl', [...options, '--no-buffer', origin + path], { stdio: ['ignore', 'pipe', 'ignore'] })
      await once(child.stdout, 'data')
      return () => void child.kill('SIGKILL')
    },
  }
}

function answerOf(status: number | undefined, headers: IncomingHttpHeaders, bytes: Buffer): Answer {
  const fields = Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value])
  const isZipped = headers['content-encoding'] === 'gzip' && bytes.length > 0
  return {
    status: status ?? 0,
    headers: Object.fromEntries(fields) as Answer['headers'],
    body: (isZipped ? gunzipSync(bytes) : bytes).toString(),
  }
}
