/** Processes with a cache each, on one Redis: told what to do, step by step, so that a race has one outcome. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { ApplicationConfig } from '../../src/index.ts'
import { WITH_PACKAGES } from './esbuild-options.mjs'
import type { LoadOrder, LoadReport, Method, Order, ProcessEvent, Said } from './race-process.ts'

export class Processes {
  readonly #directory: string
  readonly #started: RaceProcess[] = []

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** Node runs no TypeScript: what the processes run is built once. */
  static async prepare(): Promise<Processes> {
    const directory = await mkdtemp(join(tmpdir(), 'tidemark-races-'))
    await build({
      ...WITH_PACKAGES,
      entryPoints: [fileURLToPath(new URL('race-process.ts', import.meta.url))],
      outfile: join(directory, 'race-process.mjs'),
    })
    return new Processes(directory)
  }

  start(count: number, config: ApplicationConfig): Promise<RaceProcess[]> {
    return Promise.all(Array.from({ length: count }, () => this.#start(config)))
  }

  /** Ends the processes that were started since the last call. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#started.splice(0).map((one) => one.kill()))
  }

  async dispose(): Promise<void> {
    await this.stopAll()
    await rm(this.#directory, { recursive: true })
  }

  async #start(config: ApplicationConfig): Promise<RaceProcess> {
    const child = fork(join(this.#directory, 'race-process.mjs'), [JSON.stringify(config)], { execArgv: [] })
    const started = new RaceProcess(child)
    this.#started.push(started)
    await started.next('up')
    return started
  }
}

export class RaceProcess {
  readonly #child: ChildProcess
  readonly #answers = new Map<number, (said: Extract<Said, { answers: number }>) => void>()
  readonly #events: ProcessEvent[] = []
  readonly #waiting = new Set<() => void>()
  #orders = 0

  constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (said: Said) => {
      if ('answers' in said) return this.#answers.get(said.answers)?.(said)
      this.#events.push(said.event)
      for (const look of this.#waiting) look()
    })
  }

  /** So many callers of `getOrSet`; resolves when each has been answered. */
  load(load: LoadOrder): Promise<LoadReport> {
    return this.#order({ what: 'load', load }) as Promise<LoadReport>
  }

  /** Lets the loaders that wait end. */
  async open(): Promise<void> {
    await this.#order({ what: 'open' })
  }

  call(method: Method, ...args: readonly unknown[]): Promise<unknown> {
    return this.#order({ what: 'call', method, args })
  }

  /** How many callers have joined another's load, and how many loaders ran. */
  statistics(): Promise<{ readonly coalesced: number; readonly loads: number }> {
    return this.call('getStatistics') as Promise<{ coalesced: number; loads: number }>
  }

  /** The first of these events that has not been waited for yet. */
  next(...events: readonly ProcessEvent[]): Promise<ProcessEvent> {
    return new Promise((resolve) => {
      const look = (): void => {
        const index = this.#events.findIndex((event) => events.includes(event))
        if (index < 0) return
        this.#waiting.delete(look)
        resolve(this.#events.splice(index, 1)[0]!)
      }
      this.#waiting.add(look)
      look()
    })
  }

  pause(): void {
    this.#child.kill('SIGSTOP')
  }

  resume(): void {
    this.#child.kill('SIGCONT')
  }

  /** SIGKILL: it cannot say goodbye to anybody. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  #order(order: Order): Promise<unknown> {
    const id = this.#orders++
    return new Promise((resolve, reject) => {
      this.#answers.set(id, ({ result, error }) => {
        this.#answers.delete(id)
        if (error === undefined) resolve(result)
        else reject(new Error(error))
      })
      this.#child.send({ id, order })
    })
  }
}
