/** Loads that take their time, as databases do: the version is read somewhere between a pause and another. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Load, ReadOptions, Told, Value } from './contestant.ts'
import type { Key } from './keys.ts'
import type { ProcessSetup } from './messages.ts'
import type { Random } from './random.ts'
import type { Reporting } from './reporting.ts'
import { now } from './time.ts'
import type { Truth } from './truth.ts'

const FAILING_SHARE = 0.01
const SLOW_SHARE = 0.25
const SLOW_MS = 50
/** Longer than a lease: it has to be renewed. */
const LONG_SHARE = 0.006
const LONG_LEASES = 1.4

/** What a loader throws on purpose. */
class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
}

export interface LoadingParts {
  readonly setup: ProcessSetup
  readonly truth: Truth
  readonly random: Random
  readonly reporting: Reporting
}

export class Loading {
  readonly #parts: LoadingParts
  /** The loads under way in this process, by name. */
  readonly #inFlight = new Set<string>()
  #loads = 0

  constructor(parts: LoadingParts) {
    this.#parts = parts
  }

  /** The loads of this process that are under way now. */
  inFlight(): ReadonlySet<string> {
    return new Set(this.#inFlight)
  }

  /** A load for one call that is made now. */
  load(key: Key, { isForced }: Pick<ReadOptions, 'isForced'>): Load {
    const askedAt = now()
    return async (told) => {
      const { setup, reporting } = this.#parts
      const name = `${setup.process}.${setup.life}.${this.#loads++}`
      this.#inFlight.add(name)
      const begunAt = now()
      reporting.counts.loads++
      try {
        return await this.#run(key, name, told)
      } finally {
        this.#inFlight.delete(name)
        const isAbandoned = told?.signal?.aborted === true
        const record = { process: setup.process, key: key.index, askedAt, begunAt, endedAt: now() }
        reporting.add('loads', { ...record, isForced, isAbandoned })
      }
    }
  }

  async #run(key: Key, load: string, told: Told | undefined): Promise<Value> {
    const { truth, random } = this.#parts
    // Decided before the first pause, so that the order of decisions is that of the calls.
    const [before, after] = [this.#pauseMs(), this.#pauseMs()]
    const [fails, bytes] = [random.chance(FAILING_SHARE), random.below(this.#parts.setup.conditions.valueBytes)]
    await sleep(before)
    const version = truth.version(key.index)
    if (random.chance(0.5)) told?.tag?.(...key.learntTags)
    await sleep(after)
    if (fails) throw new DatabaseError('the database is out of order')
    return { key: key.name, version, load, padding: 'x'.repeat(bytes) }
  }

  #pauseMs(): number {
    const { random, setup } = this.#parts
    const { leaseMs } = setup.conditions
    if (random.chance(LONG_SHARE)) return LONG_LEASES * leaseMs
    return random.between(0, random.chance(SLOW_SHARE) ? SLOW_MS : 5)
  }
}
