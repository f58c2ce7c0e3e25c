/** One listener for each event of a client that the user brought, however many caches use it: Node warns of more than ten. */

/** What happens to a client. */
interface Emitter {
  on(event: string, listener: (error: Error) => void): unknown
  off(event: string, listener: (error: Error) => void): unknown
}

/** By the event's name. */
type Handlers = Readonly<Record<string, (error: Error) => void>>

interface Hub {
  readonly all: Set<Handlers>
  readonly listeners: Handlers
}

const hubs = new WeakMap<Emitter, Hub>()

/** Calls `handlers` until what is returned is called; all who listen to one client name the same events. */
export function listenTo(client: Emitter, handlers: Handlers): () => void {
  const hub = hubs.get(client) ?? open(client, Object.keys(handlers))
  hub.all.add(handlers)
  return () => {
    if (!hub.all.delete(handlers) || hub.all.size > 0) return
    hubs.delete(client)
    for (const [event, listener] of Object.entries(hub.listeners)) client.off(event, listener)
  }
}

function open(client: Emitter, events: readonly string[]): Hub {
  const all = new Set<Handlers>()
  const listeners = Object.fromEntries(
    events.map((event) => [event, (error: Error): void => all.forEach((handlers) => handlers[event]!(error))]),
  )
  for (const [event, listener] of Object.entries(listeners)) client.on(event, listener)
  const hub = { all, listeners }
  hubs.set(client, hub)
  return hub
}
