/** A Redis, a proxy that misbehaves, an application on it and steady load on that: what every chaos run begins with. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startFaultProxy, type FaultProxy } from '../../src/testing/index.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'
import type { ApplicationOrder, ApplicationSetup, Facts, KeysOrder, Outcomes } from './application.ts'
import { Programs, type Child } from './child.ts'
import type { GeneratorSetup, Harvest } from './generator.ts'
import { SERVER_ARGS, type Place } from './outages.ts'

export interface SceneOptions extends Omit<GeneratorSetup, 'port'>, Pick<ApplicationSetup, 'handlerMs'> {
  readonly socketTimeoutMs: number
}

/** What the full run has. */
export const FULL_LOAD: SceneOptions = {
  connections: 50,
  everyMs: 25,
  pages: 200,
  coldShare: 0.02,
  seed: 1,
  handlerMs: 20,
  socketTimeoutMs: 500,
}

/** What `npm test` has: as much as shows what is right, and does not depend on how fast it is. */
export const LIGHT_LOAD: SceneOptions = { ...FULL_LOAD, connections: 10, everyMs: 20, pages: 40 }

const SOURCES = new URL('.', import.meta.url)

export class Scene implements Place {
  readonly server: RedisServer
  readonly proxy: FaultProxy
  readonly #programs: Programs
  readonly #options: SceneOptions
  readonly #children: Child[] = []

  private constructor(server: RedisServer, proxy: FaultProxy, { programs, options }: SceneParts) {
    this.server = server
    this.proxy = proxy
    this.#programs = programs
    this.#options = options
  }

  static async open(options: SceneOptions, sources: URL = SOURCES): Promise<Scene> {
    const programs = await Programs.build(sources)
    const server = await startRedis({ args: SERVER_ARGS })
    const proxy = await startFaultProxy({ target: server })
    return new Scene(server, proxy, { programs, options })
  }

  /** Another process of the application; its Redis is behind the proxy, or is not. */
  async startApplication({ isBehindProxy = true } = {}): Promise<Application> {
    const { host, port } = isBehindProxy ? this.proxy : this.server
    const { socketTimeoutMs, handlerMs } = this.#options
    const redis = { host, port, socketTimeout: socketTimeoutMs / 1000 }
    const setup: ApplicationSetup = { config: { redis }, handlerMs }
    return new Application(await this.#start('application', setup))
  }

  /** Begins to ask an application. */
  async startLoad(application: Application): Promise<Load> {
    const setup: GeneratorSetup = { ...this.#options, port: application.child.port }
    return new Load(await this.#start('generator', setup))
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end()))
    await this.proxy.close()
    await this.server.stop()
    await this.#programs.dispose()
  }

  async #start(program: 'application' | 'generator', setup: object): Promise<Child> {
    const child = await this.#programs.start(program, setup)
    this.#children.push(child)
    return child
  }
}

interface SceneParts {
  readonly programs: Programs
  readonly options: SceneOptions
}

export class Application {
  readonly child: Child

  constructor(child: Child) {
    this.child = child
  }

  facts(): Promise<Facts> {
    return this.child.ask<Facts>({ what: 'facts' } satisfies ApplicationOrder)
  }

  /** What is stored under the keys. */
  peek(namespace: string, keys: readonly string[]): Promise<Outcomes> {
    return this.#ask({ what: 'peek', namespace, keys })
  }

  /** @param value what a load of a key brings */
  read(namespace: string, keys: readonly string[], value: string): Promise<Outcomes> {
    return this.#ask({ what: 'read', namespace, keys, value })
  }

  /** @param value what a load of a key brings afterwards */
  invalidate(namespace: string, keys: readonly string[], value: string): Promise<Outcomes> {
    return this.#ask({ what: 'invalidate', namespace, keys, value })
  }

  #ask(order: KeysOrder): Promise<Outcomes> {
    return this.child.ask<Outcomes>(order)
  }
}

export class Load {
  readonly #child: Child

  constructor(child: Child) {
    this.#child = child
  }

  /** What has come since the last time. */
  harvest(): Promise<Harvest> {
    return this.#child.ask<Harvest>()
  }

  /** What comes within so long from now. */
  async during(ms: number): Promise<Harvest> {
    await this.harvest()
    await sleep(ms)
    return this.harvest()
  }
}
