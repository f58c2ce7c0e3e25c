// Runs one code block of the documents in a process of its own: `node run-document-block.mjs <module>`.
//
// A document names the ports its reader will use: 3000 for a server, 6379 for Redis. Here every server listens on a free
// port of 127.0.0.1, and who connects to the port that was named reaches it. TIDEMARK_DOCS holds, as JSON, the port of
// the Redis to use in place of 6379, and the requests that a reader is told to make once the server listens.
import net from 'node:net'
import { pathToFileURL } from 'node:url'

const HOST = '127.0.0.1'
const { redisPort, requests } = JSON.parse(process.env.TIDEMARK_DOCS ?? '{}')

// 1 answers nobody: without a Redis of its own a block must not reach one that happens to run on this machine.
const ports = new Map([[6379, redisPort ?? 1]])

let isListening
const listening = new Promise((resolve) => {
  isListening = resolve
})

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function listenOnFreePort(...args) {
  const [first, ...rest] = args
  const isOptions = typeof first === 'object' && first !== null
  const named = Number(isOptions ? first.port : first)
  if (!Number.isInteger(named)) return listen.apply(this, args)
  this.once('listening', () => {
    if (!ports.has(named)) ports.set(named, this.address().port)
    isListening()
  })
  if (isOptions) return listen.call(this, { ...first, port: 0, host: HOST }, ...rest)
  return listen.call(this, 0, HOST, ...rest.filter((arg) => typeof arg === 'function'))
}

const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function connectToRealPort(...args) {
  // Node itself passes its arguments as one array that it has marked, so the array must stay the same.
  const list = Array.isArray(args[0]) ? args[0] : args
  const isOptions = typeof list[0] === 'object' && list[0] !== null
  const port = ports.get(Number(isOptions ? list[0].port : list[0]))
  if (port !== undefined && isOptions) list[0] = { ...list[0], port, host: HOST }
  else if (port !== undefined) list.splice(0, typeof list[1] === 'string' ? 2 : 1, port, HOST)
  return connect.apply(this, args)
}

/** Makes the request, and says what is missing in its answer. */
async function check({ url, expected, ...request }) {
  const response = await fetch(url, request)
  const headers = Array.from(response.headers, ([name, value]) => `${name}: ${value}`)
  const status = `HTTP/1.1 ${response.status} ${response.statusText}`
  const answer = [status, ...headers, '', await response.text()].join('\n')
  for (const text of expected) {
    if (!answer.toLowerCase().includes(text.toLowerCase())) throw new Error(`${url}: expected ${text}, got\n${answer}`)
  }
  if (expected.length === 0 && !response.ok) throw new Error(`${url}: expected a success, got\n${answer}`)
}

await import(pathToFileURL(process.argv[2]).href)
// A block that starts a server ends once its reader's requests are answered; any other must end by itself.
void listening.then(async () => {
  for (const request of requests ?? []) await check(request)
  process.exit()
})
