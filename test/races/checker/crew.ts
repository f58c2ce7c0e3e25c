/** The processes of one phase, as their parent sees them: started, paused, killed and started again, and listened to. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, Counts, FromProcess, ProcessSetup, ToProcess } from './messages.ts'

/** All faults are over, so whatever was asked is answered by then. */
const FINISH_WITHIN_MS = 15_000
const CLEAR_MS = 30

export interface CrewOptions {
  readonly program: string
  readonly size: number
  setupOf(process: number, life: number): ProcessSetup
  onBatch(batch: Batch): void
}

interface Member {
  readonly child: ChildProcess
  readonly life: number
  readonly up: Promise<void>
  readonly done: Promise<void>
  counts: Counts | undefined
}

export class Crew {
  readonly #options: CrewOptions
  readonly #members: Member[] = []
  /** Who was killed has counted too. */
  readonly #former: Counts[] = []

  constructor(options: CrewOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#options.size
  }

  async start(): Promise<void> {
    for (let process = 0; process < this.size; process++) this.#members[process] = this.#start(process, 0)
    await Promise.all(this.#members.map(({ up }) => up))
    for (const { child } of this.#members) say(child, 'begin')
  }

  async pause(process: number, forMs: number): Promise<void> {
    const { child } = this.#members[process]!
    child.kill('SIGSTOP')
    await sleep(forMs)
    child.kill('SIGCONT')
  }

  /** Has a process invalidate everything, and gives it the time for it. */
  async clear(process: number): Promise<void> {
    say(this.#members[process]!.child, 'clear')
    await sleep(CLEAR_MS)
  }

  /** SIGKILL, and another one in its place; `meanwhile` happens before that one does anything. */
  async crash(process: number, meanwhile?: () => Promise<void>): Promise<void> {
    const member = this.#members[process]!
    await end(member.child)
    if (member.counts) this.#former.push(member.counts)
    const next = this.#start(process, member.life + 1)
    this.#members[process] = next
    await next.up
    await meanwhile?.()
    say(next.child, 'begin')
  }

  /** Lets all of them come to their end; returns those that do not. */
  async finish(): Promise<readonly number[]> {
    for (const { child } of this.#members) say(child, 'finish')
    const endless: number[] = []
    await Promise.all(
      this.#members.map(async ({ child, done }, process) => {
        const late = sleep(FINISH_WITHIN_MS, 'late', { ref: false })
        if ((await Promise.race([done, late])) === 'late') endless.push(process)
        await end(child)
      }),
    )
    return endless
  }

  /** Kills them where they stand. */
  async stop(): Promise<void> {
    await Promise.all(this.#members.map(({ child }) => end(child)))
  }

  counts(): readonly Counts[] {
    return [...this.#former, ...this.#members.map(({ counts }) => counts).filter((counts) => counts !== undefined)]
  }

  #start(process: number, life: number): Member {
    const setup = this.#options.setupOf(process, life)
    const child = fork(this.#options.program, [JSON.stringify(setup)], { execArgv: [] })
    const heard = (kind: FromProcess['kind']): Promise<void> =>
      new Promise((resolve, reject) => {
        child.on('message', (message: FromProcess) => {
          if (message.kind === kind) resolve()
        })
        // One that is killed on purpose is not waited for.
        child.on(
          'exit',
          (code) => code !== null && code !== 0 && reject(new Error(`process ${process} ended: ${code}`)),
        )
      })
    const member: Member = { child, life, up: heard('up'), done: heard('done'), counts: undefined }
    member.done.catch(() => undefined)
    child.on('message', (message: FromProcess) => {
      if (message.kind !== 'batch') return
      member.counts = message.batch.counts
      this.#options.onBatch(message.batch)
    })
    return member
  }
}

function say(child: ChildProcess, message: ToProcess): void {
  if (child.connected) child.send(message, () => undefined)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
