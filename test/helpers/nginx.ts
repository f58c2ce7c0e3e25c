/** A private nginx that caches in front of an origin: on a port of 127.0.0.1, one process, without root. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findNginx } from '../../scripts/find-nginx.mjs'

export interface Nginx {
  readonly url: string
  /** It is killed, and its directory is removed. */
  stop(): Promise<void>
}

const HOST = '127.0.0.1'

/** Answers bear `X-Front`: `MISS`, `HIT`, `REVALIDATED`, ... as nginx has done with them. */
export async function startNginx(origin: string): Promise<Nginx> {
  const program = await findNginx()
  const directory = await mkdtemp(join(tmpdir(), 'tidemark-nginx-'))
  const start = async (): Promise<{ readonly port: number; readonly child: ChildProcess }> => {
    const port = await freePort()
    const file = join(directory, 'nginx.conf')
    await writeFile(file, configuration({ directory, origin, port }))
    return {
      port,
      child: await startProcess(program, ['-p', directory, '-c', file, '-e', 'stderr'], join(directory, 'nginx.pid')),
    }
  }
  // A port that was free a moment ago may have been taken; the second choice hardly ever.
  const { port, child } = await start().catch(start)
  // When this process dies, in whatever way, the pipe closes and the guard clears up.
  const clearUp = ['-c', 'cat; kill -9 "$0"; rm -rf "$1"', String(child.pid), directory]
  const guard = spawn('/bin/sh', clearUp, { stdio: ['pipe', 'ignore', 'ignore'] })
  return {
    url: `http://${HOST}:${port}`,
    async stop() {
      guard.kill('SIGKILL')
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
      await rm(directory, { recursive: true, force: true })
    },
  }
}

interface Place {
  readonly directory: string
  readonly origin: string
  readonly port: number
}

function configuration({ directory, origin, port }: Place): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  proxy_cache_path ${directory}/cache keys_zone=front:1m;
  server {
    listen ${HOST}:${port};
    location / {
      proxy_pass ${origin};
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_cache front;
      proxy_cache_key $request_uri;
      proxy_cache_revalidate on;
      proxy_cache_lock on;
      add_header X-Front $upstream_cache_status always;
    }
  }
}
`
}

/** Its pid is written down when it listens. */
async function startProcess(program: string, args: readonly string[], pidFile: string): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const said: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
  while (child.exitCode === null) {
    if (existsSync(pidFile)) return child
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`nginx did not start:\n${said.join('')}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
