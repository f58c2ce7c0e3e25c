/**
 * Finds an nginx for the tests: `NGINX_BIN`, else nginx on the PATH, else Debian's, unpacked (find-program.mjs).
 * `node scripts/find-nginx.mjs` prints the path; `findNginx()` returns it.
 */
import { findProgram, printIfStarted } from './find-program.mjs'

/** @type {import('./find-program.mjs').Program} */
const NGINX = {
  variable: 'NGINX_BIN',
  names: ['nginx'],
  packages: ['nginx'],
  path: '/usr/sbin/nginx',
  version: '-v',
  howToGetOne: `There is no nginx here. Any of these will do:
  - install it: apt-get install nginx, brew install nginx, ...
  - set NGINX_BIN to the path of an nginx`,
}

/** The path of an nginx. Rejects with what to do if there is none. */
export function findNginx(env = process.env) {
  return findProgram(NGINX, env)
}

printIfStarted(import.meta.url, findNginx)
