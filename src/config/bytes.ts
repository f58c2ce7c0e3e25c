/** Sizes as people write them: a bare number is bytes, a string carries its unit, each 1024 of the one before. */

/** `1024` and `'1024b'` and `'1kb'` are the same. Units: `b`, `kb`, `mb`, `gb`. */
export type Bytes = number | `${number}${'b' | 'kb' | 'mb' | 'gb'}`

const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }
const PATTERN = /^(\d+(?:\.\d+)?)(b|kb|mb|gb)$/

/** What a size may look like, for error messages. */
export const BYTES_FORMAT = "bytes as a number, or a string such as '512b', '1kb', '64mb', '2gb'"

/** The whole bytes of a size, or `undefined` if it is none. */
export function parseBytes(size: unknown): number | undefined {
  if (typeof size === 'number') return Number.isSafeInteger(size) && size >= 0 ? size : undefined
  if (typeof size !== 'string') return undefined
  const [, amount, unit] = PATTERN.exec(size.trim().toLowerCase()) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const bytes = Math.round(Number(amount) * UNIT_BYTES[unit]!)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
