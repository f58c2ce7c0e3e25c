/** What goes wrong during a phase: one thing after the other, as the seed decides, and all of it on record. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Crew } from './crew.ts'
import type { Network, Way } from './network.ts'
import type { Random } from './random.ts'
import type { Site, SiteChange } from './site.ts'
import { now } from './time.ts'

export type ChaosKind =
  | 'delay'
  | 'stall'
  | 'deafen'
  | 'hang up'
  | 'cut'
  | 'refuse'
  | 'kill commands'
  | 'kill messages'
  | 'flush'
  | 'lose watermark'
  | 'lose stamps'
  | 'lose marker'
  | 'forget scripts'
  | 'evict'
  | 'restart'
  | 'pause'
  | 'crash'
  | 'reborn'
  | SiteChange

type NetworkFault = Extract<ChaosKind, 'delay' | 'stall' | 'deafen' | 'hang up' | 'cut' | 'refuse'>

/** What was wrong, when, and with whom: without a process it is everybody's affair. */
export interface ChaosEvent {
  readonly kind: ChaosKind
  readonly process: number | undefined
  readonly from: number
  readonly to: number
}

/** The keys of the contestant that hold no entry. */
export interface MetadataKeys {
  readonly watermark: string
  readonly stamps: string
  readonly marker: string
}

export interface ChaosOptions {
  readonly random: Random
  readonly site: Site
  readonly network: Network
  readonly crew: Crew
  readonly metadata: MetadataKeys | undefined
}

const PAUSE_MS = 250
/** Slots move one after the other, as fast as they can. */
const MOVING_PAUSE_MS = 20
/** What Redis may use while entries have to make room. */
const MEMORY_BYTES = 8_000_000
const BALLAST_BYTES = 100_000

/** What ends one process's connection, or the process: nobody else's. */
const OWN: readonly ChaosKind[] = ['delay', 'stall', 'deafen', 'hang up', 'cut', 'refuse', 'pause']

export class Chaos {
  readonly events: ChaosEvent[] = []
  readonly #options: ChaosOptions

  constructor(options: ChaosOptions) {
    this.#options = options
  }

  async run(kinds: readonly ChaosKind[], isOver: () => boolean): Promise<void> {
    const { random } = this.#options
    const pauseMs = kinds.includes('move slot') ? MOVING_PAUSE_MS : PAUSE_MS
    while (!isOver()) {
      await sleep(random.between(0, pauseMs))
      if (kinds.length === 0) continue
      const kind = random.pick(kinds)
      const process = this.#victimOf(kind)
      const from = now()
      await this.#happen(kind, process)
      this.events.push({ kind, process: OWN.includes(kind) ? process : undefined, from, to: now() })
    }
  }

  /** Deaf can only be made who listens by a way of its own. */
  #victimOf(kind: ChaosKind): number {
    const { random, crew, network } = this.#options
    const all = Array.from({ length: crew.size }, (_, process) => process)
    const listening = all.filter((process) => network.way(process, 'messages').connections > 0)
    return random.pick(isOfMessages(kind) && listening.length > 0 ? listening : all)
  }

  async #happen(kind: ChaosKind, process: number): Promise<void> {
    const { site, crew, random } = this.#options
    if (isOfSite(kind)) return site.change(kind, random)
    switch (kind) {
      case 'delay':
      case 'stall':
      case 'deafen':
      case 'hang up':
      case 'cut':
      case 'refuse':
        return this.#disturb(kind, process)
      case 'pause':
        return crew.pause(process, random.between(20, 900))
      case 'crash':
        return crew.crash(process)
      case 'reborn':
        return this.#rebear(process)
      case 'restart':
        return site.restart()
      case 'evict':
        return this.#crowd()
      case 'flush':
        return void (await this.#call('FLUSHALL'))
      case 'forget scripts':
        return void (await this.#call('SCRIPT', 'FLUSH'))
      case 'kill commands':
        return void (await this.#call('CLIENT', 'KILL', 'TYPE', 'normal'))
      case 'kill messages':
        return void (await this.#call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      case 'lose watermark':
      case 'lose stamps':
      case 'lose marker':
        return this.#lose(kind.slice('lose '.length) as keyof MetadataKeys)
    }
  }

  /** The network of one process: of what it says, of what it hears, or of both. */
  async #disturb(kind: NetworkFault, process: number): Promise<void> {
    const { network, random } = this.#options
    const proxies = this.#waysOf(kind, process).map((way) => network.way(process, way))
    const isLong = kind === 'refuse' || kind === 'deafen' || random.chance(0.3)
    const lastsMs = random.between(50, isLong ? 1500 : 500)
    // Answers come late, or questions do: the other way round a race has another winner.
    const [up, down] = random.chance(0.5) ? [0, random.between(0, 60)] : [random.between(0, 20), random.between(0, 20)]
    for (const proxy of proxies) {
      if (kind === 'delay') proxy.delay({ up, down })
      if (kind === 'stall' || kind === 'deafen') proxy.stall()
      if (kind === 'refuse' || kind === 'hang up') proxy.refuse()
      if (kind === 'refuse' || kind === 'hang up' || kind === 'cut') proxy.cut()
    }
    if (kind !== 'cut') await sleep(lastsMs)
    for (const proxy of proxies) {
      proxy.delay(0)
      proxy.resume()
      await proxy.accept()
    }
  }

  #waysOf(kind: NetworkFault, process: number): readonly Way[] {
    const { network, random } = this.#options
    // Who leaves its connections to the library hears where it speaks.
    if (network.way(process, 'messages').connections === 0) return ['commands']
    if (isOfMessages(kind)) return ['messages']
    return random.pick([['commands'], ['messages'], ['commands', 'messages']])
  }

  /** A process is new and knows no stamp yet; one that was just given, and what it would ask for, is gone. */
  async #rebear(process: number): Promise<void> {
    const { crew, random } = this.#options
    const other = (process + 1) % crew.size
    await crew.crash(process, async () => {
      await crew.clear(other)
      await this.#lose(random.pick(['watermark', 'stamps', 'stamps', 'stamps', 'marker']))
    })
  }

  /** Other data makes Redis give up some of ours: entries, leases, the watermark or the stamps. */
  async #crowd(): Promise<void> {
    const { random } = this.#options
    await this.#call('CONFIG', 'SET', 'maxmemory-policy', random.pick(['allkeys-lru', 'allkeys-lru', 'allkeys-random']))
    await this.#call('CONFIG', 'SET', 'maxmemory', String(MEMORY_BYTES))
    const ballast = 'x'.repeat(BALLAST_BYTES)
    for (let i = 0; i < 60; i++) await this.#call('SET', `ballast:${random.below(200)}`, ballast)
    await this.#call('CONFIG', 'SET', 'maxmemory', '0')
  }

  async #lose(what: keyof MetadataKeys): Promise<void> {
    const { metadata } = this.#options
    if (metadata === undefined) return
    if (what === 'marker') await this.#call('ZREM', metadata.stamps, metadata.marker)
    else await this.#call('DEL', metadata[what])
  }

  /** The connection of whoever makes the chaos may be hit by it too. */
  async #call(name: string, ...args: readonly string[]): Promise<unknown> {
    return this.#options.site.call(name, ...args).catch(() => undefined)
  }
}

function isOfSite(kind: ChaosKind): kind is SiteChange {
  return kind === 'move slot' || kind === 'kill master' || kind === 'hand over'
}

function isOfMessages(kind: ChaosKind): boolean {
  return kind === 'deafen' || kind === 'hang up'
}
