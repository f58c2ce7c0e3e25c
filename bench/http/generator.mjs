/**
 * Keeps connections busy, in a process of its own: one request after the other on each, every answer checked.
 *
 * autocannon takes 40 to 60 µs of CPU per answer, as much as the fastest server, so it would be measured itself; this
 * takes 20: no parser but for what has to be checked, one buffer for all that is read. It takes part over IPC:
 * `{ port, ... }` starts a slot, whose outcome comes back when the last answer is in, so that requests and the server's
 * CPU time belong together.
 */
import { connect } from 'node:net'
import { Latencies } from '../harness/delays.mjs'

const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024)
const HEAD_END = Buffer.from('\r\n\r\n')

/**
 * A slot: what is asked (`headers` beside the host's), and what a right answer looks like. `pages` different URLs are
 * asked for in turn. No `length`: there is no body.
 */
class Slot {
  #order
  #requests
  #endsAt
  #open
  #next = 0
  #latencies = new Latencies()
  done

  constructor(order) {
    this.#order = order
    this.#open = order.connections
    this.#requests = Array.from({ length: order.pages }, (_, page) => {
      const name = String(page).padStart(3, '0')
      const host = `host: 127.0.0.1:${order.port}\r\n`
      return { bytes: Buffer.from(`GET ${order.path}${name} HTTP/1.1\r\n${host}${order.headers ?? ''}\r\n`), name }
    })
    this.#endsAt = performance.now() + order.ms
    this.done = new Promise((resolve, reject) => {
      const finish = () => --this.#open === 0 && resolve(this.#outcome())
      for (let i = 0; i < order.connections; i++) new Connection(this, finish, reject).open()
    })
  }

  get order() {
    return this.#order
  }

  /** The next request; undefined when the time is over. */
  take(now) {
    if (now >= this.#endsAt) return undefined
    const request = this.#requests[this.#next]
    this.#next = (this.#next + 1) % this.#requests.length
    return request
  }

  record(latencyMs) {
    this.#latencies.record(latencyMs)
  }

  #outcome() {
    return { operations: this.#latencies.count, ...this.#latencies.outcome() }
  }
}

class Connection {
  #slot
  #socket
  #finish
  #reject
  #request
  #askedAt = 0
  /** What of an answer's head has come so far, if it came in pieces. */
  #head = Buffer.alloc(0)
  /** Bytes of the body still to come; undefined: the head is not complete. */
  #left
  /** The beginning of the body, which names the page. */
  #start = ''

  constructor(slot, finish, reject) {
    this.#slot = slot
    this.#finish = finish
    this.#reject = reject
  }

  open() {
    const onread = { buffer: READ_BUFFER, callback: (length, buffer) => this.#read(buffer, length) }
    this.#socket = connect({ port: this.#slot.order.port, host: '127.0.0.1', noDelay: true, onread })
    this.#socket.on('error', this.#reject)
    this.#socket.on('connect', () => this.#ask())
    this.#socket.on('close', () => {
      if (this.#request !== undefined) this.#reject(new Error('the server closed a connection'))
    })
  }

  #ask() {
    const now = performance.now()
    this.#request = this.#slot.take(now)
    if (this.#request !== undefined) {
      this.#askedAt = now
      this.#socket.write(this.#request.bytes)
      return
    }
    this.#socket.destroy()
    this.#finish()
  }

  #read(buffer, length) {
    try {
      let at = 0
      if (this.#left === undefined) at = this.#readHead(buffer, length)
      if (at >= 0) this.#readBody(buffer, at, length)
    } catch (error) {
      this.#reject(error)
      this.#socket.destroy()
    }
    return true
  }

  /** Where the body begins; -1 while the head is not complete. */
  #readHead(buffer, length) {
    const chunk = buffer.subarray(0, length)
    const known = this.#head.length
    const bytes = known === 0 ? chunk : Buffer.concat([this.#head, chunk])
    const end = bytes.indexOf(HEAD_END)
    if (end === -1) {
      this.#head = Buffer.from(bytes)
      return -1
    }
    this.#head = this.#head.subarray(0, 0)
    this.#left = this.#check(bytes.latin1Slice(0, end).toLowerCase()) ?? 0
    this.#start = ''
    return end + HEAD_END.length - known
  }

  /** The length of the body, of an answer whose head is right. */
  #check(head) {
    const { status, length, xCache } = this.#slot.order
    const at = head.indexOf('content-length: ')
    const got = at === -1 ? undefined : Number.parseInt(head.slice(at + 16, at + 26), 10)
    const field = xCache === '' ? '' : `x-cache: ${xCache}`
    if (head.startsWith(`http/1.1 ${status} `) && got === length && (field === '' || head.includes(field))) return got
    throw new Error(`expected ${status}, ${length} bytes, '${field}'; got:\n${head}`)
  }

  #readBody(buffer, at, length) {
    const { bodyStart } = this.#slot.order
    if (this.#start.length < bodyStart.length + 3) {
      this.#start += buffer.latin1Slice(at, Math.min(length, at + bodyStart.length + 3 - this.#start.length))
    }
    this.#left -= length - at
    if (this.#left > 0) return
    if (this.#left < 0) throw new Error('expected the end of the body, got more')
    // Each page begins with its own name: another page's answer would show.
    const expected = bodyStart === '' ? this.#start : `${bodyStart}${this.#request.name}`
    if (this.#start !== expected) throw new Error(`expected a body with ${expected}, got ${this.#start}`)
    this.#left = undefined
    this.#slot.record(performance.now() - this.#askedAt)
    this.#ask()
  }
}

process.on('message', async (order) => {
  try {
    const cpuBefore = process.cpuUsage()
    const outcome = await new Slot(order).done
    const { user, system } = process.cpuUsage(cpuBefore)
    process.send({ ...outcome, generatorCpuMicros: user + system })
  } catch (error) {
    process.send({ error: error.message })
  }
})
process.on('disconnect', () => process.exit())
process.send({ isReady: true })
