/**
 * Lends this process's PGlite to other processes, in PostgreSQL's wire protocol on a loopback port: `pg` and psql connect to it.
 *
 * It is there for a second instance of this example, not for production. All clients share one session: a batch of
 * messages runs alone, from its first to the one that ends it, but transactions over several batches would mix.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { PGlite } from '@electric-sql/pglite'

// The first byte of a message is its type, except in a handshake, where it is the first byte of a small length.
const HANDSHAKE = 0
const QUERY = 'Q'.charCodeAt(0)
const SYNC = 'S'.charCodeAt(0)
const TERMINATE = 'X'.charCodeAt(0)
const SHORTEST = 5

const ENCRYPTION_REQUESTS = [80877103, 80877104]
const NO_ENCRYPTION = 'N'
const WELCOME = 'R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I' // no password is needed; ready

/** Listens on the port; `undefined` if another process does already. */
export async function claimPort(port: number): Promise<Server | undefined> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return server
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return undefined
    throw error
  }
}

/** Answers everyone who connects to the server. Returns the way to stop. */
export function lend(pglite: PGlite, server: Server): () => void {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    converse(pglite, socket).catch(() => socket.destroy())
  })
  return () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
}

async function converse(pglite: PGlite, socket: Socket): Promise<void> {
  await pglite.waitReady
  let received = Buffer.alloc(0)
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk])
    for (let length = batchLength(received); length > 0; length = batchLength(received)) {
      socket.write(await answer(pglite, received.subarray(0, length)))
      received = received.subarray(length)
    }
  }
}

/** How many bytes lead up to the end of the first batch; 0 if it is not complete yet. */
function batchLength(bytes: Buffer): number {
  let end = 0
  while (bytes.length >= end + SHORTEST) {
    const type = bytes[end]
    const length = type === HANDSHAKE ? bytes.readUInt32BE(end) : 1 + bytes.readUInt32BE(end + 1)
    if (length < SHORTEST) throw new Error('not a PostgreSQL message')
    end += length
    if (end > bytes.length) return 0
    if (type === HANDSHAKE || type === QUERY || type === SYNC || type === TERMINATE) return end
  }
  return 0
}

async function answer(pglite: PGlite, batch: Buffer): Promise<Uint8Array | string> {
  if (batch[0] !== HANDSHAKE) return pglite.runExclusive(() => pglite.execProtocolRaw(new Uint8Array(batch)))
  return ENCRYPTION_REQUESTS.includes(batch.readUInt32BE(4)) ? NO_ENCRYPTION : WELCOME
}
