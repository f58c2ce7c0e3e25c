/**
 * Listens to the sentinels for another primary.
 *
 * A primary that is replaced while it is well (`SENTINEL FAILOVER`, or one that was silent for a while and comes back)
 * keeps its connections and takes writes until a sentinel demotes it, some ten seconds later. Meanwhile whoever connects
 * anew is led to its successor, and what is invalidated there is not heard of here. So every sentinel is listened to,
 * since they learn of it one after the other, and each time the connections are left that lead elsewhere.
 */
import type { ServerOptions } from './client.ts'
import { openIoredisSubscriber } from './ioredis.ts'

const CHANNEL = '+switch-master'

export class SentinelWatch {
  readonly #server: ServerOptions
  readonly #onSwitch: (primary: string) => void
  readonly #ports: ReturnType<typeof openIoredisSubscriber>[] = []
  #isOpen = false

  /** @param onSwitch told the `host:port` of the new primary, by each sentinel that learns of it */
  constructor(server: ServerOptions, onSwitch: (primary: string) => void) {
    this.#server = server
    this.#onSwitch = onSwitch
  }

  /** Begins to listen; once is enough. A sentinel that is away is tried again and again. */
  open(): void {
    const { sentinel, ssl, keepAlive, connectTimeoutMs } = this.#server
    if (sentinel === undefined || this.#isOpen) return
    this.#isOpen = true
    const { name, nodes, username, password } = sentinel
    for (const node of nodes) {
      const port = openIoredisSubscriber({ ...node, username, password, ssl, keepAlive, connectTimeoutMs, db: 0 })
      // One that may not be listened to is as good as none.
      const onUp = (): void => void port.subscribe(CHANNEL).catch(() => undefined)
      port.listen({ onUp, onDown: () => undefined, onEnd: () => undefined })
      port.onMessage((_, message) => {
        const [of, , , host, to] = message.toString().split(' ')
        if (of === name) this.#onSwitch(`${host}:${to}`)
      })
      port.connect()
      this.#ports.push(port)
    }
  }

  async close(): Promise<void> {
    this.#isOpen = true
    await Promise.all(this.#ports.splice(0).map((port) => port.close()))
  }
}
