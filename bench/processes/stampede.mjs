/**
 * A cold key that everybody wants: 4 processes x 250 callers and a loader of 100 ms, and how long those who wait are kept
 * after the load has ended; other caches beside. Then the same with a loader that is killed in mid-load, and how long its successor takes.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endChild } from '../harness/children.mjs'
import { startRedisServer } from '../harness/redis-server.mjs'
import { spread } from '../harness/rounds.mjs'
import { expect, Suite } from '../harness/suite.mjs'
import { PEERS } from '../peers/measured.mjs'

const PROCESSES = 4
const LOAD_MS = 100
const LEASE_MS = 1000
const MOST_WAIT_MS = 150
const MOST_TAKEOVER_MS = LEASE_MS + 100

const suite = new Suite('stampede')
const CALLERS = suite.form.isShort ? 25 : 250
const ROUNDS = suite.form.isShort ? 1 : 2 * suite.form.rounds
const PEER_ROUNDS = suite.form.isShort ? 1 : 3
const server = await startRedisServer()
const callers = await startAll()

try {
  suite.note(`cold key, ${PROCESSES} processes x ${CALLERS} callers, loader of ${LOAD_MS} ms`, await stampedes())
  if (suite.takes({ isPeer: true })) {
    suite.note(`the same, other caches: loads per round, answered after the first load's end`, await peers())
  }
  suite.note(`the process that loads is killed, lease of ${LEASE_MS} ms`, await takeovers())
  await suite.end(server.version)
} finally {
  await Promise.all(callers.map(endChild))
  await server.stop()
}

async function stampedes() {
  const waits = []
  // The first round opens connections and compiles.
  for (let round = 0; round <= ROUNDS; round++) {
    const { loads, ...wait } = await stampede(callers, `cold_${round}`)
    expect(loads === 1, `one load, got ${loads}`)
    if (round > 0) waits.push(wait)
  }
  const of = (field) => tenths(spread(waits.map((it) => it[field])))
  const p99 = of('p99')
  const target = { text: `p99 <= ${MOST_WAIT_MS} ms after the load's end`, met: p99.median <= MOST_WAIT_MS }
  return { rounds: ROUNDS, loadsPerRound: 1, 'answered after, ms': { p50: of('p50'), p99, max: of('max') }, target }
}

/** Everybody at once: how often it was loaded, and how long after the end of the first load they were answered. */
async function stampede(processes, key) {
  const reports = await Promise.all(processes.map((child) => ask(child, order(key, LOAD_MS))))
  const loads = reports.flatMap((it) => it.loads)
  const endedAt = Math.min(...loads.map((it) => it.endedAt))
  const answers = reports.flatMap((it) => it.answeredAt).map((at) => at - endedAt)
  expect(answers.length === PROCESSES * CALLERS, 'everybody is answered')
  return { loads: loads.length, p50: quantile(answers, 0.5), p99: quantile(answers, 0.99), max: Math.max(...answers) }
}

async function peers() {
  const facts = {}
  for (const [i, { name }] of PEERS.redis.entries()) {
    const redis = { host: server.host, port: server.port, db: i + 1 }
    const processes = await startAll(redis, name)
    const rounds = []
    for (let round = 0; round <= PEER_ROUNDS; round++) rounds.push(await stampede(processes, `cold_${round}`))
    const of = (field) => tenths(spread(rounds.slice(1).map((it) => it[field])))
    facts[name] = { loads: of('loads'), 'p99, ms': of('p99') }
    await Promise.all(processes.map(endChild))
  }
  return facts
}

async function takeovers() {
  const delays = []
  for (let round = 0; round < Math.min(ROUNDS, 5); round++) {
    const killed = await start()
    const key = `killed_${round}`
    killed.send(order(key, 60_000))
    await once(killed, 'message')
    const reports = callers.map((child) => ask(child, order(key, 0)))
    // Long enough for them to wait, and for the lease to have been renewed.
    await new Promise((resolve) => setTimeout(resolve, LEASE_MS / 2))
    killed.kill('SIGKILL')
    const killedAt = now()
    const loads = (await Promise.all(reports)).flatMap((it) => it.loads)
    expect(loads.length === 1, `one successor, got ${loads.length}`)
    delays.push(Math.round(loads[0].beganAt - killedAt))
  }
  const after = spread(delays)
  return {
    'successor after, ms': after,
    target: { text: '<= lease + 100 ms', met: after.max <= MOST_TAKEOVER_MS },
  }
}

function tenths(numbers) {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Math.round(value * 10) / 10]))
}

function order(key, loadMs) {
  return { key, callers: CALLERS, loadMs }
}

function startAll(...setup) {
  return Promise.all(Array.from({ length: PROCESSES }, () => start(...setup)))
}

async function start(setup, peer = []) {
  const config = { redis: { host: server.host, port: server.port }, cache: { leaseTime: `${LEASE_MS}ms` } }
  const args = [JSON.stringify(setup ?? config), ...[peer].flat()]
  const child = fork(fileURLToPath(new URL('caller.mjs', import.meta.url)), args)
  await once(child, 'message')
  return child
}

/** Resolves with the report, whatever else the child has to say before it. */
async function ask(child, question) {
  child.send(question)
  for (;;) {
    const [said] = await once(child, 'message')
    if (said.report !== undefined) return said.report
  }
}

function quantile(numbers, share) {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/** Milliseconds of the clock that all processes share. */
function now() {
  return Number(process.hrtime.bigint()) / 1e6
}
