/**
 * Runs the suites one after the other, each in a process of its own: `node bench/run.mjs [memory redis invalidation http]`.
 * Further options go to each of them (harness/suite.mjs): `--short`, `--results <folder>`. It needs a built library.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const SUITES = {
  memory: 'micro/memory.mjs',
  redis: 'micro/redis.mjs',
  invalidation: 'micro/invalidation.mjs',
  http: 'http/http.mjs',
}

const options = { short: { type: 'boolean' }, results: { type: 'string' } }
const { values, positionals } = parseArgs({ options, allowPositionals: true })
const chosen = positionals.length > 0 ? positionals : Object.keys(SUITES)
const unknown = chosen.filter((name) => !Object.hasOwn(SUITES, name))
if (unknown.length > 0) throw new Error(`suite: expected ${Object.keys(SUITES).join(', ')}, got ${unknown.join(', ')}`)

for (const name of chosen) {
  const path = fileURLToPath(new URL(SUITES[name], import.meta.url))
  const args = [path, ...(values.short ? ['--short'] : []), ...(values.results ? ['--results', values.results] : [])]
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
