/**
 * Finds a redis-server for the tests: `REDIS_SERVER_BIN`, else redis-server or valkey-server on the PATH, else Debian's,
 * unpacked (find-program.mjs). `node scripts/find-redis.mjs` prints the path; `findRedisServer()` returns it.
 */
import { findProgram, printIfStarted } from './find-program.mjs'

/** @type {import('./find-program.mjs').Program} */
const REDIS = {
  variable: 'REDIS_SERVER_BIN',
  names: ['redis-server', 'valkey-server'],
  // Debian keeps the binary in redis-tools; redis-server has the name it is called by.
  packages: ['redis-server', 'redis-tools'],
  path: '/usr/bin/redis-server',
  version: '--version',
  howToGetOne: `The tests run on a real Redis, and there is none here. Any of these will do:
  - install it: apt-get install redis-server, brew install redis, ... (or valkey)
  - set REDIS_SERVER_BIN to the path of a redis-server or valkey-server`,
}

let found

/** The path of a redis-server. Rejects with what to do if there is none. */
export function findRedisServer() {
  found ??= find(process.env)
  return found
}

/** The same for another environment, and looked up anew. */
export function find(env) {
  return findProgram(REDIS, env)
}

printIfStarted(import.meta.url, findRedisServer)
