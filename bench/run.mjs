/**
 * Runs the suites one after the other, each in a process of its own: `node bench/run.mjs [memory redis invalidation stampede http]`.
 * Options (`--short` and others, see harness/suite.mjs) go to each of them. It needs a built library.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { OPTIONS } from './harness/suite.mjs'

const SUITES = {
  memory: 'micro/memory.mjs',
  redis: 'micro/redis.mjs',
  invalidation: 'micro/invalidation.mjs',
  stampede: 'processes/stampede.mjs',
  http: 'http/http.mjs',
}

const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true })
const options = Object.entries(values).flatMap(([name, value]) =>
  value === true ? [`--${name}`] : [`--${name}`, value],
)
const chosen = positionals.length > 0 ? positionals : Object.keys(SUITES)
const unknown = chosen.filter((name) => !Object.hasOwn(SUITES, name))
if (unknown.length > 0) throw new Error(`suite: expected ${Object.keys(SUITES).join(', ')}, got ${unknown.join(', ')}`)

for (const name of chosen) {
  const path = fileURLToPath(new URL(SUITES[name], import.meta.url))
  const { status } = spawnSync(process.execPath, [path, ...options], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
