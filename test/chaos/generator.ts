/**
 * Steady load in a process of its own: each connection asks at a steady pace, one request after the other, and every
 * answer is held against the right one. A request that is answered late delays its own connection's next ones alone.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { textOf } from './pages.ts'
import { Random } from '../races/checker/random.ts'

export interface GeneratorSetup {
  readonly port: number
  readonly connections: number
  /** From one request of a connection to its next one. */
  readonly everyMs: number
  /** How many pages are asked for again and again. */
  readonly pages: number
  /** How many of the requests are for a page that nobody has asked for before. */
  readonly coldShare: number
  readonly seed: number
}

/** One answer: when it came, after how long, and whether it was a hit. */
export type Sample = readonly [at: number, latencyMs: number, isHit: 0 | 1]

/** What has come since the last time it was asked for. */
export interface Harvest {
  readonly samples: readonly Sample[]
  /** Answers that were not 200, or not the page; connections that were lost. The first few of them. */
  readonly wrong: readonly string[]
  readonly wrongs: number
}

const HEAD_END = '\r\n\r\n'
const SHOWN = 5

const setup = JSON.parse(process.argv[2]!) as GeneratorSetup
const random = new Random(setup.seed)
let samples: Sample[] = []
let wrong: string[] = []
let wrongs = 0
let colds = 0

function complain(what: string): void {
  wrongs++
  if (wrong.length < SHOWN) wrong.push(what.slice(0, 300))
}

async function run(): Promise<void> {
  let socket = await open()
  for (let dueAt = performance.now() + random.between(0, setup.everyMs); ;) {
    await sleep(Math.max(0, dueAt - performance.now()))
    // Who was kept waiting does not ask the faster for it.
    dueAt = Math.max(dueAt + setup.everyMs, performance.now())
    const page = random.chance(setup.coldShare) ? `cold-${process.pid}-${colds++}` : `p${random.below(setup.pages)}`
    try {
      await ask(socket, page)
    } catch (error) {
      complain(`${page}: ${String(error)}`)
      socket = await open()
    }
  }
}

async function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: setup.port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => resolve(socket)).once('error', reject)
  })
}

async function ask(socket: Socket, page: string): Promise<void> {
  const askedAt = performance.now()
  socket.write(`GET /pages/${page} HTTP/1.1\r\nhost: 127.0.0.1:${setup.port}\r\n\r\n`)
  const { head, body } = await answerOf(socket)
  const latencyMs = performance.now() - askedAt
  const isHit = head.includes('x-cache: hit')
  samples.push([Date.now(), latencyMs, isHit ? 1 : 0])
  if (!head.startsWith('http/1.1 200 ')) complain(`${page}: ${head} ${body}`)
  else if (body !== textOf(page)) complain(`${page}: 200 with ${body.slice(0, 100)} (${body.length} bytes)`)
}

/** The next answer, which has a length. */
function answerOf(socket: Socket): Promise<{ readonly head: string; readonly body: string }> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      const end = text.indexOf(HEAD_END)
      if (end === -1) return
      const head = text.slice(0, end).toLowerCase()
      const length = Number(/content-length: (\d+)/.exec(head)?.[1])
      const bodyAt = end + HEAD_END.length
      if (text.length < bodyAt + length) return
      settle()
      resolve({ head, body: text.slice(bodyAt) })
    }
    const onClose = (): void => {
      settle()
      reject(new Error('the server closed the connection'))
    }
    const settle = (): void => void socket.off('data', onData).off('close', onClose)
    socket.on('data', onData).on('close', onClose)
  })
}

process.on('message', ({ id }: { id: number }) => {
  const harvest: Harvest = { samples, wrong, wrongs }
  samples = []
  wrong = []
  wrongs = 0
  process.send!({ answers: id, result: harvest })
})
process.on('disconnect', () => process.exit())
for (let i = 0; i < setup.connections; i++) void run()
process.send!({ port: 0 })
