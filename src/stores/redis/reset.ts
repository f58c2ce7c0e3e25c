/**
 * Ends a connection on which something was left unanswered.
 *
 * A socket that is closed leaves what it was given with the kernel, which goes on to deliver it for minutes: a `set` that
 * was given up while the network was gone would arrive when it is back, behind the `delete` that a new connection had
 * taken meanwhile. One that is reset (RST) takes it back.
 */
import type { Socket } from 'node:net'

/** Node's own hold of a TCP connection; that of a unix socket has no `reset`. */
interface TcpHandle {
  close(done?: () => void): void
  reset(done?: () => void): number
}

/**
 * Resets it where there is TCP beneath, else just ends it: a unix socket has no network that would hold anything back.
 *
 * Not by `resetAndDestroy`, which is refused with TLS, waits for what the kernel has not taken yet, and never closes a
 * socket that is destroyed while it waits.
 */
export function reset(stream: Socket): void {
  // Libuv resets none that is being shut down, and Node cannot close it afterwards.
  if (stream.writableEnded) return void stream.destroy()
  const handle: unknown = Reflect.get(stream, '_handle')
  // Beneath TLS; it is closed along with what is above.
  const tcp = [handle, isObject(handle) ? Reflect.get(handle, '_parent') : undefined].find(isTcp)
  if (tcp !== undefined) {
    tcp.close = (done) => void tcp.reset(done)
  }
  stream.destroy()
}

function isTcp(handle: unknown): handle is TcpHandle {
  return isObject(handle) && 'reset' in handle && typeof handle.reset === 'function'
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
