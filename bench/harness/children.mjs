/** How the processes of a suite end. */
import { once } from 'node:events'

/** Lets a forked process end that ends when it is left alone, and waits for it: nobody outlives the Redis it is on. */
export async function endChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  if (child.connected) child.disconnect()
  await exited
}
