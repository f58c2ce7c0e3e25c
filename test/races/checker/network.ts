/** The ways of each process to Redis, one for commands and one for what it listens to, each with faults of its own. */
import { startFaultProxy, type FaultProxy } from '../../../src/testing/index.ts'

/** A process that leaves its connections to the library takes the way of commands for both. */
export type Way = 'commands' | 'messages'

export class Network {
  readonly #proxies: readonly Readonly<Record<Way, FaultProxy>>[]

  private constructor(proxies: readonly Readonly<Record<Way, FaultProxy>>[]) {
    this.#proxies = proxies
  }

  static async start(processes: number, target: { readonly host: string; readonly port: number }): Promise<Network> {
    const start = async (): Promise<Record<Way, FaultProxy>> => ({
      commands: await startFaultProxy({ target }),
      messages: await startFaultProxy({ target }),
    })
    return new Network(await Promise.all(Array.from({ length: processes }, start)))
  }

  way(process: number, way: Way): FaultProxy {
    return this.#proxies[process]![way]
  }

  url(process: number, way: Way): string {
    const { host, port } = this.way(process, way)
    return `redis://${host}:${port}`
  }

  /** Ends all faults. */
  async heal(): Promise<void> {
    await Promise.all(
      this.#all().map(async (proxy) => {
        proxy.delay(0)
        proxy.resume()
        await proxy.accept()
      }),
    )
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map((proxy) => proxy.close()))
  }

  #all(): readonly FaultProxy[] {
    return this.#proxies.flatMap((ways) => Object.values(ways))
  }
}
