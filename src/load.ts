/**
 * A miss: flight -> lease -> loader -> fill, or a stale copy.
 *
 * Two rules decide what a caller may be handed. The caller whose own loader ran gets what it loaded. A caller who
 * joined gets it only once the store has confirmed that no invalidation overtook the load; otherwise it asks anew.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from './clock.ts'
import { copy, snapshot } from './codec/snapshot.ts'
import { toMs, type Duration } from './duration.ts'
import { freshness, lifeOf, type Entry, type EntryDraft, type Freshness, type Windows } from './entry.ts'
import { Flight, Flights } from './flight.ts'
import { assertTag, tagStamp } from './key.ts'
import type { Lease, MaybePromise, Store, Verdict } from './stores/store.ts'
import type { Telemetry } from './telemetry.ts'

/** What a loader is told of its load, and may say about it. */
export interface LoadContext<T = unknown> {
  readonly key: string
  readonly namespace: string
  /** Aborts when every caller has given up waiting. */
  readonly signal: AbortSignal
  /** The value that is about to be replaced, if there still is one. */
  readonly stale?: T
  /** Adds tags to the entry, perhaps learnt from what was loaded. */
  tag(...names: string[]): void
  /** Sets the entry's ttl, perhaps learnt from what was loaded; clamped to `cache.maxTtl`. */
  ttl(duration: Duration): void
  /** Keeps the result out of the cache. */
  skip(): void
}

/** What adapters may say beyond it. */
export interface LoadControl extends LoadContext {
  /** Sets all windows of the entry. */
  windows(windows: Windows): void
}

export interface LoadRequest {
  readonly id: string
  readonly key: string
  readonly namespace: string
  /** The parent to hang the entry on. */
  readonly parentId?: string | undefined
  /** The stamps known before the load: the namespace's, then those of its tags. */
  readonly tags: readonly string[]
  readonly windows: Windows
  /** The ttl of a result that is null or undefined; undefined: null is a value like others, undefined is not stored. */
  readonly negativeTtlMs?: number | undefined
  readonly compress?: boolean | undefined
  readonly softTimeoutMs?: number | undefined
  readonly hardTimeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** What the caller found instead of a fresh entry, expired or not. */
  readonly found?: Entry | undefined
  /** Load whatever is stored and whoever is loading. */
  readonly isForced?: boolean | undefined
  /** The store has just failed to answer: do without it. */
  readonly isCutOff?: boolean | undefined
  /** Neither wait for another caller's load nor let anybody wait for this one. */
  readonly isAlone?: boolean | undefined
  run(context: LoadControl): unknown
}

/** What a caller is handed. */
export interface Loaded {
  readonly value: unknown
  readonly shareable: boolean
  /** The entry it stands in, unless it was not stored. */
  readonly entry: Entry | undefined
  readonly source: 'hit' | 'stale' | 'load' | 'joined'
}

/** What those who joined are told: a result they may use, or to ask anew. */
type Outcome = Loaded | 'anew'

interface Led extends Loaded {
  readonly outcome: Outcome | Promise<Outcome>
}

/** The right to load, an entry that another process was quicker to fill, or neither. */
type Claim = Lease | Entry | 'busy' | 'cut off'

/** A load under way, with what its loader has said about it. */
interface Load {
  value: unknown
  loadMs: number
  readonly tags: string[]
  windows: Windows
  isSkipped: boolean
}

export interface LoadsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly leaseMs: number
  readonly waitMs: number
  readonly maxTtlMs: number
  /** A fault of the store rejects; otherwise the load goes on without the store. */
  readonly isStrict: boolean
}

/** Between two looks at whether another process has finished; doubled from the first up to the last. */
const FIRST_PAUSE_MS = 5
const LAST_PAUSE_MS = 100

export class Loads {
  readonly #options: LoadsOptions
  readonly #refreshing = new Set<string>()
  readonly flights: Flights<Led, Outcome> = new Flights()

  constructor(options: LoadsOptions) {
    this.#options = options
  }

  /** Loads, or waits for whoever does; a stale copy in its grace answers if that fails or is late. */
  async load(request: LoadRequest): Promise<Loaded> {
    const { found } = request
    const stale = found !== undefined && this.#freshness(found) !== 'expired' ? found : undefined
    const { softTimeoutMs = Infinity, hardTimeoutMs = Infinity } = request
    const timeoutMs = stale === undefined ? hardTimeoutMs : Math.min(softTimeoutMs, hardTimeoutMs)
    try {
      return await this.#ask(request, Number.isFinite(timeoutMs) ? timeoutMs : undefined)
    } catch (error) {
      if (stale === undefined || request.signal?.aborted === true) throw error
      this.#options.telemetry.events.emit('error', { error, key: request.key, namespace: request.namespace })
      return servedFrom(stale, 'stale')
    }
  }

  /** Loads behind the caller's back, unless anybody does so already. */
  async refresh(request: LoadRequest): Promise<void> {
    const { id, key, namespace } = request
    if (this.#refreshing.has(id) || this.flights.get(id) !== undefined) return
    this.#refreshing.add(id)
    try {
      const claim = await this.#claim(request, 0)
      if (typeof claim !== 'object' || !('token' in claim)) return
      const flight = this.#take(request, claim)
      flight.hold()
      await flight.outcome
    } catch (error) {
      // The stale entry stays where it is, and the next caller tries again.
      this.#options.telemetry.events.emit('error', { error, key, namespace })
    } finally {
      this.#refreshing.delete(id)
    }
  }

  async #ask(request: LoadRequest, timeoutMs: number | undefined): Promise<Loaded> {
    const { id, key, namespace, signal } = request
    const patience = { key, namespace, timeoutMs, signal }
    for (;;) {
      const joined = request.isForced === true || request.isAlone === true ? undefined : this.flights.get(id)
      if (joined === undefined) {
        const flight = this.#take(request)
        return await flight.wait(flight.value, patience)
      }
      this.#options.telemetry.counters.of(namespace).coalesced++
      const outcome = await joined.wait(joined.outcome, patience)
      if (outcome !== 'anew') return outcome
      const entry = await this.#options.store.read(id, request.parentId)
      if (entry !== undefined && this.#freshness(entry) === 'fresh') return servedFrom(entry, 'hit')
    }
  }

  #take(request: LoadRequest, claim?: Claim): Flight<Led, Outcome> {
    const flight = new Flight<Led, Outcome>(
      request.parentId,
      async (self) => {
        try {
          return await this.#lead(request, self, claim)
        } finally {
          this.flights.close(request.id, self)
        }
      },
      (led) => led.outcome,
    )
    if (request.isAlone !== true) this.flights.add(request.id, flight)
    return flight
  }

  async #lead(request: LoadRequest, flight: Flight<Led, Outcome>, given: Claim | undefined): Promise<Led> {
    const { store } = this.#options
    const waitMs = request.isAlone === true ? 0 : this.#options.waitMs
    const claim = given ?? (request.isCutOff === true ? 'cut off' : await this.#claim(request, waitMs))
    if (typeof claim === 'object' && 'value' in claim) return { ...servedFrom(claim, 'hit'), outcome: 'anew' }
    // Loaded beside somebody else's lease, nothing will confirm it: only those who came before it began may share it.
    if (claim === 'busy') this.flights.close(request.id, flight)
    const lease = typeof claim === 'object' ? claim : undefined
    try {
      const load = await this.#run(request, flight.signal, lease)
      this.flights.close(request.id, flight)
      return this.#keep(request, load, lease)
    } catch (error) {
      if (lease !== undefined) void this.#end(request, () => store.release(lease, request.tags))
      throw error
    }
  }

  /** Asks for the lease until it is given, the entry is there, or `waitMs` are over. */
  async #claim(request: LoadRequest, waitMs: number): Promise<Claim> {
    const { id, tags, parentId, windows, isForced } = request
    const { store, leaseMs, isStrict, telemetry } = this.#options
    const parentMs = windows.ttlMs + windows.swrMs + windows.graceMs + leaseMs
    const until = performance.now() + waitMs
    let seen = request.found?.entryId
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)) {
      try {
        const acquired = await store.acquire(id, { tags, leaseMs, seen, steal: isForced === true, parentId, parentMs })
        if (acquired.outcome === 'lead') return acquired.lease
        if (acquired.outcome === 'hit') {
          if (this.#freshness(acquired.entry) === 'fresh') return acquired.entry
          seen = acquired.entry.entryId
          continue
        }
      } catch (error) {
        telemetry.report(error, { key: request.key, namespace: request.namespace })
        if (isStrict) throw error
        return 'cut off'
      }
      if (performance.now() + pauseMs > until) return 'busy'
      await sleep(pauseMs * (0.5 + Math.random() / 2))
    }
  }

  async #run(request: LoadRequest, signal: AbortSignal, lease: Lease | undefined): Promise<Load> {
    const { store, leaseMs, telemetry } = this.#options
    const { counters, events } = telemetry
    const { key, namespace } = request
    const load: Load = { value: undefined, loadMs: 0, tags: [...request.tags], windows: request.windows, isSkipped: false }
    // A beat that is lost does no harm: the next one renews the lease, or the fence decides.
    const beat = async (): Promise<boolean> => lease !== undefined && (await store.extend(lease, leaseMs))
    const heartbeat = lease && setInterval(() => void beat().catch(() => {}), leaseMs / 3).unref()
    const startedAt = performance.now()
    counters.of(namespace).loads++
    try {
      load.value = await request.run(this.#context(request, signal, load))
    } finally {
      clearInterval(heartbeat)
    }
    load.loadMs = Math.round(performance.now() - startedAt)
    if (events.has('load')) events.emit('load', { key, namespace, durationMs: load.loadMs })
    return load
  }

  #context(request: LoadRequest, signal: AbortSignal, load: Load): LoadControl {
    const { key, namespace, found } = request
    const stale = found !== undefined && this.#freshness(found) !== 'expired' ? { stale: handOut(served(found)) } : {}
    return {
      key,
      namespace,
      signal,
      ...stale,
      tag: (...names) => {
        names.forEach(assertTag)
        load.tags.push(...names.map(tagStamp))
      },
      ttl: (duration) => {
        load.windows = { ...load.windows, ttlMs: Math.min(toMs(duration, 'ttl'), this.#options.maxTtlMs) }
      },
      windows: (windows) => {
        load.windows = windows
      },
      skip: () => {
        load.isSkipped = true
      },
    }
  }

  /** Hands what was loaded to the leader, and sends it on its way into the store. */
  #keep(request: LoadRequest, load: Load, lease: Lease | undefined): Led {
    const { store } = this.#options
    const draft = this.#draft(request, load, lease)
    const handed = draft === undefined ? { value: load.value, shareable: true } : served(draft)
    if (lease === undefined) {
      return { ...handed, entry: undefined, source: 'load', outcome: { ...handed, entry: undefined, source: 'joined' } }
    }
    const entry = draft && { ...draft, seq: lease.seq }
    const verdict = this.#end(request, () => (draft ? store.fill(lease, draft) : store.release(lease, load.tags)))
    const outcome = verdict.then((v) => (v === 'fenced' ? 'anew' : { ...handed, entry, source: 'joined' as const }))
    return { ...handed, entry, source: 'load', outcome }
  }

  /** The entry that a load becomes; undefined if it is not to be stored, or cannot be. */
  #draft(request: LoadRequest, load: Load, lease: Lease | undefined): EntryDraft | undefined {
    const { negativeTtlMs, key, namespace, compress } = request
    const isNothing = load.value === undefined || load.value === null
    if (load.isSkipped || (load.value === undefined && negativeTtlMs === undefined)) return undefined
    const windows =
      isNothing && negativeTtlMs !== undefined
        ? { ttlMs: negativeTtlMs, swrMs: 0, graceMs: 0 }
        : load.windows
    try {
      return {
        ...snapshot(load.value ?? null, key),
        ...lifeOf(windows, this.#options.clock.now()),
        entryId: lease?.token ?? '',
        parentId: lease?.parent?.entryId,
        loadMs: load.loadMs,
        tags: [...new Set(load.tags)],
        negative: load.value === undefined,
        compress,
      }
    } catch (error) {
      this.#options.telemetry.report(error, { key, namespace })
      if (this.#options.isStrict) throw error
      return undefined
    }
  }

  /** Ends a lease. `undefined`: the store did not answer, nobody can know. */
  async #end(about: LoadRequest, end: () => MaybePromise<Verdict>): Promise<Verdict | undefined> {
    const { telemetry } = this.#options
    const { key, namespace } = about
    const { events } = telemetry
    try {
      const verdict = await end()
      if (verdict === 'stored' && events.has('fill')) events.emit('fill', { key, namespace })
      if (verdict === 'fenced' && events.has('fence')) events.emit('fence', { key, namespace })
      return verdict
    } catch (error) {
      telemetry.report(error, { key, namespace })
      return undefined
    }
  }

  #freshness(entry: Entry): Freshness {
    return freshness(entry, this.#options.clock.now())
  }
}

function served(entry: Pick<Entry, 'value' | 'shareable' | 'negative'>): Pick<Loaded, 'value' | 'shareable'> {
  return { value: entry.negative ? undefined : entry.value, shareable: entry.shareable }
}

/** An entry as what a caller is handed. */
export function servedFrom(entry: Entry, source: Loaded['source']): Loaded {
  return { ...served(entry), entry, source }
}

/** What goes out of the cache: the frozen value that all callers share, or a copy of what cannot be frozen. */
export function handOut({ value, shareable }: Pick<Loaded, 'value' | 'shareable'>): unknown {
  return shareable ? value : copy(value)
}
