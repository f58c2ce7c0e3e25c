/**
 * A miss: flight -> lease -> loader -> fill, or a stale copy.
 *
 * Two rules decide what a caller may be handed. The caller whose own loader ran gets what it loaded. A caller who
 * joined gets it only once the store has confirmed that no invalidation overtook the load; otherwise it asks anew.
 * Where the store does not answer nobody can know, and only those share a load whom the store did not answer either.
 */
import type { Clock } from './clock.ts'
import { unlessAborted, within } from './deadline.ts'
import { freshness, stamped, type Entry, type EntryDraft, type Freshness } from './entry.ts'
import { Flight, Flights, type Patience } from './flight.ts'
import { jittered } from './jitter.ts'
import { awaitedOf, type Led, type Outcome } from './joining.ts'
import type { LoadControl, LoadRequest } from './load-request.ts'
import { loadedFrom, valueOf, type Loaded } from './loaded.ts'
import { contextOf, draftOf, newLoad, noteDraft, type Load } from './loading.ts'
import { patienceBehind, patienceOf, patienceWith, WAITED_OUT } from './patience.ts'
import type { Acquired, Lease, MaybePromise, Store, Verdict, Watch } from './stores/store.ts'
import type { About, Telemetry } from './telemetry.ts'

/** The right to load, an entry that another process was quicker to fill, or neither. */
type Claim = Lease | Entry | 'busy' | 'cut off'

interface Ending {
  readonly tags: readonly string[]
  readonly draft?: EntryDraft | undefined
  readonly as?: string | undefined
}

export interface LoadsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly leaseMs: number
  readonly waitMs: number
  readonly maxTtlMs: number
  /** How long the store may take in all before the loader is run without it. */
  readonly storeMs: number
  /** A fault of the store rejects; otherwise the load goes on without the store. */
  readonly isStrict: boolean
}

/** Between two looks at whether another process has finished; doubled from the first up to the last. */
const FIRST_PAUSE_MS = 5
const LAST_PAUSE_MS = 100

/** A load that takes longer is not renewed any more: it may as well never end. */
const LONGEST_LOAD_MS = 600_000

export class Loads {
  readonly #options: LoadsOptions
  readonly #refreshing = new Set<string>()
  /** Loads beside another's lease, for those who have waited long enough. */
  readonly #beside = new Map<string, Flight<Led, Outcome>>()
  readonly flights: Flights<Led, Outcome> = new Flights()

  constructor(options: LoadsOptions) {
    this.#options = options
  }

  /**
   * The entry that is stored, whatever its age; 'cut off' if the store does not answer.
   *
   * @throws the signal's reason if it aborts meanwhile
   */
  find(
    about: About & Pick<LoadRequest, 'id' | 'parentId'>,
    signal?: AbortSignal,
  ): MaybePromise<Entry | undefined | 'cut off'> {
    try {
      const found = this.#options.store.read(about.id, about.parentId)
      if (!(found instanceof Promise)) return found
      const finding = found.catch((error: unknown) => this.#doWithout(error, about))
      return signal?.aborted === false ? unlessAborted(finding, signal) : finding
    } catch (error) {
      return this.#doWithout(error, about)
    }
  }

  /** Loads, or waits for whoever does; a stale copy in its grace answers if that fails or is late. */
  async load(request: LoadRequest): Promise<Loaded> {
    const { key, namespace, route, signal } = request
    const stale = this.#staleOf(request)
    try {
      return await this.#ask(request, patienceOf(request, stale !== undefined))
    } catch (error) {
      if (stale === undefined || signal?.aborted === true) throw error
      this.#options.telemetry.reportLoad(error, { key, namespace, route })
      return loadedFrom(stale, 'stale')
    }
  }

  /** Loads behind the caller's back, unless anybody does so already. */
  async refresh(request: LoadRequest): Promise<void> {
    const { id, key, namespace, route } = request
    if (this.#refreshing.has(id)) return
    this.#refreshing.add(id)
    try {
      const claim = await this.#claim(request, 0)
      if (typeof claim !== 'object' || !('token' in claim)) return
      const flight = this.#take(request, claim)
      await flight.wait(flight.outcome, patienceBehind(request, this.#options.waitMs))
    } catch (error) {
      // The stale entry stays where it is, and the next caller tries again.
      this.#options.telemetry.reportLoad(error, { key, namespace, route })
    } finally {
      this.#refreshing.delete(id)
    }
  }

  async #ask(request: LoadRequest, patience: Patience): Promise<Loaded> {
    const { signal } = patience
    const askedAt = performance.now()
    let isCutOff = request.isCutOff === true
    let hasWaited = false
    for (;;) {
      signal?.throwIfAborted()
      const beside = hasWaited ? this.#beside.get(request.id) : undefined
      const joined = beside !== undefined && beside.beganAt > askedAt ? beside : this.#joinable(request)
      if (joined === undefined) {
        const flight = this.#take({ ...request, hasWaited }, isCutOff ? 'cut off' : undefined)
        return await flight.wait(flight.value, patience)
      }
      this.#options.telemetry.counters.of(request.namespace).coalesced++
      const awaited = awaitedOf(joined, askedAt, isCutOff)
      const outcome = await joined
        .wait(awaited, patienceWith(joined, patience, this.#options.waitMs))
        .catch((error: unknown) => {
          if (error !== WAITED_OUT) throw error
          return 'waited out' as const
        })
      if (outcome === 'waited out') {
        // Of all who have waited so long, one loads beside the lease, and the others join that.
        this.flights.close(request.id, joined)
        if (joined === beside) this.#beside.delete(request.id)
        hasWaited = true
        continue
      }
      if (outcome === 'alone') {
        const own = this.#take({ ...request, isAlone: true })
        return await own.wait(own.value, patience)
      }
      if (outcome !== 'anew') return outcome
      const found = await this.find(request)
      isCutOff = found === 'cut off'
      if (typeof found === 'object' && this.#freshness(found) === 'fresh') return loadedFrom(found, 'hit')
    }
  }

  #joinable(request: LoadRequest): Flight<Led, Outcome> | undefined {
    return request.isForced === true || request.isAlone === true ? undefined : this.flights.get(request.id)
  }

  #take(request: LoadRequest, claim?: Claim): Flight<Led, Outcome> {
    const close = (self: Flight<Led, Outcome>): void => {
      this.flights.close(request.id, self)
      if (this.#beside.get(request.id) === self) this.#beside.delete(request.id)
    }
    const flight = new Flight<Led, Outcome>({
      parentId: request.parentId,
      take: (self) => this.#lead(request, self, claim).finally(() => close(self)),
      outcomeOf: (led) => led.outcome,
      onAbandoned: close,
    })
    if (request.isAlone !== true) this.flights.add(request.id, flight)
    this.flights.track(flight)
    return flight
  }

  async #lead(request: LoadRequest, flight: Flight<Led, Outcome>, given: Claim | undefined): Promise<Led> {
    const waitMs = request.isAlone === true || request.hasWaited === true ? 0 : this.#options.waitMs
    const claim = given ?? (await this.#claim(request, waitMs, flight))
    if (typeof claim === 'object' && 'value' in claim) return { ...loadedFrom(claim, 'hit'), outcome: 'anew' }
    flight.phase = claim === 'cut off' ? 'cut off' : 'loading'
    // Loaded beside somebody else's lease, nothing will confirm it: only those who came before it began may share it.
    if (claim === 'busy') {
      this.flights.close(request.id, flight)
      if (request.isAlone !== true) this.#beside.set(request.id, flight)
    }
    flight.beganAt = performance.now()
    const lease = typeof claim === 'object' ? claim : undefined
    try {
      if (flight.isAbandoned) flight.signal.throwIfAborted()
      const load = await this.#run(request, flight, lease)
      this.flights.close(request.id, flight)
      return this.#keep(request, load, lease)
    } catch (error) {
      if (lease !== undefined) void this.#end(request, lease, { tags: request.tags })
      throw error
    }
  }

  /** Asks for the lease until it is given, the entry is there, or `waitMs` are over. */
  async #claim(request: LoadRequest, waitMs: number, flight?: Flight<Led, Outcome>): Promise<Claim> {
    const until = performance.now() + waitMs
    let seen = request.found?.entryId
    let watch: Watch | undefined
    let pauseMs = FIRST_PAUSE_MS
    try {
      for (;;) {
        const acquired = await (watch === undefined ? this.#acquireInTime(request, seen) : this.#acquire(request, seen))
        if (acquired.outcome === 'lead') return acquired.lease
        if (acquired.outcome === 'hit') {
          if (this.#freshness(acquired.entry) === 'fresh') return acquired.entry
          seen = acquired.entry.entryId
          continue
        }
        if (performance.now() + pauseMs > until) return 'busy'
        // From the first refusal on, so that an end between two questions is not missed.
        watch ??= this.#options.store.watch(request.id)
        await watch.ended(jittered(pauseMs))
        flight?.signal.throwIfAborted()
        pauseMs = Math.min(2 * pauseMs, LAST_PAUSE_MS)
      }
    } catch (error) {
      if (flight?.signal.aborted === true) throw error
      return this.#doWithout(error, request)
    } finally {
      watch?.stop()
    }
  }

  /** Within what is left of the caller's time for the store: a slow one shall not take it twice. */
  #acquireInTime(request: LoadRequest, seen: string | undefined): Promise<Acquired> {
    const { askedAt } = request
    const acquiring = this.#acquire(request, seen)
    if (askedAt === undefined) return acquiring
    return within(acquiring, { since: askedAt, budgetMs: this.#options.storeMs }, (late) => {
      if (late.outcome === 'lead') void this.#end(request, late.lease, { tags: request.tags })
    })
  }

  async #acquire({ id, tags, parentId, windows, isForced }: LoadRequest, seen: string | undefined): Promise<Acquired> {
    const { store, leaseMs } = this.#options
    const parentMs = windows.ttlMs + windows.swrMs + windows.graceMs + leaseMs
    return store.acquire(id, { tags, leaseMs, seen, steal: isForced === true, parentId, parentMs })
  }

  async #run(request: LoadRequest, flight: Flight<Led, Outcome>, lease: Lease | undefined): Promise<Load> {
    const { store, leaseMs, telemetry } = this.#options
    const { counters, events } = telemetry
    const { key, namespace, tags } = request
    const load = newLoad(request)
    const startedAt = performance.now()
    const beat = async (held: Lease): Promise<unknown> => {
      // Whom nobody waits for, and who takes for ever, must not keep others from loading.
      if (!flight.isAbandoned && performance.now() - startedAt < LONGEST_LOAD_MS) return store.extend(held, leaseMs)
      clearInterval(heartbeat)
      return store.release(held, tags)
    }
    // A beat that is lost does no harm: the next one renews the lease, or the fence decides.
    const heartbeat = lease && setInterval(() => void beat(lease).catch(() => {}), leaseMs / 3).unref()
    counters.of(namespace).loads++
    try {
      load.value = await request.run(this.#context(request, flight, load))
      return load
    } finally {
      clearInterval(heartbeat)
      load.loadMs = Math.round(performance.now() - startedAt)
      if (events.has('load')) events.emit('load', { key, namespace, durationMs: load.loadMs })
    }
  }

  /** What was found, if it may yet be served should the load fail or be late. */
  #staleOf({ found }: LoadRequest): Entry | undefined {
    return found !== undefined && this.#freshness(found) !== 'expired' ? found : undefined
  }

  #context(request: LoadRequest, flight: Flight<Led, Outcome>, load: Load): LoadControl {
    return contextOf(request, load, { flight, stale: this.#staleOf(request), maxTtlMs: this.#options.maxTtlMs })
  }

  /** Hands what was loaded to the leader, and sends it on its way into the store. */
  #keep(request: LoadRequest, load: Load, lease: Lease | undefined): Led {
    const draft = this.#draft(request, load, lease)
    const { value, shareable } = draft === undefined ? { value: load.value, shareable: true } : valueOf(draft)
    // What cannot be copied cannot be shared: one caller would change it under another's feet.
    const joined: Outcome = draft === undefined ? 'alone' : { value, shareable, entry: undefined, source: 'joined' }
    const isPrivate = draft === undefined
    if (lease === undefined) return { value, shareable, entry: undefined, source: 'load', outcome: joined, isPrivate }

    const isNothing = load.value === undefined && request.negativeTtlMs === undefined
    const kept = load.isSkipped || isNothing ? undefined : draft
    const entry = kept && stamped(kept, lease)
    const outcome = this.#end(request, lease, { tags: load.tags, draft: kept, as: load.as }).then((verdict) => {
      if (verdict === 'stored' && joined !== 'alone') return { ...joined, entry }
      return verdict === 'released' || joined === 'alone' ? joined : 'anew'
    })
    // At once, so that who asks when the answer is there finds both.
    if (kept !== undefined && load.note !== undefined) void this.#keepNote(request, lease, load)
    return { value, shareable, entry, source: 'load', outcome, isPrivate }
  }

  /** The entry that a load becomes, should it be stored; undefined if it cannot be. */
  #draft(request: LoadRequest, load: Load, lease: Lease | undefined): EntryDraft | undefined {
    try {
      return draftOf(request, load, { lease, now: this.#options.clock.now() })
    } catch (error) {
      if (!load.isSkipped) this.#doWithout(error, request)
      return undefined
    }
  }

  /** A note is a hint for who comes next: without it, or with that of a load that was refused, one more load is needed. */
  async #keepNote(request: LoadRequest, { parent }: Lease, { note, windows }: Load): Promise<void> {
    const { store, clock, telemetry } = this.#options
    const { key, namespace } = request
    try {
      await store.set(
        note!.id,
        noteDraft(note!.value, windows, { parentId: parent?.entryId, tags: request.tags, now: clock.now() }),
      )
    } catch (error) {
      telemetry.report(error, { key, namespace })
    }
  }

  /** Ends a lease, storing `draft` under it if there is one. `undefined`: the store did not answer, nobody can know. */
  async #end({ key, namespace }: About, lease: Lease, { tags, draft, as }: Ending): Promise<Verdict | undefined> {
    const { store, telemetry } = this.#options
    const release = async (): Promise<Verdict> => store.release(lease, tags)
    try {
      const verdict = await (draft ? store.fill(lease, draft, as) : release())
      if (verdict === 'fenced') telemetry.count('fence', key, namespace)
      else if (verdict === 'stored' && telemetry.events.has('fill')) telemetry.events.emit('fill', { key, namespace })
      return verdict
    } catch (error) {
      telemetry.report(error, { key, namespace })
      // What could not be stored must not keep others waiting for its lease.
      return draft && release().catch(() => undefined)
    }
  }

  /** A fault of the store rejects, with `onError: 'throw'`; otherwise the load goes on without it. */
  #doWithout(error: unknown, { key, namespace }: About): 'cut off' {
    const { telemetry, isStrict } = this.#options
    telemetry.report(error, { key, namespace })
    if (isStrict) throw error
    return 'cut off'
  }

  #freshness(entry: Entry): Freshness {
    return freshness(entry, this.#options.clock.now())
  }
}
