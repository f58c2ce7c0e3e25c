/** Processes of the chaos run, as their parent sees them: bundled once, started, asked, ended. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { WITHOUT_PACKAGES } from '../helpers/esbuild-options.mjs'

export type Program = 'application' | 'generator'

/** The programs, as Node can run them. */
export class Programs {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** @param sources where the sources of the chaos run lie */
  static async build(sources: URL): Promise<Programs> {
    // Below node_modules, so that the bundles find the packages that they import.
    const cache = fileURLToPath(new URL('../../node_modules/.cache/', sources))
    await mkdir(cache, { recursive: true })
    const directory = await mkdtemp(join(cache, 'chaos-'))
    await build({
      ...WITHOUT_PACKAGES,
      entryPoints: ['application', 'generator'].map((name) => fileURLToPath(new URL(`${name}.ts`, sources))),
      outdir: directory,
      outExtension: { '.js': '.mjs' },
    })
    return new Programs(directory)
  }

  async start(program: Program, setup: object): Promise<Child> {
    const path = join(this.#directory, `${program}.mjs`)
    const child = fork(path, [JSON.stringify(setup)], { execArgv: ['--expose-gc'] })
    const [{ port }] = (await once(child, 'message')) as [{ port: number }]
    return new Child(child, port)
  }

  async dispose(): Promise<void> {
    await rm(this.#directory, { recursive: true })
  }
}

interface Answer {
  readonly answers: number
  readonly result?: unknown
  readonly error?: string
}

export class Child {
  /** Where it listens. */
  readonly port: number
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #asked = 0

  constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
    child.on('message', (answer: Answer) => this.#waiting.get(answer.answers)?.(answer))
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  ask<T>(order?: object): Promise<T> {
    const id = this.#asked++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        this.#waiting.delete(id)
        if (error === undefined) resolve(result as T)
        else reject(new Error(error))
      })
      this.#child.send({ id, order })
    })
  }

  async end(): Promise<void> {
    if (!this.isRunning) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}
