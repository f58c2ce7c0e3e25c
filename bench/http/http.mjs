/**
 * A 20 KB JSON page over HTTP, 50 connections: cached routes of Fastify 5 against the least that the same framework can
 * do, and other caches. Each server is a process of its own on one core; the load generator and Redis share the other.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import { endChild } from '../harness/children.mjs'
import { DELAYS } from '../harness/delays.mjs'
import { FEEDING_CORE, MEASURED_CORE, pinned, pinSelf } from '../harness/machine.mjs'
import { itemPage } from '../harness/payloads.mjs'
import { startRedisServer } from '../harness/redis-server.mjs'
import { ratioAtLeast } from '../harness/report.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { peerNames } from './peers.mjs'

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
  const plain = { xCache: '' }
  await run('HTTP, 20 KB JSON', 1, [
    ['static Buffer', { isLimit: true }],
    ['node:http, static Buffer'],
    ['static Buffer, no cache headers', plain],
    ['no cache, object serialized', plain],
    ['no cache, a query', plain],
    ['tidemark, memory hit', { target: ratioAtLeast(1) }],
    ['tidemark, L1 hit', { target: ratioAtLeast(0.97) }],
    ['static Buffer beside tidemark', { target: ratioAtLeast(0.99) }],
    ['Express and apicache, memory', { ...plain, isPeer: true }],
    ...peers('memory', 'objects'),
    ...peers('memory', 'finished text'),
  ])
}

async function notModified() {
  const asked = { headers: 'if-none-match: *\r\n', status: 304, length: undefined, bodyStart: '' }
  await run('HTTP, 304 in place of 20 KB JSON', 1, [
    ['static Buffer', { isLimit: true }],
    ['304 of a hook', { asked }],
    ['tidemark, memory hit', { target: ratioAtLeast(1.25), asked }],
  ])
}

async function compressed() {
  const asked = { headers: 'accept-encoding: gzip\r\n', length: GZIP_LENGTH, bodyStart: '' }
  await run('HTTP, 20 KB JSON to a client that reads gzip', 1, [
    ['static gzip Buffer', { isLimit: true, asked }],
    ['tidemark and @fastify/compress, memory hit', { target: ratioAtLeast(0.95), asked }],
  ])
}

async function onRedis() {
  for (const pages of [1, MANY]) {
    await run('HTTP on Redis, 20 KB JSON', pages, [
      ['ioredis getBuffer by hand', { isLimit: true }],
      ['ioredis getBuffer by hand, auto-pipelined', { isLimit: true }],
      ['tidemark, Redis hit', { target: ratioAtLeast(1.05) }],
      ...(pages === 1 ? peers('redis', 'objects') : []),
      ...peers('redis', 'finished text'),
    ])
  }
}

/** The short form sees that each peer works in one form of it. */
function peers(place, form) {
  const isOnce = suite.form.isShort && (place === 'memory') === (form === 'objects')
  // async-cache-dedupe hands objects out with their keys sorted: the name of the page is not first.
  const asked = form === 'objects' ? { bodyStart: '' } : {}
  return isOnce ? [] : peerNames(place, form).map((name) => [name, { isPeer: true, asked }])
}

/** Starts the servers, measures them, and ends them. */
async function run(name, pages, contestants) {
  await redis.admin.flushall()
  const taking = contestants.filter(([, it]) => suite.takes(it ?? {}))
  const servers = await Promise.all(taking.map(([server, it]) => serve(server, it ?? {})))
  for (const server of servers) await fill(server, pages)
  const measured = servers.map((server) => contestant(server, pages))
  const children = servers.map(({ child }) => child)
  const pids = [redis.pid, generator.pid, ...children.map(({ pid }) => pid)]
  const facts = { connections, urls: pages, bodyBytes: LENGTH }
  await suite.run(`${name}, ${pages} URL${pages === 1 ? '' : 's'}`, measured, { pids, facts })
  await Promise.all(children.map(endChild))
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
async function fill({ name, port, asked }, pages) {
  for (let page = 0; page < pages; page++) {
    for (let again = 0; again < 2; again++) {
      const response = await fetch(`http://127.0.0.1:${port}/pages/${String(page).padStart(3, '0')}`)
      expect(isRight(await response.text(), page, asked), `${name}: page ${page}`)
      expect(response.headers.get('content-type') === 'application/json; charset=utf-8', `${name}: content-type`)
    }
  }
}

function isRight(body, page, { bodyStart }) {
  const expected = itemPage(page)
  return bodyStart === '' ? isDeepStrictEqual(JSON.parse(body), expected) : body === JSON.stringify(expected)
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
