/** The proxy does to a connection what it says, and nothing else. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startFaultProxy, type FaultProxy } from '../../src/testing/fault-proxy.ts'

let echo: Server
let proxy: FaultProxy
let clients: Socket[]

beforeEach(async () => {
  clients = []
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } })
})

afterEach(async () => {
  for (const client of clients) client.destroy()
  await proxy.close()
  echo.close()
})

async function open(): Promise<Socket> {
  const client = connect(proxy.port, proxy.host).on('error', () => undefined)
  clients.push(client)
  await once(client, 'connect')
  return client
}

async function say(client: Socket, text: string): Promise<string> {
  client.write(text)
  let answer = ''
  while (answer.length < text.length) answer += String((await once(client, 'data'))[0])
  return answer
}

test('bytes pass in both directions', async () => {
  expect(await say(await open(), 'hello')).toBe('hello')
})

test('what a client says last is answered although it has ended its half', async () => {
  const client = await open()
  const heard: string[] = []
  client.on('data', (chunk) => heard.push(String(chunk)))
  client.end('goodbye')
  await once(client, 'close')
  expect(heard.join('')).toBe('goodbye')
})

test('connections counts the clients that are connected', async () => {
  expect(proxy.connections).toBe(0)
  const first = await open()
  await say(first, 'a')
  await say(await open(), 'b')
  expect(proxy.connections).toBe(2)
  first.destroy()
  await vi.waitFor(() => expect(proxy.connections).toBe(1))
})

test.each([
  ['both directions', 40, 80],
  ['one direction', { up: 60 }, 60],
  ['the other', { down: 60 }, 60],
])('a delay holds bytes back: %s', async (_, delay, atLeastMs) => {
  const client = await open()
  await say(client, 'before')
  proxy.delay(delay)
  const startedAt = performance.now()
  await say(client, 'after')
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(atLeastMs - 1)
})

test('a delay that ends does not let bytes overtake those held', async () => {
  const client = await open()
  await say(client, 'before')
  proxy.delay({ up: 60 })
  client.write('first ')
  await sleep(10)
  proxy.delay(0)
  const heard: string[] = []
  client.on('data', (chunk) => heard.push(String(chunk)))
  client.write('second')
  await vi.waitFor(() => expect(heard.join('')).toBe('first second'))
})

test('a stalled proxy accepts connections and bytes, answers nothing and closes nothing', async () => {
  const old = await open()
  await say(old, 'before')
  proxy.stall()
  const fresh = await open()
  const events: string[] = []
  for (const client of [old, fresh]) {
    for (const event of ['data', 'end', 'close']) client.on(event, () => events.push(event))
    client.write('anybody?')
  }
  await sleep(50)
  expect(events).toEqual([])
})

test('what a stalled proxy held is delivered in order when it resumes', async () => {
  const client = await open()
  proxy.stall()
  client.write('one ')
  await sleep(10)
  client.write('two ')
  await sleep(10)
  const heard: string[] = []
  client.on('data', (chunk) => heard.push(String(chunk)))
  proxy.resume()
  await vi.waitFor(() => expect(heard.join('')).toBe('one two '))
  expect(await say(client, 'three')).toBe('three')
})

test('cut resets every connection, and new ones are accepted', async () => {
  const client = await open()
  await say(client, 'before')
  const failed = once(client, 'error')
  proxy.cut()
  expect(proxy.connections).toBe(0)
  await expect(failed).resolves.toMatchObject([{ code: 'ECONNRESET' }])
  expect(await say(await open(), 'again')).toBe('again')
})

test('cut after some bytes ends it in the middle of what the server says', async () => {
  const client = await open()
  await say(client, 'before')
  const heard: string[] = []
  client.on('data', (chunk) => heard.push(String(chunk)))
  const closed = once(client, 'close')
  proxy.cut({ afterBytes: 4 })
  client.write('answer')
  await closed
  expect(heard.join('')).toBe('answ')
  expect(await say(await open(), 'again')).toBe('again')
})

test('drip lets the bytes of the server through a few at a time, in order, and 0 ends it', async () => {
  const client = await open()
  await say(client, 'before')
  proxy.drip(200)
  const startedAt = performance.now()
  const heard: string[] = []
  client.on('data', (chunk) => heard.push(String(chunk)))
  client.write('twenty bytes, no more')
  await vi.waitFor(() => expect(heard.join('')).toBe('twenty bytes, no more'))
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(80)
  expect(heard.length).toBeGreaterThan(3)
  proxy.drip(1)
  client.write('and this')
  await vi.waitFor(() => expect(heard.at(-1)).toBe('a'))
  proxy.drip(0)
  await vi.waitFor(() => expect(heard.join('')).toBe('twenty bytes, no moreand this'))
})

test('garble changes every byte of what the server says, and no other', async () => {
  const client = await open()
  proxy.garble()
  client.write('hello')
  const [heard] = (await once(client, 'data')) as [Buffer]
  expect(heard).toEqual(Buffer.from('hello').map((byte) => ~byte))
  proxy.garble(false)
  expect(await say(client, 'again')).toBe('again')
})

test('abandon leaves old connections open that nobody answers, and new ones are well', async () => {
  const old = await open()
  await say(old, 'before')
  const events: string[] = []
  for (const event of ['data', 'end', 'close', 'error']) old.on(event, () => events.push(event))
  proxy.abandon()
  old.write('anybody?')
  expect(await say(await open(), 'new')).toBe('new')
  await sleep(50)
  expect(events).toEqual([])
  old.end()
  await once(old, 'close')
  await vi.waitFor(() => expect(proxy.connections).toBe(1))
})

test('heal ends what is said of connections to come and of bytes', async () => {
  const client = await open()
  proxy.delay(10_000)
  proxy.drip(1)
  proxy.garble()
  proxy.refuse()
  proxy.stall()
  await proxy.heal()
  expect(await say(client, 'well')).toBe('well')
  expect(await say(await open(), 'well too')).toBe('well too')
})

test('refuse lets no new connection in and leaves those there are alone; accept ends it on the same port', async () => {
  const client = await open()
  await say(client, 'before')
  proxy.refuse()
  await expect(once(connect(proxy.port, proxy.host), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(await say(client, 'still here')).toBe('still here')
  await proxy.accept()
  expect(await say(await open(), 'back')).toBe('back')
})

test('refuse and accept may be said twice', async () => {
  await proxy.accept()
  proxy.refuse()
  proxy.refuse()
  await proxy.accept()
  expect(await say(await open(), 'back')).toBe('back')
})

test('a server that is gone is gone through the proxy too', async () => {
  echo.close()
  const client = await open()
  client.resume()
  await once(client, 'close')
  expect(proxy.connections).toBe(0)
})

test('await using closes it', async () => {
  let port: number
  {
    await using inner = await startFaultProxy({ target: { host: '127.0.0.1', port: 1 } })
    port = inner.port
  }
  await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})
