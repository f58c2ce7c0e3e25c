/**
 * One run of the model: the processes of a program over one server, one step after the other.
 *
 * A step is everything that may happen next: an operation begins, a command reaches the server, a reply or a message
 * reaches a process, a load returns, a timer that is due fires, time passes to the next timer. After each of them
 * everything in the processes runs that can. So a run depends on nothing but its program and the order of its steps.
 */
import { Actor } from './actor.ts'
import { Database, type HasHeard } from './database.ts'
import { Ages } from './network.ts'
import { PROCESSES, tellFault, tellOperation, type Fault, type Program } from './program.ts'
import { ModelServer } from './server.ts'
import { NEXT, TIME, type Step } from './step.ts'
import { Abridger } from './words.ts'
import { actAs, dueTimers, fire, nextDueAt, now, pass, resetTime, settle } from './time.ts'

/** Decides which of the steps that may happen comes next; the oldest stands first. */
export type Schedule = (steps: readonly Step[]) => Step

export interface Outcome {
  /** How the promise was broken, if it was. */
  readonly fault: string | undefined
  /** The names of the steps that were taken after the beginning. */
  readonly taken: readonly string[]
  /** The same in words, if they were asked for. */
  readonly told: readonly string[]
  /** Everything in the program has come to its end. */
  readonly isWhole: boolean
}

export interface RunOptions {
  readonly tells?: boolean
  readonly maxSteps?: number
}

const MAX_STEPS = 400

/** The clocks of the processes differ, in microseconds, by less than any ttl: else nobody would have hits of others. */
const CLOCKS_APART = [0, 200_000, -200_000]

class World {
  fault: string | undefined
  readonly taken: string[] = []
  readonly told: string[] = []
  readonly #program: Program
  readonly #tells: boolean
  readonly #words = new Abridger()
  readonly #ages = new Ages()
  readonly #server = new ModelServer(() => Math.floor(now() * 1000))
  readonly #database = new Database(now)
  readonly #actors: readonly Actor[]
  /** How many events have begun, and how many of those have not ended. */
  #begun = 0
  #busy = 0
  #replica = this.#server.keyspace.snapshot()

  constructor(program: Program, tells: boolean) {
    this.#program = program
    this.#tells = tells
    this.#actors = program.tiers.map((isTiered, i) => {
      const process = PROCESSES[i]!
      actAs(process)
      const clock = (): number => Math.floor(now() * 1000) + CLOCKS_APART[i]!
      const place = { server: this.#server, ages: this.#ages, process, clock }
      const onFault = (fault: string): void => void (this.fault ??= fault)
      const hasHeardUntilNow = (): HasHeard => this.#hasHeardUntilNow()
      return new Actor({ place, database: this.#database, isTiered, onFault, hasHeardUntilNow })
    })
  }

  get isWhole(): boolean {
    return this.#busy === 0 && this.#begun === this.#program.events.length
  }

  /** Connects everybody and lets them hear of each other, in order, without time passing. */
  async warmUp(): Promise<void> {
    for (const [i, actor] of this.#actors.entries()) {
      actAs(PROCESSES[i]!)
      void actor.cache.get('warm').catch(() => undefined)
    }
    await settle()
    for (;;) {
      const [step] = this.#traffic()
      if (step === undefined) return
      await this.#run(step)
    }
  }

  async take(step: Step): Promise<void> {
    this.taken.push(step.name)
    if (this.#tells) this.told.push(this.#words.abridge(step.tell()))
    await this.#run(step)
  }

  steps(): Step[] {
    const traffic = this.#traffic()
    const steps = [...traffic, ...this.#next(traffic.length > 0)]
    const due = nextDueAt()
    if (due === undefined) return steps
    const run = (): void => pass(due - now())
    return [
      ...steps,
      { name: TIME, process: undefined, since: Infinity, tell: () => `${Math.ceil(due - now())} ms pass`, run },
    ]
  }

  async end(): Promise<void> {
    for (const actor of this.#actors) void actor.end()
    for (;;) {
      await settle()
      const [timer] = dueTimers()
      if (timer === undefined) return
      fire(timer)
    }
  }

  #run({ process, run }: Step): Promise<void> | undefined {
    if (process === undefined) {
      run()
      return undefined
    }
    actAs(process)
    run()
    return settle()
  }

  /** What is under way already, the oldest first. */
  #traffic(): Step[] {
    const timers = dueTimers().map((timer): Step => {
      const tell = (): string => `a timer of ${timer.owner} fires`
      return { name: `${timer.owner}!`, process: timer.owner, since: timer.order, tell, run: () => fire(timer) }
    })
    const sent = this.#actors.flatMap((actor) => actor.steps()).toSorted((a, b) => a.since - b.since)
    return [...sent, ...timers]
  }

  #next(isBusy: boolean): Step[] {
    const event = this.#program.events[this.#begun]
    if (event === undefined) return []
    // Named for the event: what is left out of a program leaves the steps of the others as they are.
    const name = `${NEXT}${event.id}`
    if ('fault' in event) {
      const run = (): void => {
        this.#begun++
        this.#happen(event.fault)
      }
      return [{ name, process: '', since: Infinity, tell: () => tellFault(event.fault), run }]
    }
    if (event.isLate && isBusy) return []
    const process = PROCESSES[event.process]!
    const by = `${process}'s ${tellOperation(event.operation)} #${event.id}`
    const run = (): void => {
      this.#begun++
      this.#busy++
      const done = (result: unknown): void => {
        this.#busy--
        if (this.#tells) this.told.push(`  ${by}: ${String(result)}`)
      }
      void this.#actors[event.process]!.perform(event.operation, by).then(done)
    }
    return [{ name, process, since: Infinity, tell: () => `${by} begins`, run }]
  }

  #happen(fault: Fault): void {
    const { keyspace } = this.#server
    if (fault.what === 'pass') return pass(fault.forMs)
    if (fault.what === 'replicate') return void (this.#replica = keyspace.snapshot())
    if (fault.what === 'lose') return this.#lose(fault.key)
    if (fault.what === 'cut') {
      const { client } = this.#actors[fault.process]!
      const cut = fault.role === 'commands' ? client : client.ear
      actAs(PROCESSES[fault.process]!)
      return cut?.cut(fault.isLate)
    }
    if (fault.from === 'nothing') keyspace.flush()
    else keyspace.restore(this.#replica)
    this.#server.restart()
    for (const [i, { client }] of this.#actors.entries()) {
      actAs(PROCESSES[i]!)
      client.drop()
      client.ear?.drop()
    }
    return undefined
  }

  #hasHeardUntilNow(): HasHeard {
    const heard = new Map(
      this.#actors.map(({ client }, i) => [PROCESSES[i] as string, client.ear?.hasHeardUntilNow()] as const),
    )
    return (process) => heard.get(process)?.() ?? true
  }

  #lose(key: string): void {
    const { keyspace } = this.#server
    if (key === 'everything') return keyspace.flush()
    return keyspace.delete(...keyspace.keys().filter((one) => one.endsWith(`}${key}`)))
  }
}

/** Runs a program until the promise is broken, everything is done, or nothing but time has passed for long. */
export async function run(program: Program, schedule: Schedule, options: RunOptions = {}): Promise<Outcome> {
  const { tells = false, maxSteps = MAX_STEPS } = options
  const { stackTraceLimit } = Error
  // Connections are lost all the time, and nobody reads where.
  Error.stackTraceLimit = 0
  try {
    resetTime()
    const world = new World(program, tells)
    if (program.isWarm) await world.warmUp()
    while (world.fault === undefined && !world.isWhole && world.taken.length < maxSteps) {
      await world.take(schedule(world.steps()))
    }
    const { fault, taken, told, isWhole } = world
    await world.end()
    return { fault, taken, told, isWhole }
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
