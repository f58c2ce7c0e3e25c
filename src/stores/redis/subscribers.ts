/** One listening connection per server, or per client of the user's, for all caches of this process on it. */
import type { ServerOptions } from './client.ts'
import { openIoredisSubscriber } from './ioredis.ts'
import { duplicateClient } from './open-client.ts'
import { Subscriber } from './subscriber.ts'

/** Which connection to listen beside. */
export interface Listened {
  readonly server?: ServerOptions | undefined
  readonly client?: unknown
  readonly commandTimeoutMs: number
}

const subscribers = new Map<unknown, Subscriber>()

/** The subscriber of a server; it is made anew after the last one that joined it has left. */
export function subscriberFor({ server, client, commandTimeoutMs }: Listened): Subscriber {
  const name = server === undefined ? client : nameOf(server)
  const there = subscribers.get(name)
  if (there !== undefined) return there
  const port = server === undefined ? duplicateClient(client, commandTimeoutMs) : openIoredisSubscriber(server)
  const subscriber = new Subscriber(port, () => subscribers.delete(name))
  subscribers.set(name, subscriber)
  return subscriber
}

/** Who logs in as somebody else, or another way, may hear something else. */
function nameOf({ host, port, path, sentinel, isClusterNode, username, password, ssl }: ServerOptions): string {
  return JSON.stringify([sentinel ?? path ?? [host, port], isClusterNode, username, password, ssl !== false])
}
