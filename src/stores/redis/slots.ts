/** Slots of a Redis Cluster: which one a key is in, which node serves it, and where a redirection leads (pure). */
import type { Reply } from './client.ts'

export const SLOTS = 16_384

/** Where a node listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The slots from `first` to `last` are served by `master`; `others` know of it too. */
export interface SlotRange {
  readonly first: number
  readonly last: number
  readonly master: Address
  readonly others: readonly Address[]
}

export function nameOf({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Of a key with a hash tag only that is hashed: what stands between the first `{` and the next `}`, if anything does. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  return crc16(Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) % SLOTS
}

/** CRC-16/XMODEM, which Redis Cluster prescribes. */
function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff
  }
  return crc
}

/** What CLUSTER SLOTS replies; `asked` is who was asked. */
export function readSlots(reply: Reply, asked: Address): readonly SlotRange[] {
  if (!Array.isArray(reply)) return []
  return (reply as readonly Reply[]).flatMap((range) => {
    const [first, last, ...nodes] = range as readonly [number, number, ...Reply[]]
    const [master, ...others] = nodes.map((node) => readNode(node, asked))
    return master === undefined ? [] : [{ first, last, master, others: others.filter((other) => other !== undefined) }]
  })
}

/** A node that announces no host is where the one that was asked is; `?` has a name that it does not know yet. */
function readNode(node: Reply, asked: Address): Address | undefined {
  const [host, port] = node as readonly [Buffer | null, number]
  const name = host === null ? '' : host.toString()
  return name === '?' ? undefined : { host: name === '' ? asked.host : name, port }
}

/** Where `MOVED 3999 127.0.0.1:6381` and `ASK` lead; `asked` is who said so. */
export function readRedirection(message: string, asked: Address | undefined): Address | undefined {
  const [, host = '', port] = /\b(?:MOVED|ASK) \d+ (\S*):(\d+)/.exec(message) ?? []
  if (port === undefined) return undefined
  if (host === '' || host === '?') return asked && { host: asked.host, port: Number(port) }
  return { host, port: Number(port) }
}
