/** Where the tests' programs come from. Unpacking Debian's packages is left to machines that need it. */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findNginx } from '../../scripts/find-nginx.mjs'
import { find, findRedisServer } from '../../scripts/find-redis.mjs'

let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'tidemark-find-program-'))
})
afterAll(() => rm(home, { recursive: true, force: true }))

async function put(directory: string, name: string, mode = 0o755): Promise<string> {
  await mkdir(join(home, directory), { recursive: true })
  const path = join(home, directory, name)
  await writeFile(path, '#!/bin/sh\n')
  await chmod(path, mode)
  return path
}

test('REDIS_SERVER_BIN goes before the PATH', async () => {
  const chosen = await put('chosen', 'my-redis')
  await put('a', 'redis-server')
  expect(await find({ REDIS_SERVER_BIN: chosen, PATH: join(home, 'a') })).toBe(chosen)
})

test('REDIS_SERVER_BIN that cannot be executed is refused by name', async () => {
  const path = await put('plain', 'redis-server', 0o644)
  await expect(find({ REDIS_SERVER_BIN: path, PATH: '' })).rejects.toThrow('REDIS_SERVER_BIN: expected the path')
  await expect(find({ REDIS_SERVER_BIN: '/nowhere', PATH: '' })).rejects.toThrow("got '/nowhere'")
})

test('a redis-server or a valkey-server on the PATH is found, in the order of the PATH', async () => {
  const valkey = await put('v', 'valkey-server')
  const redis = await put('r', 'redis-server')
  await put('unusable', 'redis-server', 0o644)
  const path = (...names: string[]): string => names.map((name) => join(home, name)).join(':')
  expect(await find({ PATH: path('unusable', 'v', 'r') })).toBe(valkey)
  expect(await find({ PATH: path('unusable', 'r', 'v') })).toBe(redis)
})

test('the command prints what the function returns', async () => {
  const script = new URL('../../scripts/find-redis.mjs', import.meta.url).pathname
  const { stdout } = await promisify(execFile)(process.execPath, [script])
  expect(stdout.trim()).toBe(await findRedisServer())
})

test('an nginx is found by NGINX_BIN and on the PATH, too', async () => {
  const nginx = await put('n', 'nginx')
  expect(await findNginx({ NGINX_BIN: nginx, PATH: '' })).toBe(nginx)
  expect(await findNginx({ PATH: join(home, 'n') })).toBe(nginx)
  await expect(findNginx({ NGINX_BIN: '/nowhere', PATH: '' })).rejects.toThrow('NGINX_BIN: expected the path of nginx')
})
