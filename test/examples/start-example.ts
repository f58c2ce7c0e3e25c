/** The example as a newcomer starts it: built against the package, in a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, rm, symlink } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { buildPackage, ROOT, temporaryFolder, tsc } from '../helpers/stranger.ts'

const EXAMPLE = 'examples/fastify-crud'

/** A copy of the repository with only this example in it, built. The caller removes it. */
export async function buildExample(): Promise<string> {
  const folder = await temporaryFolder()
  await buildPackage(folder)
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  await cp(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  const filter = (source: string): boolean => !source.startsWith(join(ROOT, EXAMPLE, 'dist'))
  await cp(join(ROOT, EXAMPLE), join(folder, EXAMPLE), { recursive: true, filter })
  const { code, stdout } = await tsc(['-p', EXAMPLE], folder)
  if (code === 0) return folder
  await rm(folder, { recursive: true, force: true })
  throw new Error(`the example does not build:\n${stdout}`)
}

export interface Instance {
  readonly url: string
  /** What it has printed up to now. */
  output(): string
  /** Sends the signal and resolves with the exit code; `null` if the signal itself ended the process. */
  stop(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | null>
}

/** Starts it on a free port of its own, for the test that runs; `env` is all it sees of the environment. */
export async function startExample(folder: string, env: Readonly<Record<string, string>> = {}): Promise<Instance> {
  const port = await freePort()
  const child = spawn(process.execPath, [join(folder, EXAMPLE, 'dist/server.js')], {
    env: { PATH: process.env['PATH'], PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  const exited = once(child, 'exit') as Promise<[number | null]>
  let output = ''
  const listening = new Promise<'listening'>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        if (output.includes('/docs')) resolve('listening')
      })
    }
  })
  const outcome = await Promise.race([listening, exited])
  if (outcome !== 'listening') throw new Error(`the example ended with ${outcome[0]}:\n${output}`)

  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    async stop(signal) {
      child.kill(signal)
      const [code] = await exited
      return code
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
