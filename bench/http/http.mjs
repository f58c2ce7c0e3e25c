/**
 * A 20 KB JSON page over HTTP, 50 connections: cached routes of Fastify 5 against the least that the same framework can
 * do. Each server is a process of its own on one core; the load generator and Redis share the other.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { endChild } from '../harness/children.mjs'
import { DELAYS } from '../harness/delays.mjs'
import { FEEDING_CORE, MEASURED_CORE, pinned, pinSelf } from '../harness/machine.mjs'
import { itemPage } from '../harness/payloads.mjs'
import { startRedisServer } from '../harness/redis-server.mjs'
import { ratioAtLeast } from '../harness/report.mjs'
import { expect, Suite } from '../harness/suite.mjs'

const LENGTH = JSON.stringify(itemPage(0)).length
const GZIP_LENGTH = gzipSync(JSON.stringify(itemPage(0))).length

// It only waits, but not on the core that is measured.
pinSelf(FEEDING_CORE)
const suite = new Suite('http')
const connections = suite.form.isShort ? 10 : 50
const MANY = suite.form.isShort ? 8 : 512
const children = []
const redis = await startRedisServer()
const generator = await start('generator.mjs', FEEDING_CORE, [])

try {
  await memory()
  await notModified()
  await compressed()
  await onRedis()
  await suite.end(redis.version)
} finally {
  await Promise.all(children.map(endChild))
  await redis.stop()
}

async function memory() {
  const servers = await Promise.all([
    serve('static Buffer', { isLimit: true }),
    serve('static Buffer, no cache headers', { xCache: '' }),
    serve('no cache, object serialized', { xCache: '' }),
    serve('tidemark, memory hit', { target: ratioAtLeast(1) }),
    serve('static Buffer beside tidemark', { target: ratioAtLeast(0.99) }),
  ])
  await run('HTTP, 20 KB JSON', 1, servers)
}

async function notModified() {
  const revalidating = { headers: 'if-none-match: *\r\n', status: 304, length: undefined, bodyStart: '' }
  const servers = await Promise.all([
    serve('static Buffer', { isLimit: true }),
    serve('tidemark, memory hit', { target: ratioAtLeast(1.25), asked: revalidating }),
  ])
  await run('HTTP, 304 in place of 20 KB JSON', 1, servers)
}

async function compressed() {
  const asked = { headers: 'accept-encoding: gzip\r\n', length: GZIP_LENGTH, bodyStart: '' }
  const servers = await Promise.all([
    serve('static gzip Buffer', { isLimit: true, asked }),
    serve('tidemark and @fastify/compress, memory hit', { target: ratioAtLeast(0.95), asked }),
  ])
  await run('HTTP, 20 KB JSON to a client that reads gzip', 1, servers)
}

async function onRedis() {
  const servers = await Promise.all([
    serve('ioredis getBuffer by hand', { isLimit: true }),
    serve('ioredis getBuffer by hand, auto-pipelined', { isLimit: true }),
    serve('tidemark, Redis hit', { target: ratioAtLeast(1.05) }),
  ])
  for (const pages of [1, MANY]) await run('HTTP on Redis, 20 KB JSON', pages, servers)
}

async function run(name, pages, servers) {
  for (const { port } of servers) await fill(port, pages)
  const contestants = servers.map((server) => contestant(server, pages))
  const pids = [redis.pid, ...children.map(({ pid }) => pid)]
  const facts = { connections, urls: pages, bodyBytes: LENGTH }
  await suite.run(`${name}, ${pages} URL${pages === 1 ? '' : 's'}`, contestants, {
    pids,
    facts,
  })
}

async function serve(name, { xCache = 'hit', asked = {}, ...more }) {
  const child = await start('server.mjs', MEASURED_CORE, [name, String(redis.port)])
  return { name, child, port: child.said.port, xCache, asked, more }
}

/** How a server is measured. */
function contestant({ name, child, port, xCache, asked, more }, pages) {
  const page = { path: '/pages/', pages, status: 200, length: LENGTH, bodyStart: '{"page":"', xCache, ...asked }
  const measure = async (ms) => {
    const before = await ask(child, { begins: true })
    const startedAt = performance.now()
    const { generatorCpuMicros, ...outcome } = await ask(generator, { ...page, port, connections, ms })
    const micros = (performance.now() - startedAt) * 1000
    const { cpu, ...delays } = await ask(child, { begins: false })
    const used = cpu.user + cpu.system - before.cpu.user - before.cpu.system
    // A server that was not busy all the time did not show what it can do: then its CPU time alone counts.
    const busy = { serverBusy: used / micros, generatorBusy: generatorCpuMicros / micros }
    return { ...outcome, ...delays, ...busy, seconds: micros / 1e6, cpuMicros: used }
  }
  return { name, measure, measured: [...DELAYS, 'serverBusy', 'generatorBusy'], ...more }
}

/** Every page once: what comes after are hits. The body is compared to the last byte here, its length and name later. */
async function fill(port, pages) {
  for (let page = 0; page < pages; page++) {
    for (let again = 0; again < 2; again++) {
      const response = await fetch(`http://127.0.0.1:${port}/pages/${String(page).padStart(3, '0')}`)
      expect((await response.text()) === JSON.stringify(itemPage(page)), `page ${page}`)
      expect(response.headers.get('content-type') === 'application/json; charset=utf-8', 'content-type')
    }
  }
}

async function start(file, core, args) {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const [program, allArgs] = pinned(core, process.execPath, [path, ...args])
  const child = spawn(program, allArgs, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.push(child)
  const [said] = await once(child, 'message')
  return Object.assign(child, { said })
}

async function ask(child, question) {
  child.send(question)
  const [answer] = await once(child, 'message')
  if (answer.error !== undefined) throw new Error(answer.error)
  return answer
}
