/** What a connection says before anything else is asked of it. */
import type { Argument, Reply } from './client.ts'

/** What is said first on every new connection, and now and then later on. */
export interface Greeting {
  say(): readonly Argument[]
  /** What the server answered, each time. */
  onTaken?(reply: Reply): void
  /** We may not say it. The server is taken as it is. */
  onRefused(error: Error): void
  /** The server does not serve us: it still loads, it is a replica. It is left, and tried again. */
  onUnserved(error: Error): void
  /** On Cluster: another node is to be greeted, or the slot is between two. The connection serves other shards. */
  onElsewhere?(error: Error): void
}

/** What a server says again that was silent. */
export const PROOF: Greeting = {
  say: () => ['PING', PROOF_TEXT],
  onRefused: () => undefined,
  onUnserved: () => undefined,
}
const PROOF_TEXT = 'tidemark'.repeat(512)
